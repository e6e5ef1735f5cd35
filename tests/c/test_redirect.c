/* A whole engine against two fake nodes of a cluster, which pass its inferences on. */
#include "check.h"
#include "load.h"
#include "net.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
#define ASKING "*1\r\n$6\r\nASKING\r\n"
#define MAX_CONNS 64
#define NAMES_MAX 32

typedef struct peer_conn {
    int fd;
    uint32_t node;
    bool asking;
    char bytes[8192];
    size_t len;
    uint32_t served;
} peer_conn;

/* Both nodes on one thread. answers[n]: of node n to a GET; NULL = its own, "+v", where it may. */
typedef struct peers {
    int listeners[2];
    char names[2][NAMES_MAX];
    char answers[2][64];
    bool must_ask;     /* the second node has the key only for those that ask */
    uint32_t hangs_up; /* the second node closes after that many; 0 = never */
    atomic_bool stop;
    pthread_t thread;
    peer_conn *conns;
    uint32_t n_conns;
} peers;

static uint32_t key_slot(void)
{
    return fb_slots_of((const uint8_t *)"k", 1);
}

static bool peer_send(const peer_conn *c, const char *text)
{
    return send(c->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static bool answer_get(const peers *p, peer_conn *c)
{
    const bool own = p->answers[c->node][0] == '\0' && (!p->must_ask || c->asking);
    char text[96];
    (void)snprintf(text, sizeof text, "-MOVED %u %s\r\n", key_slot(), p->names[0]);
    c->asking = false;
    c->served++;
    if (p->hangs_up != 0 && c->node == 1 && c->served == p->hangs_up) {
        return false;
    }
    if (own) {
        return peer_send(c, "+v\r\n");
    }
    return peer_send(c, p->answers[c->node][0] ? p->answers[c->node] : text);
}

/* One command; false ends the connection. *used: its bytes, 0 when it is not whole yet. */
static bool answer_one(const peers *p, peer_conn *c, size_t *used)
{
    *used = 0;
    if (c->len >= strlen(ASKING) && memcmp(c->bytes, ASKING, strlen(ASKING)) == 0) {
        *used = strlen(ASKING);
        c->asking = true;
        return peer_send(c, "+OK\r\n");
    }
    if (c->len >= strlen(GET) && memcmp(c->bytes, GET, strlen(GET)) == 0) {
        *used = strlen(GET);
        return answer_get(p, c);
    }
    return true;
}

static bool serve(const peers *p, peer_conn *c)
{
    const ssize_t n = recv(c->fd, c->bytes + c->len, sizeof c->bytes - c->len, MSG_DONTWAIT);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    c->len += (size_t)n;
    size_t used = 1;
    while (used > 0) {
        if (!answer_one(p, c, &used)) {
            return false;
        }
        c->len -= used;
        memmove(c->bytes, c->bytes + used, c->len);
    }
    return true;
}

static void take_in(peers *p, uint32_t node)
{
    const int fd = accept(p->listeners[node], NULL, NULL);
    if (fd >= 0 && p->n_conns < MAX_CONNS) {
        p->conns[p->n_conns++] = (peer_conn){.fd = fd, .node = node};
    }
}

static void *peers_main(void *arg)
{
    peers *p = arg;
    while (!atomic_load(&p->stop)) {
        struct pollfd polled[2 + MAX_CONNS];
        const uint32_t n = p->n_conns;
        for (uint32_t i = 0; i < 2 + n; i++) {
            polled[i] = (struct pollfd){.fd = i < 2 ? p->listeners[i] : p->conns[i - 2].fd,
                                        .events = POLLIN};
        }
        (void)poll(polled, 2 + n, 20);
        for (uint32_t i = 0; i < n; i++) {
            if (polled[2 + i].revents != 0 && !serve(p, &p->conns[i])) {
                (void)close(p->conns[i].fd);
                p->conns[i].fd = -1; /* poll skips it */
            }
        }
        take_in(p, 0);
        take_in(p, 1);
    }
    return NULL;
}

typedef struct rig {
    load load;
    peers peers;
    fb_part parts[3];
    fb_endpoint endpoints[2];
    uint16_t owners[FB_SLOTS];
    fb_engine *engine;
    fb_totals totals;
    fb_node_counts nodes[2];
} rig;

/* All slots are at the first node, and every inference is GET k. */
static bool rig_init(rig *r)
{
    *r = (rig){0};
    load_init(&r->load, "127.0.0.1", 1);
    r->peers.conns = calloc(MAX_CONNS, sizeof *r->peers.conns);
    for (uint32_t i = 0; i < 2; i++) {
        uint16_t port = 0;
        r->peers.listeners[i] = fb_net_listen_tcp("127.0.0.1", &port, NULL);
        (void)snprintf(r->peers.names[i], NAMES_MAX, "127.0.0.1:%u", port);
        r->endpoints[i] =
            (fb_endpoint){.host = "127.0.0.1", .port = port, .name = r->peers.names[i]};
    }
    r->parts[0] = load_text("*2\r\n$3\r\nGET\r\n$1\r\n");
    r->parts[1] = load_text("k");
    r->parts[2] = load_text("\r\n");
    r->load.message = (fb_message_config){
        .parts = r->parts, .n_parts = 3, .replies = 1, .key_from = 1, .key_parts = 1};
    r->load.stream.endpoints = r->endpoints;
    r->load.stream.n_endpoints = 2;
    r->load.stream.owners = r->owners;
    r->load.stream.connections = 8;
    r->load.stream.pipeline = 4;
    r->load.config.threads = 2;
    r->load.config.requests = 4000;
    return r->peers.conns && r->peers.listeners[0] >= 0 && r->peers.listeners[1] >= 0;
}

static void rig_run(rig *r)
{
    fb_error err;
    fb_interval *interval = malloc(sizeof *interval);
    REQUIRE(interval != NULL);
    REQUIRE(pthread_create(&r->peers.thread, NULL, peers_main, &r->peers) == 0);
    REQUIRE(fb_engine_new(&r->load.config, &r->engine, &err) == FB_OK);
    REQUIRE(fb_engine_start(r->engine, &err) == FB_OK);
    while (!fb_engine_wait(r->engine, 50 * FB_NS_PER_MS)) {
        while (fb_engine_take_interval(r->engine, 0, interval)) {
        }
    }
    const int rc = fb_engine_join(r->engine, &err); /* which checks that the counts add up */
    CHECK_EQ(FB_OK, rc);
    fb_engine_totals(r->engine, 0, &r->totals);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(fb_engine_node(r->engine, 0, i, &r->nodes[i]));
        const fb_node_counts *n = &r->nodes[i];
        CHECK_EQ(n->sent,
                 n->ok + n->errors + n->timeouts + n->lost + n->unfinished + n->moved + n->asked);
    }
    CHECK_EQ(4000, r->totals.counts.intended);
    CHECK_EQ(r->totals.counts.ok, r->nodes[0].ok + r->nodes[1].ok);
    CHECK_EQ(r->totals.counts.errors, r->nodes[0].errors + r->nodes[1].errors);
    CHECK_EQ(r->totals.counts.lost, r->nodes[0].lost + r->nodes[1].lost);
    free(interval);
}

static void rig_close(rig *r)
{
    fb_engine_free(r->engine);
    atomic_store(&r->peers.stop, true);
    CHECK_EQ(0, pthread_join(r->peers.thread, NULL));
    for (uint32_t i = 0; i < r->peers.n_conns; i++) {
        if (r->peers.conns[i].fd >= 0) {
            (void)close(r->peers.conns[i].fd);
        }
    }
    (void)close(r->peers.listeners[0]);
    (void)close(r->peers.listeners[1]);
    free(r->peers.conns);
}

static void answer_with(rig *r, uint32_t node, const char *word, uint32_t to)
{
    (void)snprintf(r->peers.answers[node], sizeof r->peers.answers[node], "-%s %u %s\r\n", word,
                   key_slot(), r->peers.names[to]);
}

/* Each goes to the first node, is told to ask the second, and is answered there. */
static void test_ask_every_time(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.peers.must_ask = true;
    answer_with(&r, 0, "ASK", 1);
    rig_run(&r);
    CHECK_EQ(4000, r.totals.counts.ok);
    CHECK_EQ(4000, r.nodes[0].asked);
    CHECK_EQ(4000, r.nodes[1].ok);
    rig_close(&r);
}

/* Once told that the slot has moved, a thread goes to the second node at once. */
static void test_moved_is_learned(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    answer_with(&r, 0, "MOVED", 1);
    rig_run(&r);
    CHECK_EQ(4000, r.totals.counts.ok);
    CHECK(r.nodes[0].moved >= 2 && r.nodes[0].moved <= 2 * 4 * 4);
    CHECK_EQ(4000, r.nodes[1].ok);
    rig_close(&r);
}

/* The nodes send each on to the other: an error after as many times as are allowed. */
static void test_circle(void)
{
    rig r;
    fb_error_class class;
    REQUIRE(rig_init(&r));
    answer_with(&r, 0, "MOVED", 1);
    answer_with(&r, 1, "MOVED", 0);
    rig_run(&r);
    CHECK_EQ(4000, r.totals.counts.errors);
    CHECK_EQ(4000 * 5, r.nodes[0].moved + r.nodes[1].moved);
    CHECK_EQ(1, fb_engine_error_classes(r.engine, 0, &class, 1) > 0);
    rig_close(&r);
}

/* The node that is asked hangs up now and then: what it had is lost, nothing else. */
static void test_asked_node_hangs_up(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.peers.must_ask = true;
    r.peers.hangs_up = 300;
    answer_with(&r, 0, "ASK", 1);
    rig_run(&r);
    CHECK(r.totals.counts.lost > 0);
    CHECK_EQ(0, r.totals.counts.errors);
    CHECK_EQ(4000, r.totals.counts.ok + r.totals.counts.lost);
    CHECK(r.totals.breaks > 0);
    rig_close(&r);
}

int main(void)
{
    RUN(test_ask_every_time);
    RUN(test_moved_is_learned);
    RUN(test_circle);
    RUN(test_asked_node_hangs_up);
    return check_result();
}
