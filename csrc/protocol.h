/* The seam between a connection and what it speaks: one small table per protocol.
 *
 * State is the protocol's own, embedded in the connection's memory, state_bytes large, owned by
 * the connection. Worker only. */
#ifndef FB_PROTOCOL_H
#define FB_PROTOCOL_H

#include "calls.h"
#include "message.h"
#include "reply.h"

/* What a protocol does whose replies come in any order, in place of feed and end: each message is
 * a call of its own. Its state begins with the fb_calls that it shares with the connection. */
typedef struct fb_multiplexed {
    /* Once, for as many calls at once, and messages of as many pieces. FB_E_NOMEM, FB_E_INVAL. */
    int (*init)(void *state, uint32_t places, uint32_t pieces, fb_error *err);
    void (*fini)(void *state);
    /* The body of the call in that place is filled: it is to be sent. */
    void (*submit)(void *state, uint32_t place, const fb_message *message);
    /* Queues what may be sent now, as far as there is room; calls may end in it. 0, or a code. */
    int (*pump)(void *state, fb_outq *out);
    /* Reads what came, all of it; calls may end in it. 0, or a code. */
    int (*take)(void *state, const uint8_t *bytes, size_t len);
    /* Nobody waits for that call any more; its place may be given back. */
    void (*cancel)(void *state, uint32_t place);
} fb_multiplexed;

typedef struct fb_protocol {
    size_t state_bytes;
    /* A new connection: the next byte in either direction is its first. */
    void (*reset)(void *state);
    /* Reads replies of the oldest unanswered message; like fb_resp_feed. */
    long (*feed)(void *state, const fb_message *message, const uint8_t *bytes, size_t len,
                 fb_reply *reply);
    /* The peer has closed the connection: true when that ends a reply, which *reply then holds.
     * NULL where it never does. */
    bool (*end)(void *state, fb_reply *reply);
    /* After feed, pump or take failed: one line that says what was wrong and where. */
    void (*explain)(const void *state, fb_error *err);
    /* The same protocol for replies with one value each, which it keeps; state is its own. Before
     * a reply is read, `keep` must say where; without that it is read as ever. A reply without a
     * value is an error of class NIL, one of another shape UNEXPECTED. */
    const struct fb_protocol *keeping;
    void (*keep)(void *state, fb_body *body); /* only of a keeping one, else NULL */
    const fb_multiplexed *multiplexed;        /* NULL = replies come in the order of requests */
    const char *alpn; /* over TLS the server must choose that; NULL = it is not asked */
} fb_protocol;

extern const fb_protocol fb_resp_protocol, fb_http_protocol, fb_grpc_protocol;

/* The table for FB_PROTOCOL_*, NULL when unknown. */
const fb_protocol *fb_protocol_find(int protocol);

#endif
