/* Whole runs against the null server: books, intervals, threads, and no allocation under way. */
#include "check.h"
#include "clock.h"
#include "load.h"
#include "nullserver.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>

/* The linker sends every call of csrc here (see CMakeLists.txt): workers must make none. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *block);

static atomic_int calls, calls_of_workers;

static void count_call(void)
{
    char name[16] = "";
    (void)prctl(PR_GET_NAME, name);
    atomic_fetch_add(&calls, 1);
    if (strncmp(name, "fb-w", 4) == 0) {
        atomic_fetch_add(&calls_of_workers, 1);
    }
}

void *__wrap_malloc(size_t size)
{
    count_call();
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    count_call();
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    count_call();
    return __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    count_call();
    return __real_aligned_alloc(alignment, size);
}

void __wrap_free(void *block)
{
    count_call();
    __real_free(block);
}

static fb_interval interval;

static fb_nullserver *new_server(void)
{
    const fb_nullserver_config config = {
        .host = "127.0.0.1",
        .threads = 1,
        .replies = {.protocol = FB_PROTOCOL_RESP, .reply_bytes = 100}};
    fb_nullserver *server = fb_nullserver_new(&config, NULL);
    if (server && fb_nullserver_start(server, NULL) != FB_OK) {
        fb_nullserver_free(server);
        return NULL;
    }
    return server;
}

static uint64_t served(fb_nullserver *server)
{
    fb_nullserver_usage usage;
    fb_nullserver_stats(server, 0, &usage);
    return usage.requests;
}

/* Sums over the intervals of a stream. */
typedef struct sums {
    uint64_t ok, response, service, lag, next;
} sums;

static void take_all(fb_engine *e, uint32_t stream, sums *s)
{
    while (fb_engine_take_interval(e, stream, &interval)) {
        CHECK_EQ(s->next, interval.index);
        s->next++;
        s->ok += interval.ok;
        s->response += interval.response.total;
        s->service += interval.service.total;
        s->lag += interval.lag.total;
    }
}

/* Runs to the end, taking intervals on the way; what join said. */
static int run(fb_engine *e, sums *s, fb_error *err)
{
    *s = (sums){0};
    CHECK_EQ(FB_OK, fb_engine_start(e, err));
    while (!fb_engine_wait(e, 10 * FB_NS_PER_MS)) {
        take_all(e, 0, s);
    }
    const int rc = fb_engine_join(e, err);
    take_all(e, 0, s);
    return rc;
}

static void check_sums(const fb_engine *e, const sums *s)
{
    fb_totals t;
    fb_engine_totals(e, 0, &t);
    CHECK_EQ(t.counts.intended, t.counts.sent + t.counts.never_sent);
    CHECK_EQ(t.counts.ok, s->ok);
    CHECK_EQ(t.counts.ok, s->response);
    CHECK_EQ(t.counts.ok, s->service);
}

/* Exactly so many requests, for any number of threads, also fewer requests than threads. */
static void test_exact_number(void)
{
    const uint64_t numbers[] = {1, 3, 20011};
    for (uint32_t threads = 1; threads <= 4; threads++) {
        for (int i = 0; i < 3; i++) {
            fb_nullserver *server = new_server();
            fb_engine *e = NULL;
            load l;
            sums s;
            REQUIRE(server != NULL);
            load_init(&l, "127.0.0.1", fb_nullserver_port(server));
            l.config.threads = threads;
            l.config.requests = numbers[i];
            l.config.interval_ns = 5 * FB_NS_PER_MS;
            l.stream.connections = threads + 1;
            l.stream.pipeline = 4;
            REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
            CHECK_EQ(FB_OK, run(e, &s, NULL));
            CHECK_EQ(numbers[i], s.ok);
            CHECK_EQ(numbers[i], served(server));
            check_sums(e, &s);
            fb_engine_free(e);
            fb_nullserver_free(server);
        }
    }
}

/* The configuration is copied: the caller's may be wiped as soon as new returns. */
static void test_configuration_is_copied(void)
{
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    load l;
    sums s;
    char host[] = "127.0.0.1";
    char command[] = LOAD_PING;
    REQUIRE(server != NULL);
    load_init(&l, host, fb_nullserver_port(server));
    l.part.bytes = (const uint8_t *)command;
    l.stream.n_openings = 1;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    memset(&l, 0xee, sizeof l);
    memset(host, 'x', sizeof host - 1);
    memset(command, 'x', sizeof command - 1);
    CHECK_EQ(FB_OK, run(e, &s, NULL));
    CHECK_EQ(10, s.ok);
    fb_engine_free(e);
    fb_nullserver_free(server);
}

static void check_refused(const fb_engine_config *config)
{
    fb_engine *e = NULL;
    fb_error err = {0};
    CHECK_EQ(FB_E_INVAL, fb_engine_new(config, &e, &err));
    CHECK(err.text[0] != '\0');
    CHECK(e == NULL);
}

/* What makes no sense is refused with a text, and leaves nothing behind. */
static void test_refuses(void)
{
    load l;
    load_init(&l, "127.0.0.1", 1);
    l.config.threads = 0;
    check_refused(&l.config);
    load_init(&l, "127.0.0.1", 1);
    l.config.duration_ns = 1;
    check_refused(&l.config); /* a duration and a number */
    load_init(&l, "127.0.0.1", 1);
    l.config.requests = 0;
    check_refused(&l.config); /* neither */
    load_init(&l, "127.0.0.1", 1);
    l.config.interval_ns = 0;
    check_refused(&l.config);
    load_init(&l, "127.0.0.1", 1);
    l.config.threads = 2;
    check_refused(&l.config); /* fewer connections than threads */
    load_init(&l, "nowhere", 1);
    check_refused(&l.config);
    load_init(&l, "127.0.0.1", 1);
    l.config.n_streams = 0;
    check_refused(&l.config);
}

/* Freed without a start, and started without a join: no thread and no byte stays behind. */
static void test_free_at_any_time(void)
{
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    load l;
    REQUIRE(server != NULL);
    load_init(&l, "127.0.0.1", fb_nullserver_port(server));
    fb_engine_free(NULL);
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    fb_engine_free(e);
    l.config.requests = 0;
    l.config.duration_ns = 3600 * FB_NS_PER_S;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    CHECK_EQ(FB_OK, fb_engine_start(e, NULL));
    fb_engine_free(e);
    fb_nullserver_free(server);
}

/* Joined without a start: intervals and totals are empty, not random. */
static void test_never_started(void)
{
    fb_engine *e = NULL;
    load l;
    sums s = {0};
    fb_totals t;
    load_init(&l, "127.0.0.1", 1);
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    CHECK_EQ(FB_OK, fb_engine_join(e, NULL));
    take_all(e, 0, &s);
    fb_engine_totals(e, 0, &t);
    CHECK_EQ(0, s.ok + s.response + s.service);
    CHECK_EQ(0, t.counts.intended);
    fb_engine_free(e);
}

/* Stopped in the middle: ends, balances, and its end does not move afterwards. */
static void test_stop(void)
{
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    load l;
    sums s = {0};
    fb_snapshot snapshot = {0};
    fb_totals first;
    fb_totals second;
    REQUIRE(server != NULL);
    load_init(&l, "127.0.0.1", fb_nullserver_port(server));
    l.config.threads = 2;
    l.config.requests = 0;
    l.config.duration_ns = 3600 * FB_NS_PER_S;
    l.stream.connections = 4;
    l.stream.pipeline = 2;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    fb_engine_snapshot(e, &snapshot);
    CHECK_EQ(FB_PHASE_ENDED, snapshot.phase); /* no thread runs */
    CHECK_EQ(FB_OK, fb_engine_start(e, NULL));
    while (snapshot.completed < 1000) {
        CHECK(!fb_engine_wait(e, FB_NS_PER_MS));
        fb_engine_snapshot(e, &snapshot);
    }
    CHECK_EQ(FB_PHASE_MEASURE, snapshot.phase);
    fb_engine_stop(e);
    CHECK(fb_engine_wait(e, 30 * FB_NS_PER_S));
    CHECK_EQ(FB_OK, fb_engine_join(e, NULL));
    CHECK_EQ(FB_OK, fb_engine_join(e, NULL)); /* again is harmless */
    const uint64_t joined_ns = fb_now_ns();
    fb_engine_totals(e, 0, &first);
    fb_engine_totals(e, 0, &second);
    CHECK_EQ(first.end_ns, second.end_ns);
    CHECK(first.end_ns <= joined_ns && first.end_ns > first.begin_ns);
    take_all(e, 0, &s);
    check_sums(e, &s);
    fb_engine_free(e);
    fb_nullserver_free(server);
}

/* Nobody listens: the run ends with the reason. */
static void test_refused(void)
{
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    fb_error err = {0};
    load l;
    sums s;
    REQUIRE(server != NULL);
    load_init(&l, "127.0.0.1", fb_nullserver_port(server));
    fb_nullserver_free(server);
    l.config.threads = 2;
    l.stream.connections = 2;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    CHECK_EQ(FB_E_CONNECT, run(e, &s, &err));
    CHECK(strstr(err.text, "refused") != NULL);
    CHECK_EQ(0, s.ok);
    fb_engine_free(e);
}

/* From start to end the workers neither allocate nor free: not while connecting, nor later. */
static void test_workers_allocate_nothing(void)
{
    static uint8_t rows[16 * 1000];
    const fb_data data = {.fd = -1, .row_bytes = 1000, .rows = 16, .base = rows};
    const fb_part parts[] = {load_text("*3\r\n$3\r\nSET\r\n$6\r\n"),
                             {.kind = FB_PART_FIELD, .field = FB_FIELD_ROW, .width = 6},
                             load_text("\r\n$1000\r\n"),
                             {.kind = FB_PART_PAYLOAD, .rows = 1},
                             load_text("\r\n")};
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    load l;
    sums s;
    REQUIRE(server != NULL);
    load_init(&l, "127.0.0.1", fb_nullserver_port(server));
    l.message = (fb_message_config){.parts = parts, .n_parts = 5, .replies = 1};
    l.stream.data = &data;
    l.stream.n_data = 1;
    l.stream.n_openings = 1;
    l.stream.connections = 6;
    l.stream.pipeline = 5;
    l.config.threads = 2;
    l.config.requests = 20000;
    l.config.captures = 10;
    l.config.capture_bytes = 100;
    l.config.interval_ns = 5 * FB_NS_PER_MS;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    CHECK(atomic_load(&calls) > 0); /* the counting works */
    CHECK_EQ(FB_OK, run(e, &s, NULL));
    CHECK_EQ(20000, s.ok);
    CHECK_EQ(0, atomic_load(&calls_of_workers));
    fb_engine_free(e);
    fb_nullserver_free(server);
}

/* Two streams of one run have their own numbers; a slow stream does not hold back the other. */
static void test_two_streams(void)
{
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    load l;
    REQUIRE(server != NULL);
    load_init(&l, "127.0.0.1", fb_nullserver_port(server));
    fb_stream_config streams[] = {l.stream, l.stream};
    streams[1].connections = 3;
    streams[1].pipeline = 8;
    l.config.streams = streams;
    l.config.n_streams = 2;
    l.config.requests = 2500;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    CHECK_EQ(FB_OK, fb_engine_start(e, NULL));
    CHECK(fb_engine_wait(e, 60 * FB_NS_PER_S));
    CHECK_EQ(FB_OK, fb_engine_join(e, NULL));
    for (uint32_t i = 0; i < 2; i++) {
        sums s = {0};
        fb_totals t;
        take_all(e, i, &s);
        fb_engine_totals(e, i, &t);
        CHECK_EQ(2500, s.ok);
        CHECK_EQ(2500, t.counts.ok);
    }
    CHECK_EQ(5000, served(server));
    fb_engine_free(e);
    fb_nullserver_free(server);
}

/* An open loop over several threads: intended is what the rate makes in the duration. */
static void test_open_loop(void)
{
    const fb_rate rate = {3000, 3000, 0};
    for (uint32_t threads = 1; threads <= 3; threads++) {
        fb_nullserver *server = new_server();
        fb_engine *e = NULL;
        load l;
        sums s;
        fb_totals t;
        REQUIRE(server != NULL);
        load_init(&l, "127.0.0.1", fb_nullserver_port(server));
        l.config.threads = threads;
        l.config.requests = 0;
        l.config.warmup_ns = 50 * FB_NS_PER_MS;
        l.config.duration_ns = 400 * FB_NS_PER_MS;
        l.stream.connections = 6;
        l.stream.pipeline = 8;
        l.stream.schedule =
            (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
        l.stream.max_outstanding = 100000;
        REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
        CHECK_EQ(FB_OK, run(e, &s, NULL));
        fb_engine_totals(e, 0, &t);
        CHECK_EQ(1200, t.counts.intended);
        CHECK_EQ(1200, t.counts.ok);
        CHECK_EQ(1200, s.lag);
        check_sums(e, &s);
        fb_engine_free(e);
        fb_nullserver_free(server);
    }
}

/* The class that the replies' errors fall into, with its number, over all threads. */
static void test_error_classes(void)
{
    const fb_resp_expect other = {'$', 3};
    fb_nullserver *server = new_server();
    fb_engine *e = NULL;
    fb_error_class classes[4];
    load l;
    sums s;
    REQUIRE(server != NULL);
    load_init(&l, "127.0.0.1", fb_nullserver_port(server));
    l.config.threads = 2;
    l.stream.connections = 2;
    l.config.requests = 100;
    l.message.expects = &other;
    l.message.n_expects = 1;
    REQUIRE(fb_engine_new(&l.config, &e, NULL) == FB_OK);
    CHECK_EQ(FB_OK, run(e, &s, NULL));
    CHECK_EQ(0, s.ok);
    CHECK_EQ(1, fb_engine_error_classes(e, 0, classes, 4));
    CHECK_STR("UNEXPECTED", classes[0].name);
    CHECK_EQ(100, classes[0].count);
    CHECK_EQ(1, fb_engine_error_classes(e, 0, classes, 1));
    CHECK_EQ(100, classes[0].count);
    CHECK_EQ(0, fb_engine_error_classes(e, 0, classes, 0));
    fb_engine_free(e);
    fb_nullserver_free(server);
}

int main(void)
{
    RUN(test_exact_number);
    RUN(test_configuration_is_copied);
    RUN(test_refuses);
    RUN(test_free_at_any_time);
    RUN(test_never_started);
    RUN(test_stop);
    RUN(test_refused);
    RUN(test_workers_allocate_nothing);
    RUN(test_two_streams);
    RUN(test_open_loop);
    RUN(test_error_classes);
    return check_result();
}
