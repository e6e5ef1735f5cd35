#include "worker.h"

#include "clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_FOR_MAX 16 /* inferences in flight, with more of which a thread does not poll */
#define RECEIVE_BYTES (256 * 1024)
#define EVENTS 256
#define TICK_NS (5 * FB_NS_PER_MS)
#define DRAIN_GRACE_NS FB_NS_PER_S

/* ---- memory --------------------------------------------------------------------------------- */

static int init_routers(fb_worker *w, fb_error *err)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        if (w->lanes[i].stream->owners && !fb_router_new(&w->lanes[i], err)) {
            return FB_E_NOMEM;
        }
    }
    return FB_OK;
}

static int init_chains(fb_worker *w, fb_error *err)
{
    fb_lane *steps[FB_CHAIN_MAX_STEPS];
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        const fb_stream *s = w->lanes[i].stream;
        for (uint32_t k = 0; k < s->n_before; k++) {
            steps[k] = &w->lanes[s->first_before + k];
        }
        steps[s->n_before] = &w->lanes[i];
        if (s->n_before > 0 && !fb_chain_new(steps, s->n_before + 1, err)) {
            return FB_E_NOMEM;
        }
    }
    return FB_OK;
}

static int init_conns(fb_worker *w, fb_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        fb_lane *lane = &w->lanes[i];
        for (uint32_t k = 0; k < lane->connections; k++) {
            const int rc = fb_conn_init(&w->conns[n + k], lane, lane->first_connection + k, err);
            if (rc != FB_OK) {
                return rc;
            }
        }
        if (fb_dispatch_init(&w->dispatches[i], lane, &w->conns[n]) != FB_OK) {
            return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for what waits to be sent");
        }
        n += lane->connections;
    }
    return FB_OK;
}

int fb_worker_init(fb_worker *w, fb_error *err)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        w->n_conns += w->lanes[i].connections;
    }
    w->conns = calloc((size_t)w->n_conns + 1, sizeof *w->conns);
    w->dispatches = calloc(w->n_lanes, sizeof *w->dispatches);
    w->io.buffer_len = RECEIVE_BYTES;
    w->io.buffer = malloc(RECEIVE_BYTES);
    w->io.splicer.room = fb_splicer_share(w->config->threads);
    w->io.watch = w->watch = calloc(1, sizeof *w->watch);
    w->io.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->io.epoll_fd < 0) {
        return fb_error_set(err, FB_E_SYS, errno, "epoll_create1: %s", strerror(errno));
    }
    w->waiter = (fb_waiter){.epoll_fd = w->io.epoll_fd, .watch = w->watch};
    if (!w->conns || !w->dispatches || !w->io.buffer || !w->watch) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u connections", w->n_conns);
    }
    int rc = init_routers(w, err);
    rc = rc == FB_OK ? init_chains(w, err) : rc;
    return rc == FB_OK ? init_conns(w, err) : rc;
}

void fb_worker_fini(fb_worker *w)
{
    for (uint32_t i = 0; w->conns && i < w->n_conns; i++) {
        fb_conn_fini(&w->conns[i]);
    }
    for (uint32_t i = 0; w->dispatches && i < w->n_lanes; i++) {
        fb_dispatch_fini(&w->dispatches[i]);
    }
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        fb_router_free(w->lanes[i].router);
        fb_chain_free(w->lanes[i].chain);
    }
    if (w->io.buffer && w->io.epoll_fd >= 0) {
        (void)close(w->io.epoll_fd);
    }
    fb_splicer_close(&w->io.splicer);
    free(w->conns);
    free(w->dispatches);
    free(w->io.buffer);
    free(w->watch);
    w->conns = NULL;
    w->dispatches = NULL;
    w->io.buffer = NULL;
    w->io.watch = w->watch = NULL;
}

/* ---- connecting, and the common start ---------------------------------------------------------
 */

static int set_up_thread(fb_worker *w)
{
    char name[16];
    (void)snprintf(name, sizeof name, "fb-w%u", w->index);
    fb_cpu_name_self(name);
    fb_cpu_timer_slack_self(1);
    atomic_store_explicit(&w->tid, fb_cpu_tid(), memory_order_relaxed);
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        fb_recorder_clear(&w->lanes[i].recorder);
    }
    fb_watch_init(w->watch);
    return w->cpu >= 0 ? fb_cpu_pin_self(w->cpu, &w->io.err) : FB_OK;
}

static int connect_all(fb_worker *w)
{
    w->io.now_ns = fb_now_ns();
    w->tick_ns = w->io.now_ns + TICK_NS;
    for (uint32_t i = 0; i < w->n_conns; i++) {
        const int rc = fb_conn_open(&w->conns[i], &w->io);
        if (rc != FB_OK) {
            return rc;
        }
    }
    return FB_OK;
}

static bool all_ready(const fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        if (w->lanes[i].ready < w->lanes[i].connections) {
            return false;
        }
    }
    return true;
}

/* The last worker to be ready sets the instant at which all begin. */
static void report_ready(fb_worker *w)
{
    w->ready = true;
    if (atomic_fetch_sub_explicit(&w->shared->connecting, 1, memory_order_acq_rel) == 1) {
        atomic_store_explicit(&w->shared->begin_ns, fb_now_ns() + 2 * TICK_NS,
                              memory_order_release);
    }
}

/* Usage is taken at the first tick within measure and the first after it; without a warm-up,
 * before the first inference. */
static void watch_usage(fb_worker *w)
{
    const fb_lane *lane = &w->lanes[0];
    if (w->usage_from_ns == 0 && w->io.now_ns >= lane->measure_ns) {
        fb_usage_self(&w->usage_from);
        w->usage_from_ns = fb_now_ns();
        w->watch->on = true;
    }
    if (w->usage_to_ns == 0 && w->usage_from_ns != 0 &&
        (w->io.now_ns >= lane->measure_end_ns || w->finished)) {
        fb_usage_self(&w->usage_to);
        w->usage_to_ns = fb_now_ns();
        fb_watch_waits(w->watch, w->usage_to_ns); /* the turn that crosses the end counts too */
        w->watch->on = false;
    }
}

static int begin(fb_worker *w, uint64_t begin_ns)
{
    w->running = true;
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        fb_lane_begin(&w->lanes[i], begin_ns);
    }
    watch_usage(w);
    for (uint32_t i = 0; i < w->n_conns; i++) {
        fb_conn *c = &w->conns[i];
        if (fb_stream_is_closed_loop(c->lane->stream)) {
            /* The slots are free since then, also when this thread wakes late. */
            const int rc = fb_conn_fill(c, &w->io, begin_ns);
            if (rc != FB_OK) {
                return rc;
            }
        }
    }
    return FB_OK;
}

static int advance_start(fb_worker *w)
{
    if (!w->ready && all_ready(w)) {
        report_ready(w);
    }
    /* Acquire pairs with the release in report_ready. */
    const uint64_t at = atomic_load_explicit(&w->shared->begin_ns, memory_order_acquire);
    if (at == 0) {
        return FB_OK;
    }
    w->tick_ns = at;
    return w->io.now_ns >= at ? begin(w, at) : FB_OK;
}

/* ---- ticks --------------------------------------------------------------------------------------
 */

static bool lanes_finished(const fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        if (!fb_lane_finished(&w->lanes[i], w->io.now_ns)) {
            return false;
        }
    }
    return true;
}

/* In a cluster one node that is gone would hold up all that waits for it. */
static int give_up_node(fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        const fb_lane *lane = &w->lanes[i];
        const char *name =
            lane->router ? fb_router_gone(lane->router, w->io.now_ns, w->config->give_up_ns) : NULL;
        if (name) {
            return fb_error_set(&w->io.err, FB_E_CONNECT, lane->last_break.sys_errno,
                                "node %s of the cluster is gone: %s", name, lane->last_break.text);
        }
    }
    return FB_OK;
}

static int server_is_gone(fb_worker *w, const fb_lane *lane)
{
    char of[32] = "";
    if (lane->chain) {
        (void)snprintf(of, sizeof of, " of step %u", lane->step + 1);
    }
    return fb_error_set(&w->io.err, FB_E_CONNECT, lane->last_break.sys_errno,
                        "the server%s is gone: %s", of, lane->last_break.text);
}

/* All connections of a lane are down for too long, or too much failed: the run must end. */
static int give_up(fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        const fb_lane *lane = &w->lanes[i];
        if (lane->ready == 0 && lane->down_since_ns != 0 &&
            w->io.now_ns > lane->down_since_ns + w->config->give_up_ns) {
            return server_is_gone(w, lane);
        }
    }
    const int rc = give_up_node(w);
    if (rc != FB_OK) {
        return rc;
    }
    const int64_t limit = w->config->max_errors;
    const uint64_t failures = atomic_load_explicit(&w->shared->failures, memory_order_relaxed);
    if (limit >= 0 && failures > (uint64_t)limit) {
        return fb_error_set(&w->io.err, FB_E_ERRORS, 0,
                            "stopped after %llu failed inferences: at most %lld were allowed "
                            "(--max-errors, --fail-fast)",
                            (unsigned long long)failures, (long long)limit);
    }
    return FB_OK;
}

static int tick_connections(fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_conns; i++) {
        const int rc = fb_conn_tick(&w->conns[i], &w->io);
        if (w->conns[i].state != FB_CONN_READY) {
            fb_dispatch_reclaim(&w->dispatches[w->conns[i].lane - w->lanes], &w->conns[i]);
        }
        if (rc != FB_OK) {
            return rc;
        }
    }
    return FB_OK;
}

static void watch_quota(fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        if (w->config->duration_ns != 0 || w->lanes[i].quota > 0) {
            return;
        }
    }
    w->spent_ns = w->spent_ns == 0 ? w->io.now_ns : w->spent_ns;
}

static void tick_lanes(fb_worker *w)
{
    watch_quota(w);
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        fb_lane *lane = &w->lanes[i];
        if (lane->router) {
            fb_router_expire(lane->router, w->io.now_ns);
        } else if (lane->chain && lane == lane->chain->lead) {
            fb_chain_expire(lane->chain, w->io.now_ns);
        }
        fb_recorder_rotate(&lane->recorder, fb_lane_interval(lane, w->io.now_ns));
    }
    if (!w->finished && lanes_finished(w)) {
        w->finished = true;
        atomic_fetch_sub_explicit(&w->shared->open_threads, 1, memory_order_acq_rel);
    }
    watch_usage(w);
}

static int tick(fb_worker *w)
{
    w->io.now_ns = fb_now_ns();
    w->tick_ns = w->io.now_ns + (w->running ? TICK_NS : TICK_NS / 5);
    int rc = w->running ? FB_OK : advance_start(w);
    rc = rc == FB_OK ? tick_connections(w) : rc;
    if (rc == FB_OK && w->running) {
        tick_lanes(w);
        rc = give_up(w);
    }
    return rc;
}

/* ---- the loop
 * ------------------------------------------------------------------------------------- */

/* From when on nothing is left to intend; FB_NEVER while there is. */
static uint64_t drain_begin(const fb_worker *w)
{
    const fb_lane *lane = &w->lanes[0];
    return lane->measure_end_ns != FB_NEVER || w->spent_ns == 0 ? lane->measure_end_ns
                                                                : w->spent_ns;
}

static bool drain_overdue(const fb_worker *w)
{
    const uint64_t begin = w->running ? drain_begin(w) : FB_NEVER;
    return begin != FB_NEVER && w->io.now_ns > begin + w->config->timeout_ns + DRAIN_GRACE_NS;
}

static bool ended(const fb_worker *w)
{
    return atomic_load_explicit(&w->shared->stop, memory_order_relaxed) ||
           atomic_load_explicit(&w->shared->open_threads, memory_order_acquire) == 0 ||
           drain_overdue(w);
}

static uint64_t next_due(const fb_worker *w)
{
    uint64_t due = w->tick_ns;
    for (uint32_t i = 0; w->running && i < w->n_lanes; i++) {
        const uint64_t lane_due = fb_dispatch_due(&w->dispatches[i]);
        due = lane_due < due ? lane_due : due;
    }
    return due;
}

/* Of a measured inference: before and after, how the replies are met is no matter. Where many are
 * in flight, or others wait to be sent, to wait a little longer is to be woken once for more. */
static bool expects_reply(const fb_worker *w)
{
    uint64_t open = 0;
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        open += w->lanes[i].open;
        waiting += w->lanes[i].blocked + w->dispatches[i].used;
    }
    return open > 0 && open <= POLL_FOR_MAX && waiting == 0;
}

/* Waits for events until the next instant at which something is due. */
static int wait_events(fb_worker *w, struct epoll_event *events)
{
    fb_wait wait = {.due_ns = next_due(w), .expects_reply = expects_reply(w)};
    wait.spin_ns = wait.due_ns < w->tick_ns ? w->config->spin_ns : 0; /* only for an arrival */
    w->io.now_ns = fb_now_ns();
    fb_watch_waits(w->watch, w->io.now_ns);
    const int n = fb_waiter_wait(&w->waiter, &wait, events, EVENTS, &w->io.now_ns);
    fb_watch_woke(w->watch, w->io.now_ns);
    return n;
}

static int handle_events(fb_worker *w, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        const int rc = fb_conn_event(events[i].data.ptr, &w->io, events[i].events);
        if (rc != FB_OK) {
            return rc;
        }
    }
    return FB_OK;
}

/* The lane that leads a chain comes before those of its first steps, so that what it begins is
 * sent in the same turn. */
static int dispatch_all(fb_worker *w)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        const int rc = fb_dispatch_run(&w->dispatches[i], &w->io);
        if (rc != FB_OK) {
            return rc;
        }
    }
    return FB_OK;
}

static int run(fb_worker *w)
{
    struct epoll_event events[EVENTS];
    int rc = connect_all(w);
    while (rc == FB_OK && !ended(w)) {
        const int n = wait_events(w, events);
        rc = handle_events(w, events, n);
        if (rc == FB_OK && w->io.now_ns >= w->tick_ns) {
            rc = tick(w);
        }
        if (rc == FB_OK && w->running) {
            rc = dispatch_all(w);
        }
    }
    return rc;
}

static void close_books(fb_worker *w)
{
    w->finished = true;
    watch_usage(w);
    for (uint32_t i = 0; i < w->n_conns; i++) {
        fb_conn_close(&w->conns[i], w->ended_ns);
    }
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        fb_dispatch_close(&w->dispatches[i]);
        if (w->lanes[i].router) {
            fb_router_close(w->lanes[i].router);
        }
        if (w->lanes[i].chain) {
            fb_chain_close(w->lanes[i].chain); /* once; the others of its lanes find it empty */
        }
    }
}

void *fb_worker_main(void *arg)
{
    fb_worker *w = arg;
    w->code = set_up_thread(w);
    if (w->code == FB_OK) {
        w->code = run(w);
    }
    if (w->code != FB_OK) {
        atomic_store_explicit(&w->shared->stop, true, memory_order_relaxed);
    }
    w->ended_ns = fb_now_ns();
    close_books(w);
    return NULL;
}
