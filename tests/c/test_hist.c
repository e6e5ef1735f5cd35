/* The histogram: its layout, its precision, and quantiles against sorted samples. */
#include "check.h"
#include "hist.h"
#include "random.h"

#include <stdlib.h>

static fb_hist h;
static fb_hist other;

/* The layout as HdrHistogram's papers draw it, found by a loop instead of by bits: a value moves
 * up one bucket each time it does not fit the 2,048 sub-buckets. */
static uint32_t slow_index(uint64_t value)
{
    uint64_t sub = value / 64;
    uint32_t bucket = 0;
    while (sub >= 2048) {
        sub /= 2;
        bucket++;
    }
    return bucket * 1024 + (uint32_t)sub;
}

/* Indices are the layout's at every power of two and around it, and at random values between. */
static void test_index(void)
{
    fb_random random;
    fb_random_init(&random, 1);
    for (int bit = 0; bit < 42; bit++) {
        const uint64_t power = UINT64_C(1) << bit;
        for (uint64_t value = power - 1; value <= power + 1 && value <= FB_HIST_HIGHEST_NS; value++)
            CHECK_EQ(slow_index(value), fb_hist_index(value));
        for (int i = 0; i < 1000; i++) {
            const uint64_t value = power + fb_random_below(&random, power);
            if (value <= FB_HIST_HIGHEST_NS)
                CHECK_EQ(slow_index(value), fb_hist_index(value));
        }
    }
    CHECK(fb_hist_index(FB_HIST_HIGHEST_NS) < FB_HIST_COUNTERS);
    CHECK(slow_index(UINT64_C(4398046511103)) == FB_HIST_COUNTERS - 1);
}

/* An empty histogram answers 0, and merging it changes nothing. */
static void test_empty(void)
{
    fb_hist_clear(&h);
    CHECK_EQ(0, fb_hist_quantile(&h, 0.5));
    CHECK_EQ(0, h.max_ns);
    CHECK(h.min_ns == UINT64_MAX);
    fb_hist_record(&h, 1000);
    fb_hist_clear(&other);
    fb_hist_add(&h, &other);
    CHECK_EQ(1, h.total);
    CHECK_EQ(1000, h.min_ns);
    CHECK_EQ(1000, h.max_ns);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Quantiles lie within 0.1 % (or 64 ns) above the exact ones of the sorted samples. */
static void test_quantiles(void)
{
    enum { N = 10007 };
    static uint64_t values[N];
    fb_random random;
    fb_random_init(&random, 2);
    fb_hist_clear(&h);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        values[i] = (uint64_t)fb_random_exponential(&random, i % 100 == 0 ? 1e9 : 1e5);
        fb_hist_record(&h, values[i]);
        sum += (double)values[i];
    }
    qsort(values, N, sizeof *values, by_value);
    static const double quantiles[] = {1e-9, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        const size_t rank = (size_t)(quantiles[i] * N + 0.5);
        const uint64_t exact = values[rank > 0 ? rank - 1 : 0];
        const uint64_t got = fb_hist_quantile(&h, quantiles[i]);
        CHECK(got >= exact && got <= exact + exact / 1000 + 63);
    }
    CHECK_EQ(values[0], h.min_ns);
    CHECK_EQ(values[N - 1], h.max_ns);
    CHECK_EQ(values[N - 1], fb_hist_quantile(&h, 1.0));
    CHECK(sum == h.sum_ns);
}

/* Two halves merged are the whole. */
static void test_add(void)
{
    static fb_hist whole;
    fb_random random;
    fb_random_init(&random, 3);
    fb_hist_clear(&h);
    fb_hist_clear(&other);
    fb_hist_clear(&whole);
    for (int i = 0; i < 10000; i++) {
        const uint64_t value = fb_random_next(&random) >> (20 + fb_random_below(&random, 44));
        fb_hist_record(i % 3 == 0 ? &h : &other, value);
        fb_hist_record(&whole, value);
    }
    fb_hist_add(&h, &other);
    CHECK_EQ(whole.total, h.total);
    CHECK_EQ(whole.clipped, h.clipped);
    CHECK_EQ(whole.min_ns, h.min_ns);
    CHECK_EQ(whole.max_ns, h.max_ns);
    CHECK(memcmp(whole.counts, h.counts, sizeof h.counts) == 0);
}

/* What is above the range is counted, kept exactly as the maximum, and ranks above all else. */
static void test_clipped(void)
{
    fb_hist_clear(&h);
    fb_hist_record(&h, 5000);
    fb_hist_record(&h, FB_HIST_HIGHEST_NS);
    fb_hist_record(&h, FB_HIST_HIGHEST_NS + 1);
    fb_hist_record(&h, UINT64_MAX);
    CHECK_EQ(2, h.total);
    CHECK_EQ(2, h.clipped);
    CHECK(h.max_ns == UINT64_MAX);
    CHECK_EQ(5000, h.min_ns);
    CHECK_EQ(5055, fb_hist_quantile(&h, 0.25));
    CHECK(fb_hist_quantile(&h, 0.5) >= FB_HIST_HIGHEST_NS);
    CHECK(fb_hist_quantile(&h, 0.75) == UINT64_MAX);
}

int main(void)
{
    RUN(test_index);
    RUN(test_empty);
    RUN(test_quantiles);
    RUN(test_add);
    RUN(test_clipped);
    return check_result();
}
