/* The seam between a connection and what it speaks: one small table per protocol.
 *
 * State is the protocol's own, embedded in the connection's memory, state_bytes large, owned by
 * the connection. Worker only. */
#ifndef FB_PROTOCOL_H
#define FB_PROTOCOL_H

#include "message.h"
#include "reply.h"

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
    /* After feed failed: one line that says what was wrong and where. */
    void (*explain)(const void *state, fb_error *err);
    /* The same protocol for replies with one value each, which it keeps; state is its own. Before
     * a reply is read, `keep` must say where; without that it is read as ever. A reply without a
     * value is an error of class NIL, one of another shape UNEXPECTED. */
    const struct fb_protocol *keeping;
    void (*keep)(void *state, fb_body *body); /* only of a keeping one, else NULL */
} fb_protocol;

extern const fb_protocol fb_resp_protocol, fb_http_protocol;

/* The table for FB_PROTOCOL_*, NULL when unknown. */
const fb_protocol *fb_protocol_find(int protocol);

#endif
