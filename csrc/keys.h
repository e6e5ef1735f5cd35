/* Integers by a distribution: which key the next command names, how many bytes it carries.
 *
 * The distribution is compiled once and then shared by all threads; the generator and the counter
 * of a sequence belong to one thread. Nothing is allocated after init; only init can fail. */
#ifndef FB_KEYS_H
#define FB_KEYS_H

#include "random.h"

enum {
    FB_KEYS_UNIFORM = 1,
    FB_KEYS_ZIPF = 2,     /* low is the most frequent; shape = exponent > 0 */
    FB_KEYS_GAUSS = 3,    /* normal around the middle; shape = standard deviation */
    FB_KEYS_SEQUENCE = 4, /* low, low + 1, … high, low, … */
    FB_KEYS_TABLE = 5,    /* the listed values by their weights; low and high are not used */
};

typedef struct fb_keys_config {
    int kind;
    uint64_t low, high;     /* high >= low */
    double shape;           /* 0 = the usual one: exponent 0.99, or a sixth of the range */
    const uint64_t *values; /* FB_KEYS_TABLE: n_values of them */
    const double *weights;  /* > 0 */
    uint32_t n_values;
} fb_keys_config;

typedef struct fb_keys {
    int kind;
    uint64_t low, count; /* values are low … low + count - 1 */
    double shape;
    double zipf_first, zipf_last, zipf_sure; /* see keys.c */
    uint64_t *values;
    double *cumulative; /* share of the values up to this one */
    uint64_t highest;   /* value that can come */
} fb_keys;

/* Copies config. FB_E_INVAL, FB_E_NOMEM; then nothing is held. */
int fb_keys_init(fb_keys *keys, const fb_keys_config *config, fb_error *err);
void fb_keys_fini(fb_keys *keys);

/* The next value. `position` counts a sequence; threads that start apart do not meet. */
uint64_t fb_keys_next(const fb_keys *keys, fb_random *random, uint64_t *position);

#endif
