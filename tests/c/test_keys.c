#include "keys.h"

#include "check.h"

#include <math.h>

#define DRAWS 400000

static fb_keys make(int kind, uint64_t low, uint64_t high, double shape)
{
    fb_keys keys;
    fb_error err;
    const fb_keys_config config = {.kind = kind, .low = low, .high = high, .shape = shape};
    CHECK_EQ(FB_OK, fb_keys_init(&keys, &config, &err));
    return keys;
}

/* Shares of the values of a small range, by drawing often. */
static void draw_shares(const fb_keys *keys, double *shares, uint32_t n)
{
    fb_random random;
    uint64_t position = 0;
    fb_random_init(&random, 7);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t value = fb_keys_next(keys, &random, &position);
        CHECK(value >= keys->low && value - keys->low < n);
        shares[value - keys->low] += 1.0 / DRAWS;
    }
}

/* Six standard deviations of a share: chance alone fails once in 10^8. */
static bool near(double expected, double found)
{
    return fabs(expected - found) < 6 * sqrt(expected * (1 - expected) / DRAWS) + 1e-9;
}

static void test_uniform(void)
{
    const fb_keys keys = make(FB_KEYS_UNIFORM, 5, 12, 0);
    double shares[8] = {0};
    draw_shares(&keys, shares, 8);
    for (int i = 0; i < 8; i++) {
        CHECK(near(1.0 / 8, shares[i]));
    }
}

static void check_zipf(double exponent)
{
    const fb_keys keys = make(FB_KEYS_ZIPF, 100, 119, exponent);
    double shares[20] = {0};
    double sum = 0;
    draw_shares(&keys, shares, 20);
    for (int rank = 1; rank <= 20; rank++) {
        sum += pow(rank, -exponent);
    }
    for (int rank = 1; rank <= 20; rank++) {
        CHECK(near(pow(rank, -exponent) / sum, shares[rank - 1]));
    }
}

static void test_zipf(void)
{
    check_zipf(0.5);
    check_zipf(0.99);
    check_zipf(1.0);
    check_zipf(2.5);
}

static void test_zipf_of_a_huge_range(void)
{
    const fb_keys keys = make(FB_KEYS_ZIPF, 0, UINT64_C(1) << 40, 0.99);
    fb_random random;
    uint64_t position = 0;
    uint64_t first = 0;
    fb_random_init(&random, 1);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t value = fb_keys_next(&keys, &random, &position);
        CHECK(value <= UINT64_C(1) << 40);
        first += value == 0;
    }
    CHECK(first > 0); /* one of about 30 draws */
}

static void test_gauss(void)
{
    const fb_keys keys = make(FB_KEYS_GAUSS, 1000, 1100, 10);
    double shares[101] = {0};
    double mean = 0;
    double variance = 0;
    draw_shares(&keys, shares, 101);
    for (int i = 0; i <= 100; i++) {
        mean += i * shares[i];
    }
    for (int i = 0; i <= 100; i++) {
        variance += (i - mean) * (i - mean) * shares[i];
    }
    CHECK(fabs(mean - 50) < 0.2);
    CHECK(fabs(sqrt(variance) - 10) < 0.2);
}

static void test_sequence_wraps(void)
{
    const fb_keys keys = make(FB_KEYS_SEQUENCE, 3, 5, 0);
    fb_random random;
    uint64_t position = 1;
    fb_random_init(&random, 1);
    CHECK_EQ(4, fb_keys_next(&keys, &random, &position));
    CHECK_EQ(5, fb_keys_next(&keys, &random, &position));
    CHECK_EQ(3, fb_keys_next(&keys, &random, &position));
}

static void test_table(void)
{
    const uint64_t values[] = {100, 7, 5000};
    const double weights[] = {1, 2, 5};
    const fb_keys_config config = {
        .kind = FB_KEYS_TABLE, .values = values, .weights = weights, .n_values = 3};
    fb_keys keys;
    fb_error err;
    fb_random random;
    uint64_t position = 0;
    double found[3] = {0};
    CHECK_EQ(FB_OK, fb_keys_init(&keys, &config, &err));
    CHECK_EQ(5000, keys.highest);
    fb_random_init(&random, 3);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t value = fb_keys_next(&keys, &random, &position);
        for (int k = 0; k < 3; k++) {
            found[k] += value == values[k] ? 1.0 / DRAWS : 0;
        }
    }
    for (int k = 0; k < 3; k++) {
        CHECK(near(weights[k] / 8, found[k]));
    }
    fb_keys_fini(&keys);
}

static void test_single_value(void)
{
    fb_random random;
    uint64_t position = 0;
    fb_random_init(&random, 1);
    for (int kind = FB_KEYS_UNIFORM; kind <= FB_KEYS_SEQUENCE; kind++) {
        const fb_keys keys = make(kind, 9, 9, 0);
        CHECK_EQ(9, fb_keys_next(&keys, &random, &position));
    }
}

static void check_refused(fb_keys_config config)
{
    fb_keys keys;
    fb_error err;
    CHECK_EQ(FB_E_INVAL, fb_keys_init(&keys, &config, &err));
    CHECK(err.text[0] != '\0');
}

static void test_bad_configurations(void)
{
    check_refused((fb_keys_config){.kind = 0, .high = 1});
    check_refused((fb_keys_config){.kind = 6, .high = 1});
    check_refused((fb_keys_config){.kind = FB_KEYS_UNIFORM, .low = 2, .high = 1});
    check_refused((fb_keys_config){.kind = FB_KEYS_UNIFORM, .high = UINT64_MAX});
    check_refused((fb_keys_config){.kind = FB_KEYS_ZIPF, .high = 9, .shape = -1});
    check_refused((fb_keys_config){.kind = FB_KEYS_ZIPF, .high = 9, .shape = NAN});
    check_refused((fb_keys_config){.kind = FB_KEYS_GAUSS, .high = 9, .shape = 1e9});
    check_refused((fb_keys_config){.kind = FB_KEYS_TABLE});
}

int main(void)
{
    RUN(test_uniform);
    RUN(test_zipf);
    RUN(test_zipf_of_a_huge_range);
    RUN(test_gauss);
    RUN(test_sequence_wraps);
    RUN(test_table);
    RUN(test_single_value);
    RUN(test_bad_configurations);
    return check_result();
}
