/* A small seedable random generator: the same seed gives the same numbers on every machine.
 *
 * xoshiro256** by David Blackman and Sebastiano Vigna ("Scrambled linear pseudorandom number
 * generators", ACM TOMS 47, 2021), its state filled by splitmix64 (Steele, Lea and Flood, "Fast
 * splittable pseudorandom number generators", OOPSLA 2014). Not for secrets. The caller owns the
 * memory; one generator belongs to one thread; nothing can fail. */
#ifndef FB_RANDOM_H
#define FB_RANDOM_H

#include "base.h"

typedef struct fb_random {
    uint64_t state[4]; /* never all zero */
} fb_random;

/* Starts the sequence of this seed; any seed is good. */
void fb_random_init(fb_random *random, uint64_t seed);

/* 64 random bits. */
uint64_t fb_random_next(fb_random *random);

/* Uniform in [0, n), without bias; n > 0. */
uint64_t fb_random_below(fb_random *random, uint64_t n);

/* Exponentially distributed with this mean, >= 0 and at most 36.8 means: gaps of Poisson arrivals.
 */
double fb_random_exponential(fb_random *random, double mean);

#endif
