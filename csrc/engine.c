#include "clock.h"
#include "fastbench.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Intervals that some lanes have handed over and others not yet: more than a lane can be ahead,
 * since each has only two buffers. */
#define PENDING 4

/* Merges one stream's intervals over all lanes, in order. */
typedef struct series {
    fb_interval *pending; /* PENDING of them, by index modulo PENDING */
    uint64_t next;        /* index to give out next */
    uint64_t *handed;     /* by thread: intervals below this index are complete */
} series;

struct fb_engine {
    fb_engine_config config;
    fb_stream *streams; /* those of the configuration, then the steps before them in chains */
    uint32_t n_streams; /* of the configuration, that stand */
    uint32_t n_lanes;   /* of one thread: streams and steps */
    fb_worker *workers;
    fb_lane *lanes; /* threads x n_lanes */
    series *series; /* one per stream */
    fb_shared shared;
    uint32_t started; /* threads */
    bool joined;
    int code;
    fb_error err;
};

static fb_lane *lane_of(const fb_engine *e, uint32_t thread, uint32_t stream)
{
    return &e->lanes[(size_t)thread * e->n_lanes + stream];
}

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

static int init_series(fb_engine *e, uint32_t i)
{
    e->series[i].pending = malloc(PENDING * sizeof(fb_interval));
    e->series[i].handed = calloc(e->config.threads, sizeof(uint64_t));
    if (!e->series[i].pending || !e->series[i].handed) {
        return FB_E_NOMEM;
    }
    for (uint32_t k = 0; k < PENDING; k++) {
        fb_interval_clear(&e->series[i].pending[k], 0);
    }
    return FB_OK;
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
        if (init_series(e, i) != FB_OK) {
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
        .lanes = lane_of(e, index, 0),
        .n_lanes = e->n_lanes,
        .io = {.epoll_fd = -1},
    };
    for (uint32_t s = 0; s < e->n_lanes; s++) {
        const int rc =
            fb_lane_init(lane_of(e, index, s), &e->streams[s], &e->config, &e->shared, index, err);
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
    fb_engine *e = calloc(1, sizeof *e);
    if (!e) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for the engine");
    }
    e->config = *config;
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

static void add_counts(fb_counts *into, const fb_counts *from)
{
    into->intended += from->intended;
    into->sent += from->sent;
    into->ok += from->ok;
    into->errors += from->errors;
    into->timeouts += from->timeouts;
    into->lost += from->lost;
    into->unfinished += from->unfinished;
    into->never_sent += from->never_sent;
}

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

static uint64_t measure_begin(const fb_engine *e)
{
    const uint64_t begin = atomic_load_explicit(&e->shared.begin_ns, memory_order_acquire);
    return begin == 0 ? 0 : begin + e->config.warmup_ns;
}

void fb_engine_snapshot(const fb_engine *e, fb_snapshot *out)
{
    *out = (fb_snapshot){.now_ns = fb_now_ns(), .begin_ns = measure_begin(e)};
    out->phase = phase_of(e, out);
    for (size_t i = 0; i < (size_t)e->config.threads * e->n_lanes; i++) {
        const fb_lane *lane = &e->lanes[i];
        out->completed += atomic_load_explicit(&lane->completed, memory_order_relaxed);
        out->failed += atomic_load_explicit(&lane->failed, memory_order_relaxed);
    }
}

/* Merges what one lane has on offer, as far as the window of pending intervals reaches. */
static void take_lane(const fb_engine *e, fb_lane *lane, series *s, uint64_t *handed)
{
    for (;;) {
        const fb_interval *offer = fb_recorder_offer(&lane->recorder);
        if (!offer) {
            if (e->joined && fb_recorder_finish(&lane->recorder)) {
                continue;
            }
            *handed = e->joined ? UINT64_MAX : *handed;
            return;
        }
        /* A lane that was late to hand over may carry an index already given out. */
        const uint64_t index = offer->index > s->next ? offer->index : s->next;
        *handed = index;
        if (index >= s->next + PENDING) {
            return;
        }
        s->pending[index % PENDING].index = index;
        fb_interval_add(&s->pending[index % PENDING], offer);
        fb_recorder_give_back(&lane->recorder);
        *handed = index + 1;
    }
}

bool fb_engine_take_interval(fb_engine *e, uint32_t stream, fb_interval *out)
{
    series *s = &e->series[stream];
    uint64_t complete = UINT64_MAX;
    uint64_t newest = 0;
    for (uint32_t i = 0; i < e->config.threads; i++) {
        take_lane(e, lane_of(e, i, stream), s, &s->handed[i]);
        complete = s->handed[i] < complete ? s->handed[i] : complete;
    }
    for (uint32_t k = 0; k < PENDING; k++) {
        newest = s->pending[k].index > newest ? s->pending[k].index : newest;
    }
    if (s->next >= complete || (e->joined && complete == UINT64_MAX && s->next > newest)) {
        return false;
    }
    fb_interval *slot = &s->pending[s->next % PENDING];
    slot->index = s->next;
    *out = *slot;
    fb_interval_clear(slot, 0);
    s->next++;
    return true;
}

/* ---- results
 * ------------------------------------------------------------------------------------------ */

static void add_traffic(fb_totals *into, const fb_lane *lane)
{
    into->breaks += lane->breaks;
    into->reconnects += lane->reconnects;
    into->bytes_sent += lane->bytes_sent;
    into->bytes_received += lane->bytes_received;
    into->bytes_answered += lane->bytes_in_window;
    into->blocked_ns += lane->blocked_ns;
}

void fb_engine_totals(const fb_engine *e, uint32_t stream, fb_totals *out)
{
    uint64_t last_end = 0;
    uint64_t ended = 0;
    *out = (fb_totals){.begin_ns = measure_begin(e)};
    for (uint32_t i = 0; i < e->config.threads; i++) {
        const fb_lane *lane = lane_of(e, i, stream);
        add_counts(&out->counts, &lane->counts);
        out->completed += lane->completed_in_window;
        out->answered += lane->answered_in_window;
        out->gave_up += lane->gave_up;
        out->late += lane->late;
        add_traffic(out, lane);
        for (uint32_t k = 0; k < e->streams[stream].n_before; k++) {
            add_traffic(out, lane_of(e, i, e->streams[stream].first_before + k));
        }
        last_end = lane->last_end_ns > last_end ? lane->last_end_ns : last_end;
        ended = e->workers[i].ended_ns > ended ? e->workers[i].ended_ns : ended;
    }
    const uint64_t planned = out->begin_ns + e->config.duration_ns;
    out->end_ns = e->config.duration_ns == 0 ? last_end : planned;
    /* A run that ended early measured until then and no longer. */
    out->end_ns = out->end_ns > ended ? ended : out->end_ns;
}

static fb_error_class *find_class(fb_error_class *classes, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(classes[i].name, name) == 0) {
            return &classes[i];
        }
    }
    return NULL;
}

/* The last place is kept for all that find none of their own. */
static void merge_class(fb_error_class *out, uint32_t *n, uint32_t max, const fb_error_class *from)
{
    fb_error_class *place = find_class(out, *n, from->name);
    if (!place && *n + 1 >= max) {
        place = find_class(out, *n, FB_LANE_OTHER_ERRORS);
    }
    if (place) {
        place->count += from->count;
    } else if (*n < max) {
        const bool last = *n + 1 == max;
        out[*n] = *from;
        (void)strcpy(out[*n].name, last ? FB_LANE_OTHER_ERRORS : from->name);
        (*n)++;
    }
}

uint32_t fb_engine_error_classes(const fb_engine *e, uint32_t stream, fb_error_class *out,
                                 uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->config.threads; i++) {
        const fb_lane *lane = lane_of(e, i, stream);
        for (uint32_t k = 0; k < FB_LANE_ERROR_CLASSES && lane->classes[k].count > 0; k++) {
            merge_class(out, &n, max, &lane->classes[k]);
        }
    }
    return n;
}

static void fill_watched(const fb_worker *w, fb_thread_usage *out)
{
    const fb_watch *watch = w->watch;
    out->run_delay_ns = w->usage_to.run_delay_ns == FB_USAGE_UNKNOWN
                            ? FB_USAGE_UNKNOWN
                            : w->usage_to.run_delay_ns - w->usage_from.run_delay_ns;
    out->spin_ns = watch->spin_ns;
    out->stalls = watch->stalls;
    out->stalled_ns = watch->stalled_ns;
    out->longest_turn_ns = watch->longest_ns;
    out->window_full_ns = watch->window_full_ns;
}

static void add_node_counts(fb_node_counts *into, const fb_node_counts *from)
{
    into->sent += from->sent;
    into->ok += from->ok;
    into->errors += from->errors;
    into->timeouts += from->timeouts;
    into->lost += from->lost;
    into->unfinished += from->unfinished;
    into->moved += from->moved;
    into->asked += from->asked;
}

bool fb_engine_node(const fb_engine *e, uint32_t stream, uint32_t index, fb_node_counts *out)
{
    const fb_stream *s = &e->streams[stream];
    if (!s->owners || index >= s->n_addresses) {
        return false;
    }
    *out = (fb_node_counts){0};
    for (uint32_t i = 0; e->joined && i < e->config.threads; i++) {
        add_node_counts(out, &lane_of(e, i, stream)->router->nodes[index].counts);
    }
    return true;
}

bool fb_engine_step(const fb_engine *e, uint32_t stream, uint32_t index, fb_hist *out)
{
    const fb_stream *s = &e->streams[stream];
    if (s->n_before == 0 || index > s->n_before) {
        return false;
    }
    fb_hist_clear(out);
    for (uint32_t i = 0; e->joined && i < e->config.threads; i++) {
        fb_hist_add(out, &lane_of(e, i, stream)->chain->service[index]);
    }
    return true;
}

void fb_engine_thread(const fb_engine *e, uint32_t thread, fb_thread_usage *out)
{
    const fb_worker *w = &e->workers[thread];
    *out = (fb_thread_usage){.tid = atomic_load_explicit(&w->tid, memory_order_relaxed),
                             .cpu = w->cpu};
    if (e->joined && w->usage_to_ns != 0) {
        out->elapsed_ns = w->usage_to_ns - w->usage_from_ns;
        out->user_ns = w->usage_to.user_ns - w->usage_from.user_ns;
        out->system_ns = w->usage_to.system_ns - w->usage_from.system_ns;
        out->voluntary_switches = w->usage_to.voluntary_switches - w->usage_from.voluntary_switches;
        out->involuntary_switches =
            w->usage_to.involuntary_switches - w->usage_from.involuntary_switches;
        out->major_faults = w->usage_to.major_faults - w->usage_from.major_faults;
        fill_watched(w, out);
    }
}

void fb_engine_reply_lag(const fb_engine *e, fb_hist *out)
{
    fb_hist_clear(out);
    for (uint32_t i = 0; e->joined && i < e->started; i++) {
        fb_hist_add(out, &e->workers[i].watch->reply_lag);
    }
}

bool fb_engine_take_capture(fb_engine *e, uint32_t stream, uint8_t *bytes, fb_capture *out)
{
    for (uint32_t i = 0; i < e->config.threads; i++) {
        if (fb_lane_take_capture(lane_of(e, i, stream), bytes, out)) {
            return true;
        }
    }
    return false;
}

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
        free(e->series[i].pending);
        free(e->series[i].handed);
    }
    (void)pthread_cond_destroy(&e->shared.ended);
    (void)pthread_mutex_destroy(&e->shared.lock);
    free(e->streams);
    free(e->series);
    free(e->workers);
    free(e->lanes);
    free(e);
}
