/* What an engine is made of, for the files that are it: engine.c builds and runs it, results.c
 * reads its books. Everybody else knows it from fastbench.h. */
#ifndef FB_ENGINE_H
#define FB_ENGINE_H

#include "fastbench.h"
#include "series.h"
#include "worker.h"

struct fb_engine {
    fb_engine_config config;
    fb_stream *streams; /* those of the configuration, then the steps before them in chains */
    uint32_t n_streams; /* of the configuration, that stand */
    uint32_t n_lanes;   /* of one thread: streams and steps */
    fb_worker *workers;
    fb_lane *lanes;    /* threads x n_lanes */
    fb_series *series; /* one per stream */
    fb_shared shared;
    uint32_t started; /* threads */
    bool joined;
    int code;
    fb_error err;
};

static inline fb_lane *fb_engine_lane(const fb_engine *e, uint32_t thread, uint32_t stream)
{
    return &e->lanes[(size_t)thread * e->n_lanes + stream];
}

/* When measure begins; 0 = not known yet. */
static inline uint64_t fb_engine_measure_begin(const fb_engine *e)
{
    const uint64_t begin = atomic_load_explicit(&e->shared.begin_ns, memory_order_acquire);
    return begin == 0 ? 0 : begin + e->config.warmup_ns;
}

#endif
