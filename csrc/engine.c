#include "engine.h"

#include "clock.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- building -----------------------------------------------------------------------------------
 */

static int check_connections(const fb_engine_config *config, const fb_stream_config *s,
                             fb_error *err)
{
    if (s->connections < config->threads) {
        return fb_error_set(err, FB_E_INVAL, 0, "each thread needs a connection: %u for %u",
                            s->connections, config->threads);
    }
    if (s->owners && s->connections / config->threads < s->n_endpoints) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "each thread needs a connection to each node: %u for %u x %u",
                            s->connections, config->threads, s->n_endpoints);
    }
    return FB_OK;
}

static int check(const fb_engine_config *config, fb_error *err)
{
    if (config->threads == 0 || config->n_streams == 0 || config->interval_ns == 0 ||
        config->timeout_ns == 0 || (config->duration_ns == 0) == (config->requests == 0)) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "a run needs threads, streams, an interval, a time-out and either a "
                            "duration or a number of requests");
    }
    int rc = FB_OK;
    for (uint32_t i = 0; rc == FB_OK && i < config->n_streams; i++) {
        const fb_stream_config *s = &config->streams[i];
        if (s->n_before >= FB_CHAIN_MAX_STEPS) {
            return fb_error_set(err, FB_E_INVAL, 0, "a chain has at most %d steps",
                                FB_CHAIN_MAX_STEPS);
        }
        rc = check_connections(config, s, err);
        for (uint32_t k = 0; rc == FB_OK && k < s->n_before; k++) {
            rc = check_connections(config, &s->before[k], err);
        }
    }
    return rc;
}

/* Streams share nothing that is numbered in a run: neither connections nor random numbers. */
static int init_stream(fb_engine *e, uint32_t i, const fb_stream_config *config, fb_error *err)
{
    const uint64_t before = i > 0 ? e->streams[i - 1].first_connection : 0;
    const uint64_t of_it = i > 0 ? e->streams[i - 1].connections : 0;
    const int rc = fb_stream_init(&e->streams[i], config, err);
    e->streams[i].index = i;
    e->streams[i].first_connection = before + of_it;
    return rc;
}

/* The steps before stream i, from place `first` on; they use its data and keys. */
static int init_steps(fb_engine *e, uint32_t i, uint32_t first, fb_error *err)
{
    const fb_stream_config *lead = &e->config.streams[i];
    fb_stream *steps[FB_CHAIN_MAX_STEPS];
    for (uint32_t k = 0; k < lead->n_before; k++) {
        fb_stream_config step = lead->before[k];
        step.data = lead->data;
        step.n_data = lead->n_data;
        step.keys = lead->keys;
        step.n_keys = lead->n_keys;
        step.n_before = 0;
        step.schedule = (fb_schedule){.arrivals = FB_ARRIVALS_CLOSED};
        const int rc = init_stream(e, first + k, &step, err);
        if (rc != FB_OK) {
            return rc;
        }
        steps[k] = &e->streams[first + k];
        steps[k]->comes_before = true;
    }
    steps[lead->n_before] = &e->streams[i];
    e->streams[i].first_before = first;
    return fb_chain_link(steps, lead->n_before + 1, err);
}

static int init_streams(fb_engine *e, fb_error *err)
{
    const uint32_t n = e->config.n_streams;
    for (uint32_t i = 0; i < n; i++) {
        const int rc = init_stream(e, i, &e->config.streams[i], err);
        if (rc != FB_OK) {
            return rc;
        }
        e->n_streams++;
        if (fb_series_init(&e->series[i], e->config.threads) != FB_OK) {
            return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for histograms");
        }
    }
    uint32_t at = n;
    int rc = FB_OK;
    for (uint32_t i = 0; rc == FB_OK && i < n; i++) {
        rc = init_steps(e, i, at, err);
        at += e->config.streams[i].n_before;
    }
    return rc;
}

static int init_worker(fb_engine *e, uint32_t index, const int *cpus, fb_error *err)
{
    fb_worker *w = &e->workers[index];
    *w = (fb_worker){
        .config = &e->config,
        .shared = &e->shared,
        .index = index,
        .cpu = cpus ? cpus[index] : -1,
        .lanes = fb_engine_lane(e, index, 0),
        .n_lanes = e->n_lanes,
        .io = {.epoll_fd = -1},
    };
    for (uint32_t s = 0; s < e->n_lanes; s++) {
        const int rc = fb_lane_init(fb_engine_lane(e, index, s), &e->streams[s], &e->config,
                                    &e->shared, index, err);
        if (rc != FB_OK) {
            return rc;
        }
    }
    return fb_worker_init(w, err);
}

static int allocate(fb_engine *e, fb_error *err)
{
    const size_t threads = e->config.threads;
    const size_t streams = e->config.n_streams;
    e->n_lanes = e->config.n_streams;
    for (uint32_t i = 0; i < streams; i++) {
        e->n_lanes += e->config.streams[i].n_before;
    }
    const size_t lanes = threads * e->n_lanes * sizeof *e->lanes;
    e->streams = calloc(e->n_lanes, sizeof *e->streams);
    e->series = calloc(streams, sizeof *e->series);
    e->workers = calloc(threads, sizeof *e->workers);
    /* Lanes start on cache lines of their own: they are written by different threads. */
    e->lanes =
        aligned_alloc(FB_CACHE_LINE, (lanes + FB_CACHE_LINE - 1) / FB_CACHE_LINE * FB_CACHE_LINE);
    if (!e->streams || !e->series || !e->workers || !e->lanes) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %zu threads", threads);
    }
    memset(e->lanes, 0, lanes);
    return FB_OK;
}

static int build(fb_engine *e, const fb_engine_config *config, fb_error *err)
{
    int rc = check(config, err);
    rc = rc == FB_OK ? allocate(e, err) : rc;
    rc = rc == FB_OK ? init_streams(e, err) : rc;
    for (uint32_t i = 0; rc == FB_OK && i < config->threads; i++) {
        rc = init_worker(e, i, config->cpus, err);
    }
    /* The caller's arrays end here: everything needed was copied. */
    e->config.streams = NULL;
    e->config.cpus = NULL;
    return rc;
}

/* Its clock must be the one that fb_engine_wait reckons with. */
static void init_condition(fb_shared *shared)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&shared->ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&shared->lock, NULL);
}

int fb_engine_new(const fb_engine_config *config, fb_engine **engine, fb_error *err)
{
    fb_engine *e = aligned_alloc(_Alignof(fb_engine), sizeof *e);
    if (!e) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for the engine");
    }
    *e = (fb_engine){.config = *config};
    atomic_init(&e->shared.connecting, config->threads);
    atomic_init(&e->shared.open_threads, config->threads);
    init_condition(&e->shared);
    const int rc = build(e, config, err);
    if (rc != FB_OK) {
        fb_engine_free(e);
        return rc;
    }
    *engine = e;
    return FB_OK;
}

/* ---- running
 * -------------------------------------------------------------------------------------- */

static void count_out(fb_shared *shared, uint32_t threads)
{
    (void)pthread_mutex_lock(&shared->lock);
    atomic_fetch_sub_explicit(&shared->running, threads, memory_order_release);
    (void)pthread_cond_broadcast(&shared->ended);
    (void)pthread_mutex_unlock(&shared->lock);
}

static void *thread_main(void *arg)
{
    fb_worker *w = arg;
    (void)fb_worker_main(w);
    count_out(w->shared, 1);
    return NULL;
}

/* Signals are the caller's business: the threads are created with all of them blocked. */
int fb_engine_start(fb_engine *e, fb_error *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = 0;
    atomic_store(&e->shared.running, e->config.threads);
    while (rc == 0 && e->started < e->config.threads) {
        fb_worker *w = &e->workers[e->started];
        rc = pthread_create(&w->thread, NULL, thread_main, w);
        e->started += rc == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        count_out(&e->shared, e->config.threads - e->started);
        fb_engine_stop(e);
        return fb_error_set(err, FB_E_SYS, rc, "cannot create thread %u: %s", e->started + 1,
                            strerror(rc));
    }
    return FB_OK;
}

bool fb_engine_wait(fb_engine *e, uint64_t timeout_ns)
{
    const uint64_t end = fb_now_ns() + timeout_ns;
    const struct timespec until = {.tv_sec = (time_t)(end / FB_NS_PER_S),
                                   .tv_nsec = (long)(end % FB_NS_PER_S)};
    int rc = 0;
    (void)pthread_mutex_lock(&e->shared.lock);
    while (rc == 0 && atomic_load(&e->shared.running) > 0) {
        rc = pthread_cond_timedwait(&e->shared.ended, &e->shared.lock, &until);
    }
    const bool ended = atomic_load(&e->shared.running) == 0;
    (void)pthread_mutex_unlock(&e->shared.lock);
    return ended;
}

void fb_engine_stop(fb_engine *e)
{
    atomic_store_explicit(&e->shared.stop, true, memory_order_relaxed);
}

/* ---- the books
 * ------------------------------------------------------------------------------------- */

static bool conserved(const fb_counts *c)
{
    return c->intended == c->sent + c->never_sent &&
           c->sent == c->ok + c->errors + c->timeouts + c->lost + c->unfinished;
}

static int check_books(fb_engine *e)
{
    for (uint32_t s = 0; s < e->n_streams; s++) {
        fb_totals t;
        fb_engine_totals(e, s, &t);
        if (!conserved(&t.counts)) {
            return fb_error_set(
                &e->err, FB_E_BROKEN, 0,
                "counts do not add up (a bug, please report): intended %llu sent "
                "%llu ok %llu errors %llu timeouts %llu lost %llu unfinished %llu",
                (unsigned long long)t.counts.intended, (unsigned long long)t.counts.sent,
                (unsigned long long)t.counts.ok, (unsigned long long)t.counts.errors,
                (unsigned long long)t.counts.timeouts, (unsigned long long)t.counts.lost,
                (unsigned long long)t.counts.unfinished);
        }
    }
    return FB_OK;
}

static int first_failure(fb_engine *e)
{
    for (uint32_t i = 0; i < e->started; i++) {
        if (e->workers[i].code != FB_OK) {
            e->err = e->workers[i].io.err;
            return e->workers[i].code;
        }
    }
    return FB_OK;
}

int fb_engine_join(fb_engine *e, fb_error *err)
{
    if (!e->joined) {
        for (uint32_t i = 0; i < e->started; i++) {
            (void)pthread_join(e->workers[i].thread, NULL);
        }
        e->joined = true;
        const int books = check_books(e);
        e->code = books != FB_OK ? books : first_failure(e);
    }
    if (e->code != FB_OK && err) {
        *err = e->err;
    }
    return e->code;
}

/* ---- watching
 * ---------------------------------------------------------------------------------------- */

static int phase_of(const fb_engine *e, const fb_snapshot *s)
{
    const uint64_t duration = e->config.duration_ns;
    if (atomic_load_explicit(&e->shared.running, memory_order_acquire) == 0) {
        return FB_PHASE_ENDED;
    }
    if (s->begin_ns == 0) {
        return FB_PHASE_CONNECT;
    }
    if (s->now_ns < s->begin_ns) {
        return FB_PHASE_WARMUP;
    }
    return duration != 0 && s->now_ns >= s->begin_ns + duration ? FB_PHASE_DRAIN : FB_PHASE_MEASURE;
}

void fb_engine_snapshot(const fb_engine *e, fb_snapshot *out)
{
    *out = (fb_snapshot){.now_ns = fb_now_ns(), .begin_ns = fb_engine_measure_begin(e)};
    out->phase = phase_of(e, out);
    for (size_t i = 0; i < (size_t)e->config.threads * e->n_lanes; i++) {
        const fb_lane *lane = &e->lanes[i];
        out->completed += atomic_load_explicit(&lane->completed, memory_order_relaxed);
        out->failed += atomic_load_explicit(&lane->failed, memory_order_relaxed);
    }
}

bool fb_engine_take_interval(fb_engine *e, uint32_t stream, fb_interval *out)
{
    return fb_series_take(&e->series[stream], fb_engine_lane(e, 0, stream), e->n_lanes, e->joined,
                          out);
}

bool fb_engine_take_capture(fb_engine *e, uint32_t stream, uint8_t *bytes, fb_capture *out)
{
    for (uint32_t i = 0; i < e->config.threads; i++) {
        if (fb_lane_take_capture(fb_engine_lane(e, i, stream), bytes, out)) {
            return true;
        }
    }
    return false;
}

/* ---- freeing -------------------------------------------------------------------------------- */

void fb_engine_free(fb_engine *e)
{
    if (!e) {
        return;
    }
    fb_engine_stop(e);
    (void)fb_engine_join(e, NULL);
    for (uint32_t i = 0; e->workers && i < e->config.threads; i++) {
        fb_worker_fini(&e->workers[i]);
    }
    for (size_t i = 0; e->lanes && i < (size_t)e->config.threads * e->n_lanes; i++) {
        fb_lane_fini(&e->lanes[i]);
    }
    for (uint32_t i = 0; e->streams && i < e->n_lanes; i++) {
        fb_stream_fini(&e->streams[i]);
    }
    for (uint32_t i = 0; i < e->n_streams; i++) {
        fb_series_fini(&e->series[i]);
    }
    (void)pthread_cond_destroy(&e->shared.ended);
    (void)pthread_mutex_destroy(&e->shared.lock);
    free(e->streams);
    free(e->series);
    free(e->workers);
    free(e->lanes);
    free(e);
}
