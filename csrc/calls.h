/* The calls under way on one connection whose replies come in any order, each in a place.
 *
 * Between a connection, which takes places, fills the bodies and learns how calls ended, and its
 * protocol, which frames the bodies and ends the calls. Owned by the protocol's state, of which it
 * is the first member. Worker only; allocates only in fb_calls_init. */
#ifndef FB_CALLS_H
#define FB_CALLS_H

#include "outq.h"
#include "reply.h"

#define FB_CALLS_NOT_YET UINT64_MAX /* a position that is not known */
#define FB_CALLS_NONE UINT32_MAX    /* no place */

typedef struct fb_call {
    fb_outq body;   /* of its message: what is not framed yet */
    uint64_t begin; /* position of its first byte in the connection's output, or NOT_YET */
    uint64_t end;   /* the position after its last byte, or NOT_YET */
    fb_body kept;   /* of the reply: its message's bytes go there as far as there is room */
    fb_reply reply; /* when it has ended */
    bool refused;   /* it has ended, and the peer never took it up: it may be sent again */
} fb_call;

typedef struct fb_calls {
    fb_call *calls;     /* by place */
    uint32_t places;    /* as many as may be in flight */
    uint32_t n_free;    /* of them */
    uint32_t *free;     /* a stack of those */
    uint32_t *ended;    /* a ring of `places`: ended, and the connection does not know it yet */
    uint32_t n_ended;   /* of them */
    uint32_t ended_at;  /* the oldest */
    uint32_t room;      /* calls that the peer takes at once: its own limit */
    bool greeted;       /* the peer has said what it allows: calls may begin */
    bool leaves;        /* the peer takes no more calls; those that it has taken up may end */
    bool answered;      /* a call has been answered on this connection */
    char farewell[128]; /* with leaves: what the peer said, else "" */
} fb_calls;

/* `pieces`: of one message, at most. FB_E_NOMEM; fb_calls_fini is due all the same. */
int fb_calls_init(fb_calls *c, uint32_t places, uint32_t pieces, fb_error *err);
void fb_calls_fini(fb_calls *c);

/* A new connection: every place is free, nothing is known of the peer. */
void fb_calls_reset(fb_calls *c);

/* A free place with an empty body, or FB_CALLS_NONE. */
uint32_t fb_calls_take(fb_calls *c);

/* The protocol: the call has ended; its `reply` or `refused` is set. */
void fb_calls_end(fb_calls *c, uint32_t place);

/* The connection: the place of the oldest call whose end was not told yet; false: there is none.
 * It keeps its place until that is given back. */
bool fb_calls_next_ended(fb_calls *c, uint32_t *place);
void fb_calls_give_back(fb_calls *c, uint32_t place);

static inline uint32_t fb_calls_under_way(const fb_calls *c)
{
    return c->places - c->n_free;
}

#endif
