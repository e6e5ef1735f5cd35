/* Where in a cluster the inferences of one lane go, and how they wait for a node.
 *
 * Each inference is admitted, its key drawn and hashed, and queued for the node that has the key;
 * that node's connections take it when they have room. A "MOVED" reply corrects the table of
 * owners and queues the inference for the other node, an "ASK" only queues it there, to be sent
 * after ASKING. Its draws follow from its ticket, so that each sending writes the same bytes; its
 * intended and first sent instants stay, so that its latencies hold the detour.
 *
 * Made before start by the worker, which owns it; then worker only. Only fb_router_new fails. */
#ifndef FB_ROUTER_H
#define FB_ROUTER_H

#include "lane.h"
#include "slots.h"

#define FB_ROUTER_NONE UINT32_MAX /* no place of the pool */
#define FB_ROUTER_MAX_REDIRECTS 5 /* of one inference; the next one is an error */

/* Number of an inference among those of its message on this lane, and how often it was passed on.
 */
typedef struct fb_ticket {
    uint64_t number;
    uint32_t redirects;
} fb_ticket;

typedef struct fb_queued {
    fb_slot slot;
    fb_ticket ticket;
    uint32_t next;
} fb_queued;

typedef struct fb_node {
    fb_node_counts counts;
    uint32_t first, last;   /* of its queue */
    uint32_t cursor;        /* of its connections, the one to try next */
    uint32_t ready;         /* connections */
    bool has_room;          /* a connection may have a free slot */
    uint64_t down_since_ns; /* the last one broke then, and nothing was answered since; or 0 */
} fb_node;

typedef struct fb_router {
    fb_lane *lane;
    uint16_t *owners; /* by hash slot: index of the node */
    fb_node *nodes;
    uint32_t n_nodes;
    uint32_t turn;   /* node that a command without a key goes to next */
    fb_queued *pool; /* queues are chains in it */
    uint32_t free;   /* first of the chain of unused ones */
    uint32_t limit;  /* closed loop: inferences at a time; open loop: those that may wait */
    uint32_t queued, open;
    uint32_t resent;   /* of the queued: sent before */
    uint64_t *numbers; /* by message: of its next inference */
    uint64_t *seeds;   /* by message */
    uint64_t *origins; /* by keys: where the lane's sequences begin */
    uint8_t *key;      /* room for the longest */
} fb_router;

/* For a lane of a stream with owners; the lane gets its address. NULL with err: FB_E_NOMEM. */
fb_router *fb_router_new(fb_lane *lane, fb_error *err);
void fb_router_free(fb_router *r);

/* An inference is intended at that instant: admitted and queued. False when none is to be sent. */
bool fb_router_intend(fb_router *r, uint64_t intended_ns);

/* Closed loop: intends as many as have ended. */
void fb_router_refill(fb_router *r, uint64_t intended_ns);

/* Whether one waits for a node. */
static inline bool fb_router_waits(const fb_node *node)
{
    return node->first != FB_ROUTER_NONE;
}

/* Takes the oldest inference that waits for a node; false when there is none. */
bool fb_router_next(fb_router *r, fb_node *node, fb_slot *slot, fb_ticket *ticket);

/* Sets the lane's source so that the next draws are those of this inference. */
void fb_router_draw(fb_router *r, uint8_t message, uint64_t number);

/* A connection broke before it could send this one: it waits for another of the same node. */
void fb_router_put_back(fb_router *r, fb_node *node, const fb_slot *slot, const fb_ticket *ticket);

/* Its first byte left for that node; sets slot->sent_ns and counts, where it is the first time. */
void fb_router_sent(fb_router *r, fb_node *node, fb_slot *slot, uint64_t sent_ns);

/* A node answered: true when that passed the inference on to another, which waits there now;
 * false when it ended it, which the lane must be told. */
bool fb_router_replied(fb_router *r, fb_node *node, const fb_slot *slot, const fb_ticket *ticket,
                       const fb_reply *reply);

/* It ended otherwise, as the lane is told too: no reply in time (its place stays taken), or lost.
 */
void fb_router_timed_out(fb_node *node, const fb_slot *slot);
void fb_router_lost(fb_router *r, fb_node *node, const fb_slot *slot);
void fb_router_unfinished(fb_node *node, const fb_slot *slot);

/* Ends what was passed on and has waited too long for its new node. Call every few ms. */
void fb_router_expire(fb_router *r, uint64_t now_ns);

/* A connection of a node stands, or broke. */
void fb_router_ready(fb_node *node);
void fb_router_broke(fb_node *node, uint64_t now_ns);

/* Name of a node that is gone for longer than that; NULL when all are there. */
const char *fb_router_gone(const fb_router *r, uint64_t now_ns, uint64_t patience_ns);

/* The run is over: accounts for what still waits. */
void fb_router_close(fb_router *r);

#endif
