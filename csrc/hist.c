#include "hist.h"

#include <assert.h>
#include <string.h>

static_assert(FB_HIST_SUB_BUCKETS == 2048, "fb_hist_index shifts by 10 and 11 bits");

void fb_hist_clear(fb_hist *h)
{
    memset(h, 0, sizeof *h);
    h->min_ns = UINT64_MAX;
}

void fb_hist_add(fb_hist *into, const fb_hist *from)
{
    into->total += from->total;
    into->clipped += from->clipped;
    into->min_ns = from->min_ns < into->min_ns ? from->min_ns : into->min_ns;
    into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
    into->sum_ns += from->sum_ns;
    for (size_t i = 0; i < FB_HIST_COUNTERS; i++)
        into->counts[i] += from->counts[i];
}

/* The highest value that the counter holds: the inverse of fb_hist_index. */
static uint64_t highest_in(uint32_t index)
{
    const uint32_t half = FB_HIST_SUB_BUCKETS / 2;
    const uint32_t bucket = index < 2 * half ? 0 : index / half - 1;
    const uint32_t shift = bucket + FB_HIST_UNIT_MAGNITUDE;
    const uint64_t above = (uint64_t)(index - bucket * half) + 1;
    return (above << shift) - 1;
}

uint64_t fb_hist_quantile(const fb_hist *h, double q)
{
    /* HdrHistogram's rank: rounded half up, at least the first value. */
    const uint64_t rounded = (uint64_t)(q * (double)(h->total + h->clipped) + 0.5);
    const uint64_t rank = rounded > 0 ? rounded : 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < FB_HIST_COUNTERS && rank <= h->total; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            const uint64_t highest = highest_in(i);
            return highest < h->max_ns ? highest : h->max_ns;
        }
    }
    return h->max_ns;
}
