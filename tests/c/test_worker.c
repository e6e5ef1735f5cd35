/* One worker on its own thread: it runs its share to the end, keeps time, and stops when told. */
#include "check.h"
#include "clock.h"
#include "load.h"
#include "nullserver.h"
#include "worker.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local uint64_t sends; /* system calls of this thread */
static uint64_t worker_sends;

/* In place of libc's. */
ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    sends++;
    return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    sends++;
    return syscall(SYS_sendmsg, fd, message, flags);
}

typedef struct rig {
    load load;
    fb_stream stream;
    fb_shared shared;
    fb_lane *lane; /* on the heap: it is large */
    fb_worker worker;
    fb_nullserver *server;
} rig;

static bool rig_init(rig *r)
{
    fb_nullserver_config config = {.host = "127.0.0.1",
                                   .threads = 1,
                                   .replies = {.protocol = FB_PROTOCOL_RESP, .reply_bytes = 100}};
    memset(r, 0, sizeof *r);
    r->server = fb_nullserver_new(&config, NULL);
    if (!r->server || fb_nullserver_start(r->server, NULL) != FB_OK) {
        return false;
    }
    load_init(&r->load, "127.0.0.1", fb_nullserver_port(r->server));
    return true;
}

/* Makes the only worker of the run; pinned to cpu, or -1. */
static bool rig_make(rig *r, int cpu)
{
    fb_error err;
    r->lane = calloc(1, sizeof *r->lane);
    atomic_store(&r->shared.connecting, 1);
    atomic_store(&r->shared.open_threads, 1);
    if (!r->lane || fb_stream_init(&r->stream, &r->load.stream, &err) != FB_OK ||
        fb_lane_init(r->lane, &r->stream, &r->load.config, &r->shared, 0, &err) != FB_OK) {
        return false;
    }
    r->worker = (fb_worker){
        .config = &r->load.config,
        .shared = &r->shared,
        .cpu = cpu,
        .lanes = r->lane,
        .n_lanes = 1,
        .io = {.epoll_fd = -1},
    };
    return fb_worker_init(&r->worker, &err) == FB_OK;
}

static void rig_close(rig *r)
{
    const fb_counts c = r->lane->counts;
    CHECK_EQ(c.intended, c.sent + c.never_sent);
    CHECK_EQ(c.sent, c.ok + c.errors + c.timeouts + c.lost + c.unfinished);
    fb_worker_fini(&r->worker);
    fb_lane_fini(r->lane);
    fb_stream_fini(&r->stream);
    fb_nullserver_free(r->server);
    free(r->lane);
}

static void *work(void *worker)
{
    sends = 0;
    (void)fb_worker_main(worker);
    worker_sends = sends;
    return NULL;
}

/* Runs the worker on a thread of its own and waits for it. */
static void run(rig *r)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, work, &r->worker) == 0);
    CHECK_EQ(0, pthread_join(thread, NULL));
}

/* Without a warm-up too, what the first inference costs is within what was used. */
static void test_usage_begins_before_the_first(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 1;
    r.load.config.warmup_ns = 0;
    r.load.stream.connections = 1;
    r.load.stream.pipeline = 1;
    REQUIRE(rig_make(&r, -1));
    run(&r);
    const uint64_t sent_ns = r.lane->last_end_ns - r.lane->recorder.active->service.max_ns;
    CHECK_EQ(1, r.lane->counts.ok);
    CHECK(r.worker.usage_from_ns > 0);
    CHECK(r.worker.usage_from_ns <= sent_ns);
    rig_close(&r);
}

/* By requests: exactly so many succeed, over several connections. */
static void test_runs_its_share(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 5000;
    r.load.stream.connections = 7;
    r.load.stream.pipeline = 3;
    REQUIRE(rig_make(&r, -1));
    run(&r);
    CHECK_EQ(FB_OK, r.worker.code);
    CHECK_EQ(5000, r.lane->counts.ok);
    CHECK_EQ(0, atomic_load(&r.shared.open_threads));
    CHECK(r.worker.usage_to_ns >= r.worker.usage_from_ns);
    CHECK(r.worker.ended_ns >= r.lane->last_end_ns);
    rig_close(&r);
}

/* An open loop intends exactly what its schedule holds, sent or not. */
static void test_open_loop_keeps_its_schedule(void)
{
    const fb_rate rate = {2000, 2000, 0};
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 500 * FB_NS_PER_MS;
    r.load.stream.connections = 4;
    r.load.stream.pipeline = 2;
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
    r.load.stream.max_outstanding = 100000;
    REQUIRE(rig_make(&r, -1));
    run(&r);
    CHECK_EQ(FB_OK, r.worker.code);
    CHECK_EQ(1000, r.lane->counts.intended);
    CHECK_EQ(1000, r.lane->counts.ok);
    const fb_interval *last = r.lane->recorder.active;
    CHECK(last->index > 0);
    rig_close(&r);
}

/* What is due together leaves together: one system call for all of a connection, each inference
 * with its own books. */
static void check_shared_calls(uint64_t spin_ns)
{
    enum { CONNECTIONS = 8, PIPELINE = 64, DUE = CONNECTIONS * PIPELINE };
    static const uint64_t instants[DUE]; /* all at once */
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 100 * FB_NS_PER_MS;
    r.load.config.spin_ns = spin_ns;
    r.load.stream.connections = CONNECTIONS;
    r.load.stream.pipeline = PIPELINE;
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_RECORDED, .instants = instants, .n_instants = DUE};
    r.load.stream.max_outstanding = DUE;
    REQUIRE(rig_make(&r, -1));
    run(&r);
    CHECK_EQ(FB_OK, r.worker.code);
    CHECK_EQ(DUE, r.lane->counts.ok);
    CHECK(worker_sends <= DUE / 4);
    rig_close(&r);
}

static void test_open_loop_shares_system_calls(void)
{
    check_shared_calls(0);
    check_shared_calls(60000);
}

/* A queue too short for a rate too high: what found no place is counted as never sent. */
static void test_open_loop_beyond_its_queue(void)
{
    const fb_rate rate = {3e6, 3e6, 0};
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 200 * FB_NS_PER_MS;
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
    r.load.stream.max_outstanding = 10;
    REQUIRE(rig_make(&r, -1));
    run(&r);
    CHECK_EQ(FB_OK, r.worker.code);
    CHECK(r.lane->counts.intended >= 599999 && r.lane->counts.intended <= 600001);
    CHECK(r.lane->counts.never_sent > 0);
    CHECK(r.lane->counts.ok > 0);
    rig_close(&r);
}

static void *stop_soon(void *arg)
{
    rig *r = arg;
    while (atomic_load(&r->lane->completed) < 100) {
    }
    atomic_store(&r->shared.stop, true);
    return NULL;
}

/* Told to stop in the middle, it ends and accounts for what was in flight. */
static void test_stops_when_told(void)
{
    rig r;
    pthread_t stopper;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 3600 * FB_NS_PER_S;
    r.load.stream.pipeline = 4;
    REQUIRE(rig_make(&r, -1));
    REQUIRE(pthread_create(&stopper, NULL, stop_soon, &r) == 0);
    run(&r);
    CHECK_EQ(0, pthread_join(stopper, NULL));
    CHECK_EQ(FB_OK, r.worker.code);
    CHECK(r.lane->counts.ok > 0);
    CHECK_EQ(r.lane->counts.intended,
             r.lane->counts.ok + r.lane->counts.unfinished + r.lane->counts.never_sent);
    rig_close(&r);
}

/* Of what is due at a rate that no thread can follow, nothing more is begun once it is told to. */
static void test_stops_amid_what_is_due(void)
{
    const fb_rate rate = {1e6, 1e6, 0};
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 3600 * FB_NS_PER_S;
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
    r.load.stream.max_outstanding = 10;
    REQUIRE(rig_make(&r, -1));
    fb_lane_begin(r.lane, 1);
    r.worker.io.now_ns = 1 + FB_NS_PER_MS;
    CHECK_EQ(FB_OK, fb_dispatch_run(r.worker.dispatches, &r.worker.io));
    const uint64_t due = r.lane->counts.intended;
    CHECK(due > 0);
    /* Nothing is connected yet: a thread with that much to send must not wake for each arrival. */
    CHECK_EQ(FB_NEVER, fb_dispatch_due(r.worker.dispatches));
    atomic_store(&r.shared.stop, true);
    r.worker.io.now_ns += FB_NS_PER_MS;
    CHECK_EQ(FB_OK, fb_dispatch_run(r.worker.dispatches, &r.worker.io));
    CHECK_EQ(due, r.lane->counts.intended);
    fb_dispatch_close(r.worker.dispatches);
    rig_close(&r);
}

/* A CPU that does not exist ends the run, for all threads, with the reason. */
static void test_cpu_that_is_not_there(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    REQUIRE(rig_make(&r, 1000));
    run(&r);
    CHECK_EQ(FB_E_INVAL, r.worker.code);
    CHECK(atomic_load(&r.shared.stop));
    CHECK(r.worker.io.err.text[0] != '\0');
    CHECK_EQ(0, r.lane->counts.intended);
    rig_close(&r);
}

/* A server that disappears ends the run when it has been gone for long enough. */
static void test_gives_up(void)
{
    rig r;
    pthread_t thread;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 3600 * FB_NS_PER_S;
    r.load.config.give_up_ns = 100 * FB_NS_PER_MS;
    r.load.stream.connections = 2;
    REQUIRE(rig_make(&r, -1));
    REQUIRE(pthread_create(&thread, NULL, fb_worker_main, &r.worker) == 0);
    while (atomic_load(&r.lane->completed) < 100) {
    }
    fb_nullserver_stop(r.server);
    CHECK_EQ(0, pthread_join(thread, NULL));
    CHECK_EQ(FB_E_CONNECT, r.worker.code);
    CHECK(strstr(r.worker.io.err.text, "gone") != NULL);
    CHECK(r.lane->counts.never_sent > 0); /* those that waited for a connection */
    rig_close(&r);
}

/* More failures than allowed end the run. */
static void test_too_many_failures(void)
{
    const fb_resp_expect other = {'$', 3};
    rig r;
    REQUIRE(rig_init(&r));
    r.load.config.requests = 0;
    r.load.config.duration_ns = 3600 * FB_NS_PER_S;
    r.load.config.max_errors = 20;
    r.load.message.expects = &other;
    r.load.message.n_expects = 1;
    REQUIRE(rig_make(&r, -1));
    run(&r);
    CHECK_EQ(FB_E_ERRORS, r.worker.code);
    CHECK(r.lane->counts.errors > 20);
    CHECK_EQ(0, r.lane->counts.ok);
    CHECK_STR("UNEXPECTED", r.lane->classes[0].name);
    rig_close(&r);
}

int main(void)
{
    RUN(test_usage_begins_before_the_first);
    RUN(test_runs_its_share);
    RUN(test_open_loop_keeps_its_schedule);
    RUN(test_open_loop_shares_system_calls);
    RUN(test_open_loop_beyond_its_queue);
    RUN(test_stops_when_told);
    RUN(test_stops_amid_what_is_due);
    RUN(test_cpu_that_is_not_there);
    RUN(test_gives_up);
    RUN(test_too_many_failures);
    return check_result();
}
