/* The random generator: published numbers, and the shape of what is made from them. */
#include "check.h"
#include "random.h"

#include <math.h>
#include <stdlib.h>

/* The generator gives the numbers that its authors' gives from the state 1, 2, 3, 4. */
static void test_known_sequence(void)
{
    static const uint64_t known[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    fb_random random = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        CHECK(fb_random_next(&random) == known[i]);
}

/* The state of a seed is what splitmix64 gives from it. */
static void test_known_seed(void)
{
    fb_random random;
    fb_random_init(&random, 1234567);
    CHECK(random.state[0] == UINT64_C(6457827717110365317));
    CHECK(random.state[1] == UINT64_C(3203168211198807973));
    CHECK(random.state[2] == UINT64_C(9817491932198370423));
    CHECK(random.state[3] == UINT64_C(4593380528125082431));
}

/* Equal seeds give equal sequences, other seeds other ones. */
static void test_seeds(void)
{
    fb_random a;
    fb_random b;
    fb_random c;
    fb_random_init(&a, 0);
    fb_random_init(&b, 0);
    fb_random_init(&c, 1);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        const uint64_t next = fb_random_next(&a);
        CHECK(next == fb_random_next(&b));
        same += next == fb_random_next(&c);
    }
    CHECK_EQ(0, same);
}

/* Numbers below n are below n and each as frequent as the others (chi-square, fixed seed). */
static void test_below_is_uniform(void)
{
    enum { N = 7, DRAWS = 70000 };
    fb_random random;
    fb_random_init(&random, 42);
    double count[N] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t x = fb_random_below(&random, N);
        REQUIRE(x < N);
        count[x] += 1;
    }
    double chi_square = 0;
    for (int i = 0; i < N; i++)
        chi_square += (count[i] - DRAWS / N) * (count[i] - DRAWS / N) / (DRAWS / N);
    CHECK(chi_square < 22.46); /* 6 degrees of freedom, p = 0.001 */
}

/* The limits are handled: one value only, all values, and an n that half the draws are lost to. */
static void test_below_limits(void)
{
    fb_random random;
    fb_random_init(&random, 3);
    int upper = 0;
    const uint64_t n = (UINT64_C(1) << 63) + 1;
    for (int i = 0; i < 10000; i++) {
        CHECK_EQ(0, fb_random_below(&random, 1));
        CHECK(fb_random_below(&random, UINT64_MAX) < UINT64_MAX);
        const uint64_t x = fb_random_below(&random, n);
        CHECK(x < n);
        upper += x >= n / 2;
    }
    CHECK(upper > 4700 && upper < 5300); /* 6 standard deviations; modulo would give 0.75 */
}

/* Exponential gaps have the mean, the spread and the median of their distribution. */
static void test_exponential_shape(void)
{
    enum { DRAWS = 200000 };
    const double mean = 250.0;
    fb_random random;
    fb_random_init(&random, 7);
    double sum = 0;
    double squares = 0;
    int below_median = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double x = fb_random_exponential(&random, mean);
        REQUIRE(x >= 0 && x <= 36.8 * mean);
        sum += x;
        squares += x * x;
        below_median += x < mean * log(2.0);
    }
    const double average = sum / DRAWS;
    const double deviation = sqrt(squares / DRAWS - average * average);
    CHECK(fabs(average / mean - 1) < 0.01);
    CHECK(fabs(deviation / mean - 1) < 0.02);
    CHECK(abs(below_median - DRAWS / 2) < 1200);
}

int main(void)
{
    RUN(test_known_sequence);
    RUN(test_known_seed);
    RUN(test_seeds);
    RUN(test_below_is_uniform);
    RUN(test_below_limits);
    RUN(test_exponential_shape);
    return check_result();
}
