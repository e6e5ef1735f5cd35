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
    /* After feed failed: one line that says what was wrong and where. */
    void (*explain)(const void *state, fb_error *err);
} fb_protocol;

/* The table for FB_PROTOCOL_*, NULL when unknown. */
const fb_protocol *fb_protocol_find(int protocol);

#endif
