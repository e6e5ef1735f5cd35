/* When the next inference of an open loop is due: a pure function of rate, seed and number.
 *
 * Each thread has its own, for its share of the rate. Constant arrivals are computed from their
 * number, so that no error adds up. Worker only; cannot fail. */
#ifndef FB_PACER_H
#define FB_PACER_H

#include "random.h"

#define FB_NEVER UINT64_MAX

typedef struct fb_pacer {
    int arrivals; /* FB_ARRIVALS_* */
    uint64_t begin_ns;
    double gap_ns;    /* mean distance of two arrivals */
    double phase_ns;  /* constant: of the first arrival */
    uint64_t number;  /* constant: of the next arrival */
    double offset_ns; /* of the next arrival since begin */
    fb_random random;
} fb_pacer;

/* share: this thread's index and how many share the rate; constant arrivals interleave. */
void fb_pacer_init(fb_pacer *p, int arrivals, double rate_per_s, uint32_t index, uint32_t share,
                   uint64_t seed);

/* The schedule starts at begin_ns. */
void fb_pacer_begin(fb_pacer *p, uint64_t begin_ns);

/* Instant at which the next inference is due; FB_NEVER in a closed loop. */
uint64_t fb_pacer_due(const fb_pacer *p);

/* Moves on to the one after it. */
void fb_pacer_advance(fb_pacer *p);

#endif
