/* What one connection has in flight: a ring of up to `pipeline` inferences in order of sending,
 * of which the newest may not have left yet, and how each of them ends in the books.
 *
 * Where replies come in any order (protocol.h: multiplexed) each inference that is queued is a call
 * in a place; one that has ended leaves the ring at once, and those before it move up, so that the
 * ring stays in order of sending. In a cluster or a chain the books are the router's or the
 * chain's (route.h).
 *
 * Knows no socket. `nth` counts from the oldest. Worker only; only fb_flight_init can fail. */
#ifndef FB_FLIGHT_H
#define FB_FLIGHT_H

#include "route.h"

typedef struct fb_flight {
    fb_lane *lane;
    void *protocol_state;
    fb_slot *slots;    /* ring of `pipeline` */
    fb_route route;    /* in a cluster or a chain */
    fb_calls *calls;   /* replies come in any order; NULL = in that of sending */
    uint32_t *places;  /* with calls: the place of each slot's, or FB_CALLS_NONE */
    uint8_t *text;     /* of each slot or, with calls, of each place, then of the opening */
    uint8_t *prepared; /* message that each of those texts is prepared for */
    uint64_t number;   /* of the connection, in the run */
    uint32_t pipeline;
    uint32_t head; /* oldest slot in use */
    uint32_t used;
    uint32_t unsent; /* the newest of them: no byte has left */
} fb_flight;

/* FB_E_NOMEM; fb_flight_fini is due all the same. */
int fb_flight_init(fb_flight *f, fb_lane *lane, uint64_t number, void *protocol_state,
                   fb_error *err);
void fb_flight_fini(fb_flight *f);

/* Where the texts of an opening's messages go. */
uint8_t *fb_flight_opening_text(const fb_flight *f);

static inline uint32_t fb_flight_index(const fb_flight *f, uint32_t nth)
{
    const uint32_t i = f->head + nth;
    return i < f->pipeline ? i : i - f->pipeline;
}

static inline fb_slot *fb_flight_at(const fb_flight *f, uint32_t nth)
{
    return &f->slots[fb_flight_index(f, nth)];
}

/* How many have left, and await a reply. */
static inline uint32_t fb_flight_sent(const fb_flight *f)
{
    return f->used - f->unsent;
}

static inline const fb_multiplexed *fb_flight_multiplexed(const fb_flight *f)
{
    return f->lane->stream->protocol->multiplexed;
}

/* ---- sending -------------------------------------------------------------------------------- */

/* The first free slot has been filled. */
static inline void fb_flight_add(fb_flight *f)
{
    f->used++;
    f->unsent++;
}

/* Queues the message of the n-th inference. With calls it becomes one, for which there may be no
 * place before the next connection. */
void fb_flight_push(fb_flight *f, uint32_t nth, fb_outq *out);

/* With calls: the protocol decides when one begins; from then on its position is known. */
void fb_flight_note_begins(fb_flight *f);

/* What begins before that position left at that instant. */
static inline void fb_flight_stamp(fb_flight *f, uint64_t position, uint64_t sent_ns)
{
    while (f->unsent > 0) {
        const uint32_t nth = f->used - f->unsent;
        fb_slot *slot = fb_flight_at(f, nth);
        if (slot->begin >= position) {
            return;
        }
        if (fb_route_is_on(&f->route)) {
            fb_route_sent(&f->route, slot, fb_flight_index(f, nth), sent_ns);
        } else if (FB_LIKELY(!(slot->flags & FB_SLOT_SENT))) {
            slot->sent_ns = sent_ns;
            fb_lane_sent(f->lane, slot);
        }
        f->unsent--;
    }
}

/* ---- leaving the ring ------------------------------------------------------------------------ */

static inline void fb_flight_drop_oldest(fb_flight *f)
{
    f->head = fb_flight_index(f, 1);
    f->used--;
}

/* Takes the n-th one out; those before it move up, in their order. */
void fb_flight_take_out(fb_flight *f, uint32_t nth);

/* ---- replies --------------------------------------------------------------------------------- */

/* What the next reply answers, where replies come in order. */
static inline const fb_message *fb_flight_awaited(const fb_flight *f)
{
    const fb_stream *s = f->lane->stream;
    if (FB_UNLIKELY(fb_flight_sent(f) == 0)) {
        return &s->messages[0];
    }
    const fb_slot *slot = fb_flight_at(f, 0);
    return FB_UNLIKELY(slot->flags & (FB_SLOT_ASKING | FB_SLOT_KEEP))
               ? fb_route_awaited(&f->route, f->head, f->protocol_state)
               : &s->messages[slot->message];
}

/* The next reply is to be kept. */
static inline bool fb_flight_is_captured(const fb_flight *f)
{
    const uint8_t both = FB_SLOT_CAPTURE | FB_SLOT_ASKING;
    return fb_flight_sent(f) > 0 && (fb_flight_at(f, 0)->flags & both) == FB_SLOT_CAPTURE;
}

/* With calls: which inference the call in that place is of; `used` = none. */
uint32_t fb_flight_find(const fb_flight *f, uint32_t place);

/* The n-th one was answered: the books, or whoever leads it on, are told. */
static inline void fb_flight_answered(fb_flight *f, uint32_t nth, const fb_reply *reply,
                                      uint64_t now_ns)
{
    if (!fb_route_is_on(&f->route) || !fb_route_replied(&f->route, fb_flight_at(f, nth),
                                                        fb_flight_index(f, nth), reply, now_ns)) {
        fb_lane_replied(f->lane, fb_flight_at(f, nth), reply, now_ns);
    }
}

/* ---- other ends ------------------------------------------------------------------------------ */

/* The connection that had sent the n-th one is gone. */
void fb_flight_lost(fb_flight *f, uint32_t nth, uint64_t now_ns);

/* The connection broke: what it had sent is lost. What it had not stays or, in a cluster or a
 * chain, waits for any connection of the node or step. */
void fb_flight_broke(fb_flight *f, uint64_t now_ns);

/* The peer closes in good order: what it has not read goes out again over a new connection, and
 * nothing is lost. (But in a chain, whose steps may not be taken twice; of calls only those are
 * left that the peer did not take up.) */
void fb_flight_turn(fb_flight *f, uint64_t now_ns);

/* Marks those as timed out whose time is over. They keep their place. */
void fb_flight_time_out(fb_flight *f, uint64_t now_ns);

/* The run is over: accounts for all that is still there. */
void fb_flight_abandon(fb_flight *f);

#endif
