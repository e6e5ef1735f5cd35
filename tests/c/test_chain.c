/* Chains of two steps: GET of a value from one fake server, PUT of it to another. */
#include "chain.h"
#include "check.h"
#include "load.h"
#include "net.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "*2\r\n$3\r\nGET\r\n$8\r\n"
#define PUT "*3\r\n$3\r\nPUT\r\n$8\r\n"
#define KEY_BYTES 8
#define VALUE_MAX 700 /* bytes; those of a key follow from it */
#define MAX_CONNS 64
#define REQUESTS 3000

/* ---- two fake servers on one thread ---------------------------------------------------------- */

typedef struct peer_conn {
    int fd;
    uint32_t step;
    uint8_t in[65536], out[65536];
    size_t in_len, out_len;
    uint32_t served;
} peer_conn;

typedef struct peers {
    int listeners[2];
    uint16_t ports[2];
    /* Every so-many-th key is answered so, by the first or the second server; NULL = as it should.
     */
    const char *odd[2];
    uint32_t every;
    uint32_t hangs_up[2]; /* closes a connection after that many; 0 = never */
    bool vanishes[2];     /* with the first that it closes, it is gone for good */
    bool silent[2];       /* the odd ones get no answer, and nothing after them */
    size_t chunk;         /* bytes sent at a time; 0 = all */
    atomic_bool stop;
    atomic_uint wrong; /* PUTs whose value was not that of their key */
    pthread_t thread;
    peer_conn *conns;
    uint32_t n_conns;
} peers;

static size_t value_of(uint32_t key, uint8_t *value)
{
    const size_t len = key * 7919 % VALUE_MAX;
    for (size_t i = 0; i < len; i++) {
        value[i] = (uint8_t)(key * 31 + i * 7);
    }
    return len;
}

static void say(peer_conn *c, const void *bytes, size_t len)
{
    if (c->out_len + len <= sizeof c->out) {
        memcpy(c->out + c->out_len, bytes, len);
        c->out_len += len;
    }
}

/* The key of a command that begins as it must; UINT32_MAX when that is not all there. */
static uint32_t key_of(const peer_conn *c, const char *begin)
{
    char digits[KEY_BYTES + 1] = "";
    if (c->in_len < strlen(begin) + KEY_BYTES + 2 || memcmp(c->in, begin, strlen(begin)) != 0) {
        return UINT32_MAX;
    }
    memcpy(digits, c->in + strlen(begin), KEY_BYTES);
    return (uint32_t)strtoul(digits, NULL, 10);
}

static bool is_odd(const peers *p, const peer_conn *c, uint32_t key)
{
    return p->every > 0 && (p->odd[c->step] || p->silent[c->step]) && key % p->every == 0;
}

static size_t answer_get(const peers *p, peer_conn *c)
{
    uint8_t value[VALUE_MAX];
    char head[32];
    const uint32_t key = key_of(c, GET);
    if (key == UINT32_MAX) {
        return 0;
    }
    if (is_odd(p, c, key)) {
        say(c, p->odd[0] ? p->odd[0] : "", p->odd[0] ? strlen(p->odd[0]) : 0);
    } else {
        const size_t len = value_of(key, value);
        say(c, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", len));
        say(c, value, len);
        say(c, "\r\n", 2);
    }
    return strlen(GET) + KEY_BYTES + 2;
}

static size_t answer_put(peers *p, peer_conn *c)
{
    uint8_t value[VALUE_MAX];
    char head[32];
    const uint32_t key = key_of(c, PUT);
    const size_t len = key == UINT32_MAX ? 0 : value_of(key, value);
    const size_t head_len = (size_t)snprintf(head, sizeof head, "$%zu\r\n", len);
    const size_t at = strlen(PUT) + KEY_BYTES + 2;
    if (key == UINT32_MAX || c->in_len < at + head_len + len + 2) {
        return 0;
    }
    if (memcmp(c->in + at, head, head_len) != 0 || memcmp(c->in + at + head_len, value, len) != 0) {
        atomic_fetch_add(&p->wrong, 1);
    }
    if (!is_odd(p, c, key)) {
        say(c, "+v\r\n", 4);
    } else if (p->odd[1]) {
        say(c, p->odd[1], strlen(p->odd[1]));
    }
    return at + head_len + len + 2;
}

/* False ends the connection. */
static bool serve(peers *p, peer_conn *c)
{
    const ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        return false;
    }
    c->in_len += n > 0 ? (size_t)n : 0;
    for (size_t used = 1; used > 0;) {
        used = c->step == 0 ? answer_get(p, c) : answer_put(p, c);
        c->in_len -= used;
        memmove(c->in, c->in + used, c->in_len);
        c->served += used > 0;
        if (used > 0 && p->hangs_up[c->step] != 0 && c->served == p->hangs_up[c->step]) {
            return false;
        }
    }
    return true;
}

static bool deliver(const peers *p, peer_conn *c)
{
    const size_t len = p->chunk > 0 && p->chunk < c->out_len ? p->chunk : c->out_len;
    const ssize_t n = len > 0 ? send(c->fd, c->out, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0) {
        return errno == EAGAIN;
    }
    c->out_len -= (size_t)n;
    memmove(c->out, c->out + n, c->out_len);
    return true;
}

static void hang_up(peers *p, peer_conn *c)
{
    (void)close(c->fd);
    c->fd = -1;
    if (p->vanishes[c->step] && p->listeners[c->step] >= 0) {
        (void)close(p->listeners[c->step]);
        p->listeners[c->step] = -1;
    }
}

static void take_in(peers *p, uint32_t step)
{
    const int fd = accept(p->listeners[step], NULL, NULL);
    for (uint32_t i = 0; fd >= 0 && i < MAX_CONNS; i++) {
        peer_conn *c = &p->conns[i];
        if (c->fd < 0) {
            memset(c, 0, sizeof *c);
            c->fd = fd;
            c->step = step;
            p->n_conns = i + 1 > p->n_conns ? i + 1 : p->n_conns;
            return;
        }
    }
}

static void *peers_main(void *arg)
{
    peers *p = arg;
    for (uint32_t round = 0; !atomic_load(&p->stop); round++) {
        struct pollfd polled[2 + MAX_CONNS];
        const uint32_t n = p->n_conns;
        for (uint32_t i = 0; i < 2; i++) {
            polled[i] = (struct pollfd){.fd = p->listeners[i], .events = POLLIN};
        }
        for (uint32_t i = 0; i < n; i++) {
            const short wants = p->conns[i].out_len > 0 ? POLLIN | POLLOUT : POLLIN;
            polled[2 + i] = (struct pollfd){.fd = p->conns[i].fd, .events = wants};
        }
        (void)poll(polled, 2 + n, 20);
        /* Every other round in reverse, so that answers overtake each other. */
        for (uint32_t k = 0; k < n; k++) {
            peer_conn *c = &p->conns[round % 2 == 0 ? k : n - 1 - k];
            const uint32_t i = (uint32_t)(c - p->conns);
            const bool gone = p->vanishes[c->step] && p->listeners[c->step] < 0;
            if (c->fd >= 0 &&
                (gone || (polled[2 + i].revents != 0 && !(serve(p, c) && deliver(p, c))))) {
                hang_up(p, c);
            }
        }
        take_in(p, 0);
        take_in(p, 1);
    }
    return NULL;
}

/* ---- an engine against them ------------------------------------------------------------------ */

typedef struct rig {
    load load; /* of PUT, the step that leads */
    peers peers;
    fb_part get[3], put[7];
    fb_message_config get_message;
    fb_endpoint endpoints[2];
    fb_stream_config before;
    fb_keys_config keys;
    fb_engine *engine;
    fb_totals totals;
    fb_hist *steps[2], *whole;
    int code;
    fb_error err;
} rig;

static void make_messages(rig *r)
{
    const fb_part key = {.kind = FB_PART_FIELD, .field = FB_FIELD_KEYS, .width = KEY_BYTES};
    r->get[0] = load_text(GET);
    r->get[1] = key;
    r->get[2] = load_text("\r\n");
    r->put[0] = load_text(PUT);
    r->put[1] = key;
    r->put[2] = load_text("\r\n$");
    r->put[3] = (fb_part){.kind = FB_PART_LENGTH, .skip = 1, .covers = 1};
    r->put[4] = load_text("\r\n");
    r->put[5] = (fb_part){.kind = FB_PART_FETCHED, .data = 0};
    r->put[6] = load_text("\r\n");
    r->get_message = (fb_message_config){.parts = r->get, .n_parts = 3, .replies = 1};
    r->load.message = (fb_message_config){.parts = r->put, .n_parts = 7, .replies = 1};
}

static bool rig_init(rig *r)
{
    *r = (rig){0};
    load_init(&r->load, "127.0.0.1", 1);
    r->peers.conns = calloc(MAX_CONNS, sizeof *r->peers.conns);
    for (uint32_t i = 0; r->peers.conns && i < MAX_CONNS; i++) {
        r->peers.conns[i].fd = -1;
    }
    for (uint32_t i = 0; i < 2; i++) {
        r->peers.listeners[i] = fb_net_listen_tcp("127.0.0.1", &r->peers.ports[i], NULL);
        r->endpoints[i] = (fb_endpoint){.host = "127.0.0.1", .port = r->peers.ports[i]};
        r->steps[i] = malloc(sizeof(fb_hist));
    }
    r->whole = malloc(sizeof(fb_hist));
    make_messages(r);
    r->keys = (fb_keys_config){.kind = FB_KEYS_UNIFORM, .low = 0, .high = 9999};
    r->load.stream.endpoints = &r->endpoints[1];
    r->load.stream.connections = 8;
    r->load.stream.pipeline = 4;
    r->load.stream.keys = &r->keys;
    r->load.stream.n_keys = 1;
    r->before = (fb_stream_config){
        .protocol = FB_PROTOCOL_RESP,
        .endpoints = &r->endpoints[0],
        .n_endpoints = 1,
        .connections = 6,
        .pipeline = 5,
        .messages = &r->get_message,
        .n_messages = 1,
        .fetch_bytes = VALUE_MAX,
    };
    r->load.stream.before = &r->before;
    r->load.stream.n_before = 1;
    r->load.config.threads = 2;
    r->load.config.requests = REQUESTS;
    return r->peers.conns && r->steps[0] && r->steps[1] && r->whole && r->peers.listeners[0] >= 0 &&
           r->peers.listeners[1] >= 0;
}

static void take_intervals(rig *r, fb_interval *interval)
{
    while (fb_engine_take_interval(r->engine, 0, interval)) {
        fb_hist_add(r->whole, &interval->service);
    }
}

/* Runs to the end, and checks what always holds. */
static void rig_run(rig *r)
{
    fb_interval *interval = malloc(sizeof *interval);
    REQUIRE(interval != NULL);
    fb_hist_clear(r->whole);
    REQUIRE(pthread_create(&r->peers.thread, NULL, peers_main, &r->peers) == 0);
    REQUIRE(fb_engine_new(&r->load.config, &r->engine, &r->err) == FB_OK);
    REQUIRE(fb_engine_start(r->engine, &r->err) == FB_OK);
    while (!fb_engine_wait(r->engine, 50 * FB_NS_PER_MS)) {
        take_intervals(r, interval);
    }
    r->code = fb_engine_join(r->engine, &r->err); /* which checks that the counts add up */
    take_intervals(r, interval);
    free(interval);
    fb_engine_totals(r->engine, 0, &r->totals);
    CHECK_EQ(0, atomic_load(&r->peers.wrong));
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(fb_engine_step(r->engine, 0, i, r->steps[i]));
        CHECK_EQ(r->totals.counts.ok, r->steps[i]->total);
    }
    CHECK(!fb_engine_step(r->engine, 0, 2, r->steps[0]) && r->totals.counts.ok == r->whole->total);
    CHECK(fb_engine_step(r->engine, 0, 0, r->steps[0]));
    /* The steps are parts of the whole; what is left passes between them. */
    CHECK(r->steps[0]->sum_ns + r->steps[1]->sum_ns <= r->whole->sum_ns + 1);
}

static void rig_close(rig *r)
{
    fb_engine_free(r->engine);
    atomic_store(&r->peers.stop, true);
    CHECK_EQ(0, pthread_join(r->peers.thread, NULL));
    for (uint32_t i = 0; i < MAX_CONNS; i++) {
        if (r->peers.conns[i].fd >= 0) {
            (void)close(r->peers.conns[i].fd);
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (r->peers.listeners[i] >= 0) {
            (void)close(r->peers.listeners[i]);
        }
        free(r->steps[i]);
    }
    free(r->whole);
    free(r->peers.conns);
}

static fb_error_class only_class(const rig *r)
{
    fb_error_class classes[4] = {0};
    CHECK_EQ(1, fb_engine_error_classes(r->engine, 0, classes, 4));
    return classes[0];
}

/* Every value arrives with its key, many in flight, answers overtaking each other. */
static void test_values_go_with_their_keys(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    rig_run(&r);
    CHECK_EQ(FB_OK, r.code);
    CHECK_EQ(REQUESTS, r.totals.counts.intended);
    CHECK_EQ(REQUESTS, r.totals.counts.ok);
    rig_close(&r);
}

/* The same when replies come in little pieces, also of one byte. */
static void test_replies_in_pieces(void)
{
    const size_t chunks[] = {1, 7, 400};
    for (size_t i = 0; i < 3; i++) {
        rig r;
        REQUIRE(rig_init(&r));
        r.peers.chunk = chunks[i];
        r.load.config.requests = i == 0 ? 60 : 300;
        rig_run(&r);
        CHECK_EQ(r.load.config.requests, r.totals.counts.ok);
        rig_close(&r);
    }
}

/* Open loop: as many as are due, none lost. */
static void test_open_loop(void)
{
    rig r;
    const fb_rate rate = {.from_per_s = 4000, .to_per_s = 4000};
    REQUIRE(rig_init(&r));
    r.load.stream.schedule = (fb_schedule){FB_ARRIVALS_CONSTANT, &rate, 1, NULL, 0};
    r.load.stream.max_outstanding = 100000;
    r.load.config.requests = 0;
    r.load.config.duration_ns = 300 * FB_NS_PER_MS;
    rig_run(&r);
    CHECK_EQ(1200, r.totals.counts.intended);
    CHECK_EQ(1200, r.totals.counts.ok);
    rig_close(&r);
}

/* What the first or the second server says is wrong ends the inference, in a class that says so,
 * with a text that names the step. */
static void test_errors_of_steps(void)
{
    static const struct {
        uint32_t step;
        const char *answer, *class, *text;
    } cases[] = {
        {0, "$-1\r\n", "NIL", "step 1: NIL: there is no such value"},
        {0, "_\r\n", "NIL", "step 1: NIL: there is no such value"},
        {0, "+odd\r\n", "UNEXPECTED", "step 1: UNEXPECTED reply: it is not a string"},
        {0, "-LOADING wait\r\n", "LOADING", "step 1: LOADING wait"},
        {1, "-BUSY wait\r\n", "BUSY", "step 2: BUSY wait"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        REQUIRE(rig_init(&r));
        r.peers.every = 5;
        r.peers.odd[cases[i].step] = cases[i].answer;
        rig_run(&r);
        const fb_error_class class = only_class(&r);
        CHECK(r.totals.counts.errors > 100 && r.totals.counts.ok > 1000);
        CHECK_EQ(REQUESTS, r.totals.counts.ok + r.totals.counts.errors);
        CHECK_STR(cases[i].class, class.name);
        CHECK_STR(cases[i].text, class.first_text);
        rig_close(&r);
    }
}

/* A value that has no room is an error; those that just fit go through. */
static void test_too_long(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.before.fetch_bytes = VALUE_MAX / 2;
    rig_run(&r);
    const fb_error_class class = only_class(&r);
    CHECK(r.totals.counts.ok > 1000);
    CHECK_EQ(REQUESTS, r.totals.counts.ok + r.totals.counts.errors);
    CHECK_STR("FETCHED_TOO_LONG", class.name);
    CHECK(strncmp(class.first_text, "step 1: ", 8) == 0);
    rig_close(&r);
}

/* Either server hangs up now and then: what it had is lost, once, and the run goes on. */
static void test_server_hangs_up(void)
{
    for (uint32_t step = 0; step < 2; step++) {
        rig r;
        REQUIRE(rig_init(&r));
        r.peers.hangs_up[step] = 90;
        rig_run(&r);
        CHECK_EQ(FB_OK, r.code);
        CHECK(r.totals.counts.lost > 0 && r.totals.breaks > 0 && r.totals.reconnects > 0);
        CHECK_EQ(REQUESTS, r.totals.counts.ok + r.totals.counts.lost);
        rig_close(&r);
    }
}

/* One key in a hundred is never answered: time counts for both steps together, and each inference
 * times out once, also those that a dead connection takes along. */
static void test_time_outs(void)
{
    for (uint32_t step = 0; step < 2; step++) {
        rig r;
        REQUIRE(rig_init(&r));
        r.peers.every = 100;
        r.peers.silent[step] = true;
        r.load.config.timeout_ns = 100 * FB_NS_PER_MS;
        r.load.config.requests = 400;
        r.load.stream.pipeline = 1;
        r.before.pipeline = 1;
        rig_run(&r);
        CHECK(r.totals.counts.timeouts > 0);
        CHECK_EQ(400, r.totals.counts.ok + r.totals.counts.timeouts + r.totals.counts.lost);
        rig_close(&r);
    }
}

/* A server that vanishes ends the run, which says whose it was; the counts still add up. */
static void test_server_of_a_step_vanishes(void)
{
    for (uint32_t step = 0; step < 2; step++) {
        rig r;
        REQUIRE(rig_init(&r));
        r.peers.hangs_up[step] = 50;
        r.peers.vanishes[step] = true;
        r.load.config.threads = 1; /* so that load has begun wherever it breaks */
        r.load.config.give_up_ns = 100 * FB_NS_PER_MS;
        rig_run(&r);
        CHECK_EQ(FB_E_CONNECT, r.code);
        CHECK(strstr(r.err.text, step == 0 ? "of step 1 is gone" : "of step 2 is gone") != NULL);
        CHECK(r.totals.counts.lost > 0);
        rig_close(&r);
    }
}

/* ---- what cannot be a chain ------------------------------------------------------------------ */

static void refused(rig *r, const char *why)
{
    fb_engine *engine = NULL;
    fb_error err = {0};
    CHECK_EQ(FB_E_INVAL, fb_engine_new(&r->load.config, &engine, &err));
    CHECK(strstr(err.text, why) != NULL);
    fb_engine_free(engine);
}

/* A value must come from a step before, of one reply, and a step is one message. */
static void test_refused(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.put[5].data = 1;
    refused(&r, "no step before it has kept");
    r.put[5].data = 0;
    r.before.fetch_bytes = 0;
    refused(&r, "no step before it has kept");
    r.before.fetch_bytes = 10;
    r.get_message.replies = 2;
    refused(&r, "keeps one value");
    r.get_message.replies = 1;
    r.load.stream.fetch_bytes = 10;
    refused(&r, "nothing follows");
    r.load.stream.fetch_bytes = 0;
    r.before.connections = 1;
    refused(&r, "each thread needs a connection");
    r.before.connections = 6;
    r.load.stream.n_before = FB_CHAIN_MAX_STEPS;
    refused(&r, "at most 8 steps");
    r.load.stream.n_before = 0;
    refused(&r, "no step before it has kept");
    for (uint32_t i = 0; i < 2; i++) {
        (void)close(r.peers.listeners[i]);
        free(r.steps[i]);
    }
    free(r.whole);
    free(r.peers.conns);
}

int main(void)
{
    RUN(test_values_go_with_their_keys);
    RUN(test_replies_in_pieces);
    RUN(test_open_loop);
    RUN(test_errors_of_steps);
    RUN(test_too_long);
    RUN(test_server_hangs_up);
    RUN(test_time_outs);
    RUN(test_server_of_a_step_vanishes);
    RUN(test_refused);
    return check_result();
}
