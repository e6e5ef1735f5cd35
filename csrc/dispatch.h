/* What hands the inferences of one lane to its connections: those that are due by the clock, and
 * those that wait in the queues of a cluster or a chain.
 *
 * Where none has a free slot they wait in a bounded queue, in order; what finds that full counts
 * as never sent. One per lane; worker only, after init. */
#ifndef FB_DISPATCH_H
#define FB_DISPATCH_H

#include "conn.h"

typedef struct fb_dispatch {
    fb_lane *lane;
    fb_conn *conns;  /* the lane's */
    uint32_t cursor; /* connection to try next */
    fb_slot *ring;   /* due inferences of an open loop that found no free slot yet */
    uint32_t capacity, head, used;
    fb_conn *handed, *last_handed; /* connections that have to send what they were given */
    bool goes_on;                  /* there is room for more of what waits, in the next turn */
    uint64_t full_since_ns;        /* the oldest has waited for a slot since then; 0 = none waits */
} fb_dispatch;

/* `conns`: lane->connections of them, not yet open. FB_E_NOMEM. Before start. */
int fb_dispatch_init(fb_dispatch *d, fb_lane *lane, fb_conn *conns);
void fb_dispatch_fini(fb_dispatch *d);

/* Intends what is due at io->now_ns, and sends what waits as far as connections have room, each
 * connection all of its part at once. A code other than FB_OK ends the run: io->err says why. */
int fb_dispatch_run(fb_dispatch *d, fb_io *io);

/* When there is something to do: 0 = at once, FB_NEVER = not before something else happens, in a
 * closed loop or while inferences wait for room: what comes due then would only wait, too. */
static inline uint64_t fb_dispatch_due(const fb_dispatch *d)
{
    if (d->used > 0) {
        return d->goes_on ? 0 : FB_NEVER;
    }
    return fb_pacer_due(&d->lane->pacer);
}

/* Open loop: what a broken connection had not sent waits for the next one that has room. */
void fb_dispatch_reclaim(fb_dispatch *d, fb_conn *c);

/* The run is over: what still waits is accounted for. */
void fb_dispatch_close(fb_dispatch *d);

#endif
