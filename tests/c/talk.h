/* A client that talks to a null server's connection, both in one thread: tests say, serve, hear. */
#ifndef FB_TEST_TALK_H
#define FB_TEST_TALK_H

#include "check.h"
#include "nullconn.h"
#include "sockets.h"

/* A client and the connection that serves it, in one thread. */
typedef struct talk {
    int client;
    fb_nullreplies replies;
    fb_nullspace space;
    fb_nullconn *conn;
    fb_nullconn_state state;
    uint8_t *received;
    size_t received_len, room;
} talk;

static inline bool talk_open_with(talk *t, const fb_nullreplies_config *replies, bool tcp,
                                  size_t room)
{
    int pair[2] = {-1, -1};
    *t = (talk){.room = room, .state = FB_NULLCONN_READS};
    t->received = malloc(room);
    if (!(tcp ? sockets_tcp_pair(pair) : sockets_unix_pair(pair)) || t->received == NULL ||
        fb_nullreplies_init(&t->replies, replies, NULL) != FB_OK ||
        fb_nullspace_init(&t->space, NULL) != FB_OK) {
        return false;
    }
    t->client = pair[0];
    t->conn = fb_nullconn_new(pair[1], &t->replies, NULL, &t->space);
    return t->conn != NULL;
}

static inline bool talk_open(talk *t, int protocol, uint64_t reply_bytes, bool tcp, size_t room)
{
    const fb_nullreplies_config replies = {.protocol = protocol, .reply_bytes = reply_bytes};
    return talk_open_with(t, &replies, tcp, room);
}

static inline void talk_close(talk *t)
{
    (void)close(t->client);
    fb_nullconn_free(t->conn);
    fb_nullspace_fini(&t->space);
    fb_nullreplies_fini(&t->replies);
    free(t->received);
}

static inline void serve(talk *t)
{
    if (t->state != FB_NULLCONN_GONE) {
        t->state = fb_nullconn_serve(t->conn, false);
    }
}

/* Reads what is there for the client. Returns the bytes read. */
static inline size_t read_replies(talk *t)
{
    const ssize_t n = recv(t->client, t->received + t->received_len, t->room - t->received_len, 0);
    t->received_len += n > 0 ? (size_t)n : 0;
    return n > 0 ? (size_t)n : 0;
}

/* Sends all of it, in pieces of at most `cut`, serving and (where `reads`) reading in between. */
static inline void say(talk *t, const void *request, size_t len, size_t cut, bool reads)
{
    const uint8_t *bytes = request;
    while (len > 0) {
        const ssize_t n = send(t->client, bytes, len < cut ? len : cut, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        serve(t);
        if (reads) {
            (void)read_replies(t);
        }
        REQUIRE(n > 0 || reads);
    }
}

/* Serves and reads until len bytes of replies are there, or nothing comes for a very long time. */
static inline void hear(talk *t, size_t len)
{
    while (t->received_len < len) {
        serve(t);
        if (read_replies(t) == 0) {
            struct pollfd polled[] = {
                {.fd = t->client, .events = POLLIN},
                {.fd = fb_nullconn_fd(t->conn),
                 .events = t->state == FB_NULLCONN_BLOCKED ? POLLOUT : POLLIN},
            };
            REQUIRE(poll(polled, 2, SOCKETS_PATIENCE_MS) > 0);
        }
    }
}

static inline void check_replies(const talk *t, const void *expected, size_t len)
{
    CHECK_EQ(len, t->received_len);
    CHECK(t->received_len == len && memcmp(expected, t->received, len) == 0);
}

#endif
