/* A latency histogram in nanoseconds with HdrHistogram's counter layout.
 *
 * Lowest discernible value 64 ns, highest trackable 1 h, 3 significant digits: 27,648 counters,
 * value and index as HdrHistogram's for (64, 3'600'000'000'000, 3). The caller owns the memory;
 * one thread records, any thread may read once recording stopped. Recording cannot fail: what
 * lies above the highest trackable value goes to `clipped` and is reported, never dropped. */
#ifndef FB_HIST_H
#define FB_HIST_H

#include "base.h"

#define FB_HIST_LOWEST_NS UINT64_C(64)
#define FB_HIST_HIGHEST_NS UINT64_C(3600000000000)
#define FB_HIST_DIGITS 3
#define FB_HIST_UNIT_MAGNITUDE 6
#define FB_HIST_SUB_BUCKETS 2048
#define FB_HIST_COUNTERS 27648

typedef struct fb_hist {
    uint64_t total;   /* recorded values, the sum of counts */
    uint64_t clipped; /* values above FB_HIST_HIGHEST_NS, in no counter */
    uint64_t min_ns;  /* exact; UINT64_MAX when empty */
    uint64_t max_ns;  /* exact, clipped values too; 0 when empty */
    double sum_ns;    /* of recorded values; exact mean = sum_ns / total */
    uint64_t counts[FB_HIST_COUNTERS];
} fb_hist;

/* Empties h. */
void fb_hist_clear(fb_hist *h);

/* Index of the counter that holds value_ns (<= FB_HIST_HIGHEST_NS). */
static inline uint32_t fb_hist_index(uint64_t value_ns)
{
    /* HdrHistogram: bucket = power of two above the sub-bucket range, index = half-bucket base +
     * position in the half. Written without branches on the bucket: the mask makes bucket 0. */
    const uint64_t mask = ((uint64_t)FB_HIST_SUB_BUCKETS - 1) << FB_HIST_UNIT_MAGNITUDE;
    const uint32_t pow2 = 64 - (uint32_t)__builtin_clzll(value_ns | mask);
    const uint32_t bucket = pow2 - FB_HIST_UNIT_MAGNITUDE - 11;
    const uint32_t sub = (uint32_t)(value_ns >> (bucket + FB_HIST_UNIT_MAGNITUDE));
    return (bucket << 10) + sub;
}

/* Records the same value n times. Worker only. */
static inline void fb_hist_record_n(fb_hist *h, uint64_t value_ns, uint64_t n)
{
    h->max_ns = value_ns > h->max_ns ? value_ns : h->max_ns;
    if (FB_UNLIKELY(value_ns > FB_HIST_HIGHEST_NS)) {
        h->clipped += n;
        return;
    }
    h->min_ns = value_ns < h->min_ns ? value_ns : h->min_ns;
    h->sum_ns += (double)value_ns * (double)n;
    h->total += n;
    h->counts[fb_hist_index(value_ns)] += n;
}

/* Records one value. Worker only. */
static inline void fb_hist_record(fb_hist *h, uint64_t value_ns)
{
    fb_hist_record_n(h, value_ns, 1);
}

/* Adds every value of `from` to `into`. */
void fb_hist_add(fb_hist *into, const fb_hist *from);

/* Highest value equivalent to the one at quantile q (0 < q <= 1), at most max_ns; 0 when empty.
 * Clipped values rank above all others, where the quantile is max_ns: it never looks faster. */
uint64_t fb_hist_quantile(const fb_hist *h, double q);

#endif
