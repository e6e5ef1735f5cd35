/* One pinned thread: an epoll loop over its lanes' connections, from connecting to the last reply.
 *
 * Share nothing: everything a worker writes while load runs is its own, but for the atomics of
 * fb_shared and the recorders' hand-over. Created and freed by the engine. */
#ifndef FB_WORKER_H
#define FB_WORKER_H

#include "cpu.h"
#include "dispatch.h"
#include "waiter.h"

#include <pthread.h>

typedef struct fb_worker {
    const fb_engine_config *config;
    fb_shared *shared;
    uint32_t index;
    int cpu;        /* -1 = not pinned */
    fb_lane *lanes; /* one per stream, then those of the steps before them */
    uint32_t n_lanes;
    fb_conn *conns; /* of all lanes, lane by lane */
    uint32_t n_conns;
    fb_dispatch *dispatches; /* one per lane */
    fb_io io;
    fb_watch *watch;
    fb_waiter waiter;
    uint64_t tick_ns;  /* next one */
    uint64_t spent_ns; /* by requests: all were intended by then; 0 = not yet */
    bool ready, running, finished;
    uint64_t usage_from_ns, usage_to_ns; /* 0 = not yet */
    fb_usage usage_from, usage_to;
    uint64_t ended_ns;
    _Atomic int tid;
    int code; /* what ended it; io.err says more */
    pthread_t thread;
} fb_worker;

/* Prepares worker `index`; its lanes are made by the caller. FB_E_NOMEM, FB_E_SYS. */
int fb_worker_init(fb_worker *w, fb_error *err);
void fb_worker_fini(fb_worker *w);

/* The thread's function; arg is the fb_worker. Returns NULL. */
void *fb_worker_main(void *arg);

#endif
