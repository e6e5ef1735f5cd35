/* One connection, driven by hand: each event is one step, and the other end is the test. */
#ifndef FB_TEST_CONN_RIG_H
#define FB_TEST_CONN_RIG_H

#include "check.h"
#include "clock.h"
#include "conn.h"
#include "load.h"
#include "sockets.h"

#include <sys/epoll.h>

typedef struct rig {
    load load;
    fb_stream stream;
    fb_shared shared;
    fb_lane lane;
    fb_conn conn;
    fb_io io;
    int listener, peer; /* -1 = none */
    char wire[4096];    /* what the peer last received */
} rig;

/* A server that listens, and the usual load; a test may change it before rig_open. */
static inline bool rig_init(rig *r)
{
    uint16_t port = 0;
    memset(r, 0, sizeof *r);
    r->peer = -1;
    r->listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    load_init(&r->load, "127.0.0.1", port);
    return r->listener >= 0;
}

/* Makes the lane. */
static inline bool rig_lane(rig *r)
{
    r->io.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->io.buffer_len = 64 * 1024;
    r->io.buffer = malloc(r->io.buffer_len);
    r->io.now_ns = fb_now_ns();
    if (!r->io.buffer || fb_stream_init(&r->stream, &r->load.stream, NULL) != FB_OK ||
        fb_lane_init(&r->lane, &r->stream, &r->load.config, &r->shared, 0, NULL) != FB_OK) {
        return false;
    }
    fb_recorder_clear(&r->lane.recorder);
    return true;
}

/* Makes the connection and begins to connect. */
static inline bool rig_connect(rig *r)
{
    return fb_conn_init(&r->conn, &r->lane, 5, NULL) == FB_OK &&
           fb_conn_open(&r->conn, &r->io) == FB_OK;
}

static inline bool rig_open(rig *r)
{
    return rig_lane(r) && rig_connect(r);
}

static inline void rig_hang_up(rig *r)
{
    if (r->peer >= 0) {
        (void)close(r->peer);
    }
    r->peer = -1;
}

/* Ends the run and checks that every inference is in exactly one column. */
static inline void rig_close(rig *r)
{
    fb_conn_close(&r->conn, fb_now_ns());
    const fb_counts c = r->lane.counts;
    CHECK_EQ(c.intended, c.sent + c.never_sent);
    CHECK_EQ(c.sent, c.ok + c.errors + c.timeouts + c.lost + c.unfinished);
    CHECK_EQ(0, r->lane.open);
    CHECK_EQ(0, r->lane.blocked);
    fb_conn_fini(&r->conn);
    fb_lane_fini(&r->lane);
    fb_stream_fini(&r->stream);
    rig_hang_up(r);
    (void)close(r->listener);
    (void)close(r->io.epoll_fd);
    fb_splicer_close(&r->io.splicer);
    free(r->io.buffer);
}

static inline bool rig_accept(rig *r)
{
    rig_hang_up(r);
    if (!sockets_wait(r->listener, POLLIN)) {
        return false;
    }
    r->peer = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    return r->peer >= 0;
}

/* Waits for one event and hands it to the connection; what that returned. */
static inline int step(rig *r)
{
    struct epoll_event event = {0};
    const int n = epoll_wait(r->io.epoll_fd, &event, 1, SOCKETS_PATIENCE_MS);
    CHECK_EQ(1, n);
    return n == 1 ? fb_conn_event(&r->conn, &r->io, event.events) : FB_E_BROKEN;
}

/* An event is there to be taken, without waiting for one. */
static inline bool epoll_pending(const rig *r)
{
    struct pollfd polled = {.fd = r->io.epoll_fd, .events = POLLIN};
    return poll(&polled, 1, 0) == 1;
}

/* Steps until the connection is in that state. */
static inline void step_to(rig *r, fb_conn_state state)
{
    for (int i = 0; i < 20 && r->conn.state != state; i++) {
        CHECK_EQ(FB_OK, step(r));
    }
    CHECK_EQ(state, r->conn.state);
}

static inline void answer(rig *r, const char *text)
{
    CHECK_EQ(strlen(text), send(r->peer, text, strlen(text), MSG_NOSIGNAL));
}

/* Answers and steps until that many inferences have been counted as ok. */
static inline void answer_ok(rig *r, const char *text, uint64_t ok)
{
    answer(r, text);
    while (r->lane.counts.ok < ok && step(r) == FB_OK && r->conn.link.fd >= 0) {
    }
    CHECK_EQ(ok, r->lane.counts.ok);
}

/* Receives exactly n bytes at the peer, in any pieces. */
static inline void receive(rig *r, size_t n)
{
    size_t got = 0;
    while (got < n && sockets_wait(r->peer, POLLIN)) {
        const ssize_t more = recv(r->peer, r->wire + got, n - got, 0);
        if (more <= 0) {
            break;
        }
        got += (size_t)more;
    }
    CHECK_EQ(n, got);
    r->wire[got] = '\0';
}

/* Load begins now: the first window of inferences leaves. */
static inline void begin(rig *r)
{
    r->io.now_ns = fb_now_ns();
    fb_lane_begin(&r->lane, r->io.now_ns);
    CHECK_EQ(FB_OK, fb_conn_fill(&r->conn, &r->io, r->io.now_ns));
}

#endif
