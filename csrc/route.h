/* A connection whose inferences do not simply come from its lane and end with its reply: in a
 * cluster they wait for a node and may be passed on, in a chain they wait for a step and go on.
 *
 * What a connection does for these alone; it asks only where it has tickets. `i` is the place of
 * an inference in its slots and tickets. Worker only; nothing can fail. */
#ifndef FB_ROUTE_H
#define FB_ROUTE_H

#include "chain.h"
#include "router.h"

typedef struct fb_route {
    fb_lane *lane;
    fb_node *node;      /* of a cluster; NULL = none */
    fb_chain *chain;    /* NULL = none */
    fb_ticket *tickets; /* of each slot; in a chain its number is a token. NULL = plain */
} fb_route;

static inline bool fb_route_is_on(const fb_route *r)
{
    return FB_UNLIKELY(r->tickets != NULL);
}

/* Takes the oldest inference that waits for a connection like this one; false: there is none. */
bool fb_route_next(const fb_route *r, fb_slot *slot, fb_ticket *ticket);

/* The message to be queued next is that of this inference. */
void fb_route_aim(const fb_route *r, const fb_slot *slot, uint32_t i, fb_outq *out);

/* Closed loop: intends as many as have ended. */
void fb_route_refill(const fb_route *r, uint64_t intended_ns);

/* Its first byte left; sets the slot's sent_ns. */
void fb_route_sent(const fb_route *r, fb_slot *slot, uint32_t i, uint64_t sent_ns);

/* What its next reply answers; tells the protocol where to keep what that holds. */
const fb_message *fb_route_awaited(const fb_route *r, uint32_t i, void *protocol_state);

/* It was answered. True when the lane need not be told: it goes on, or that was seen to. */
bool fb_route_replied(const fb_route *r, const fb_slot *slot, uint32_t i, const fb_reply *reply,
                      uint64_t received_ns);

/* The connection broke: it had sent this one, or had not. */
void fb_route_lost(const fb_route *r, fb_slot *slot, uint32_t i, uint64_t now_ns);
void fb_route_put_back(const fb_route *r, fb_slot *slot, uint32_t i);

/* Marks it as timed out when its time is over. */
void fb_route_time_out(const fb_route *r, fb_slot *slot, uint32_t i, uint64_t now_ns);

/* The run is over and it is still here; sent: by this connection. */
void fb_route_abandon(const fb_route *r, fb_slot *slot, uint32_t i, bool sent);

#endif
