/* One worker's share of a chain: inferences that go through several steps, each on servers of its
 * own, where a later step may send the value that an earlier one got.
 *
 * The lane that leads, of the last step, admits an inference and counts how it ended; the others
 * only carry it. From its start to its end an inference holds one of a fixed number of tokens
 * (connections x pipeline of the lane that leads): its numbers are drawn then, once for all steps,
 * and what its steps get is kept there. Between two steps it waits in a queue until a connection
 * of the next has room. However it ends, in whichever step, it ends once; but a token stays taken
 * while a connection awaits a reply for it.
 *
 * Made before start by the worker, which owns it; then worker only. Only fb_chain_new fails. */
#ifndef FB_CHAIN_H
#define FB_CHAIN_H

#include "lane.h"

#define FB_CHAIN_NONE UINT32_MAX /* no token */

typedef struct fb_token {
    fb_slot slot; /* sent_ns: of the first step, with FB_SLOT_SENT */
    uint32_t next;
} fb_token;

/* What waits for one step, in order. */
typedef struct fb_chain_queue {
    uint32_t first, last;
} fb_chain_queue;

typedef struct fb_chain {
    fb_lane *lanes[FB_CHAIN_MAX_STEPS];
    fb_lane *lead; /* the last of them */
    uint32_t n_steps;
    fb_token *tokens;
    uint32_t n_tokens, free; /* free: first of the chain of unused ones */
    fb_chain_queue waits[FB_CHAIN_MAX_STEPS];
    uint32_t waiting;  /* for any step */
    uint64_t *numbers; /* of each token: one per keys */
    uint64_t *took_ns; /* of each token: the service time of each step so far */
    fb_body *bodies;   /* of each token: one per step */
    uint8_t *bytes;    /* of all bodies */
    fb_source draws;   /* where numbers come from, with positions of its own */
    fb_keys *drawn;    /* what the lanes draw from instead: the numbers of one token */
    fb_hist *service;  /* of each step, of measured inferences that succeeded */
    char error_text[FB_ERROR_TEXT_MAX];
} fb_chain;

/* Checks that the n steps fit together, and gives all of them the same dataset rows; the last one
 * leads. With n = 1 there is no chain to fetch from. FB_E_INVAL. Before start. */
int fb_chain_link(fb_stream **steps, uint32_t n, fb_error *err);

/* For the lanes of n steps, which get its address. NULL with err: FB_E_NOMEM. */
fb_chain *fb_chain_new(fb_lane **lanes, uint32_t n, fb_error *err);
void fb_chain_free(fb_chain *chain);

static inline bool fb_chain_has_room(const fb_chain *chain)
{
    return chain->free != FB_CHAIN_NONE;
}

/* An admitted inference begins: it waits for the first step. There must be room. */
void fb_chain_start(fb_chain *chain, const fb_slot *slot);

/* Closed loop: admits and begins as many as have ended. */
void fb_chain_refill(fb_chain *chain, uint64_t intended_ns);

static inline bool fb_chain_waits(const fb_chain *chain, uint32_t step)
{
    return chain->waits[step].first != FB_CHAIN_NONE;
}

/* Takes the oldest that waits for a step; *slot is for its connection. False: there is none. */
bool fb_chain_next(fb_chain *chain, uint32_t step, fb_slot *slot, uint32_t *token);

/* A connection broke before it could send this one: it waits for another. */
void fb_chain_put_back(fb_chain *chain, uint32_t step, uint32_t token);

/* Sets the source of a step's lane so that its message is that of this inference. */
void fb_chain_aim(fb_chain *chain, uint32_t step, uint32_t token);

/* Where the value that a step gets is kept. */
fb_body *fb_chain_body(const fb_chain *chain, uint32_t step, uint32_t token);

/* The first byte of a step's message left; sets slot->sent_ns. */
void fb_chain_sent(fb_chain *chain, uint32_t step, uint32_t token, fb_slot *slot, uint64_t sent_ns);

/* A step was answered: the inference goes on to the next one, or has ended. */
void fb_chain_replied(fb_chain *chain, uint32_t step, uint32_t token, const fb_slot *slot,
                      const fb_reply *reply, uint64_t received_ns);

/* True when its time, since the first byte of its first step, is over; it then counts as timed
 * out, but keeps its token as long as a connection holds it. */
bool fb_chain_is_overdue(fb_chain *chain, uint32_t token, uint64_t now_ns);

/* The connection that had sent it broke. */
void fb_chain_lost(fb_chain *chain, uint32_t token, uint64_t now_ns);

/* The run is over, and it is still with a connection. */
void fb_chain_abandoned(fb_chain *chain, uint32_t token);

/* Ends what waits between two steps for too long. Call every few ms. */
void fb_chain_expire(fb_chain *chain, uint64_t now_ns);

/* The run is over: accounts for what still waits. */
void fb_chain_close(fb_chain *chain);

#endif
