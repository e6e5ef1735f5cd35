/* When the next inference of an open loop is due: a pure function of schedule, seed and number.
 *
 * The schedule is a rate that changes in steps and ramps, or a recorded list of instants. Arrivals
 * are placed in "arrivals space" (how many the rate would have made by then) and carried over to
 * time by the inverse of the rate's integral; so no error adds up, ramps are exact, and Poisson
 * arrivals stay Poisson under a changing rate (time rescaling: Brown et al., "The time-rescaling
 * theorem", Neural Computation 14, 2002). Each thread has its own pacer for its share. The
 * configuration is borrowed. Worker only; cannot fail. */
#ifndef FB_PACER_H
#define FB_PACER_H

#include "random.h"

#define FB_NEVER UINT64_MAX

enum {
    FB_ARRIVALS_CLOSED = 0,
    FB_ARRIVALS_CONSTANT = 1,
    FB_ARRIVALS_POISSON = 2,
    FB_ARRIVALS_RECORDED = 3,
};

/* A stretch of the schedule: the rate goes evenly from one value to the other. */
typedef struct fb_rate {
    double from_per_s, to_per_s;
    uint64_t duration_ns; /* > 0, but of the last one: that rate then goes on */
} fb_rate;

typedef struct fb_schedule {
    int arrivals;
    const fb_rate *rates; /* CONSTANT, POISSON */
    uint32_t n_rates;
    const uint64_t *instants; /* RECORDED: ns since load began, ascending */
    uint64_t n_instants;
} fb_schedule;

typedef struct fb_pacer {
    const fb_schedule *schedule;
    uint64_t begin_ns;
    uint32_t share;
    uint32_t stretch;  /* current one */
    double stretch_at; /* arrivals before it */
    double stretch_ns; /* its begin */
    double at;         /* next arrival, in arrivals space */
    uint64_t number;   /* CONSTANT, RECORDED: of the next arrival over all threads */
    uint64_t due_ns;   /* of the next arrival, since begin; FB_NEVER = none */
    fb_random random;
} fb_pacer;

/* index of share threads: they interleave. */
void fb_pacer_init(fb_pacer *p, const fb_schedule *schedule, uint32_t index, uint32_t share,
                   uint64_t seed);

/* The schedule starts at begin_ns. */
void fb_pacer_begin(fb_pacer *p, uint64_t begin_ns);

/* Instant at which the next inference is due; FB_NEVER in a closed loop or after the last. */
static inline uint64_t fb_pacer_due(const fb_pacer *p)
{
    return p->due_ns == FB_NEVER ? FB_NEVER : p->begin_ns + p->due_ns;
}

/* Moves on to the one after it. */
void fb_pacer_advance(fb_pacer *p);

#endif
