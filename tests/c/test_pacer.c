#include "pacer.h"

#include "check.h"

#include <math.h>
#include <stdlib.h>

#define S FB_NS_PER_S
#define BEGIN UINT64_C(1000000)

static fb_schedule rates(int arrivals, const fb_rate *list, uint32_t n)
{
    return (fb_schedule){.arrivals = arrivals, .rates = list, .n_rates = n};
}

static uint64_t take(fb_pacer *p)
{
    const uint64_t due = fb_pacer_due(p);
    fb_pacer_advance(p);
    return due;
}

/* Arrivals of one thread that are due before `end` (since begin). */
static uint64_t count_before(fb_pacer *p, uint64_t end)
{
    uint64_t n = 0;
    for (; fb_pacer_due(p) < BEGIN + end; n++) {
        fb_pacer_advance(p);
    }
    return n;
}

static fb_pacer begun(const fb_schedule *s, uint32_t index, uint32_t share, uint64_t seed)
{
    fb_pacer p;
    fb_pacer_init(&p, s, index, share, seed);
    CHECK_EQ(FB_NEVER, fb_pacer_due(&p));
    fb_pacer_begin(&p, BEGIN);
    return p;
}

static void test_closed_loop_is_never_due(void)
{
    const fb_schedule s = {.arrivals = FB_ARRIVALS_CLOSED};
    fb_pacer p = begun(&s, 0, 1, 1);
    CHECK_EQ(FB_NEVER, take(&p));
    CHECK_EQ(FB_NEVER, take(&p));
}

static void test_threads_interleave_evenly(void)
{
    const fb_rate rate = {1000, 1000, 0};
    const fb_schedule s = rates(FB_ARRIVALS_CONSTANT, &rate, 1);
    for (uint32_t index = 0; index < 3; index++) {
        fb_pacer p = begun(&s, index, 3, 1);
        for (uint64_t n = index; n < 3000; n += 3) {
            const uint64_t due = take(&p) - BEGIN;
            CHECK(due + 1 >= n * 1000000 && due <= n * 1000000 + 1);
        }
    }
}

static void test_constant_rate_does_not_drift(void)
{
    const fb_rate rate = {3, 3, 0};
    const fb_schedule s = rates(FB_ARRIVALS_CONSTANT, &rate, 1);
    fb_pacer p = begun(&s, 0, 1, 1);
    for (int i = 0; i < 3000000; i++) {
        fb_pacer_advance(&p);
    }
    CHECK(llabs((long long)(fb_pacer_due(&p) - BEGIN) - (long long)(1000000 * S)) < 1000);
}

static void test_steps_and_pauses(void)
{
    const fb_rate list[] = {{100, 100, 2 * S}, {0, 0, 3 * S}, {500, 500, S}};
    const fb_schedule s = rates(FB_ARRIVALS_CONSTANT, list, 3);
    fb_pacer p = begun(&s, 0, 1, 1);
    CHECK_EQ(200, count_before(&p, 2 * S));
    CHECK_EQ(0, count_before(&p, 5 * S));
    CHECK_EQ(500, count_before(&p, 6 * S));
    CHECK_EQ(500, count_before(&p, 7 * S)); /* the last rate goes on */
}

static void test_ramp_makes_the_area_under_it(void)
{
    const fb_rate list[] = {{0, 1000, 2 * S}, {1000, 0, 2 * S}};
    const fb_schedule s = rates(FB_ARRIVALS_CONSTANT, list, 2);
    fb_pacer p = begun(&s, 0, 1, 1);
    CHECK_EQ(250, count_before(&p, S)); /* 1000 t^2 / 4 */
    CHECK_EQ(750, count_before(&p, 2 * S));
    CHECK_EQ(750, count_before(&p, 3 * S));
    const uint64_t last = count_before(&p, 4 * S); /* the 2000th lies on the border */
    CHECK(last == 250 || last == 251);
    CHECK_EQ(FB_NEVER, fb_pacer_due(&p)); /* a rate of 0 is for ever */
}

static void test_instants_ascend(void)
{
    const fb_rate list[] = {{10, 2000, S}, {2000, 50, S / 3}, {50, 50, S}};
    const int kinds[] = {FB_ARRIVALS_CONSTANT, FB_ARRIVALS_POISSON};
    for (int k = 0; k < 2; k++) {
        const fb_schedule s = rates(kinds[k], list, 3);
        fb_pacer p = begun(&s, 1, 2, 9);
        uint64_t last = 0;
        for (int i = 0; i < 5000; i++) {
            const uint64_t due = take(&p);
            CHECK(due >= last);
            last = due;
        }
    }
}

/* Gaps of a Poisson process: mean and standard deviation are both 1 / rate. */
static void test_poisson_gaps(void)
{
    const fb_rate rate = {5000, 5000, 0};
    const fb_schedule s = rates(FB_ARRIVALS_POISSON, &rate, 1);
    fb_pacer p = begun(&s, 0, 1, 42);
    const int n = 200000;
    double sum = 0;
    double squares = 0;
    uint64_t last = BEGIN;
    for (int i = 0; i < n; i++) {
        const uint64_t due = take(&p);
        const double gap = (double)(due - last);
        last = due;
        sum += gap;
        squares += gap * gap;
    }
    const double mean = sum / n;
    CHECK(fabs(mean / 200000 - 1) < 0.015);
    CHECK(fabs(sqrt(squares / n - mean * mean) / 200000 - 1) < 0.03);
}

static void test_poisson_under_a_ramp(void)
{
    const fb_rate list[] = {{0, 20000, 2 * S}, {20000, 20000, 0}};
    const fb_schedule s = rates(FB_ARRIVALS_POISSON, list, 2);
    double first = 0;
    double second = 0;
    for (uint32_t index = 0; index < 4; index++) {
        fb_pacer p = begun(&s, index, 4, 3);
        first += (double)count_before(&p, S);
        second += (double)count_before(&p, 2 * S);
    }
    CHECK(fabs(first - 5000) < 6 * sqrt(5000));
    CHECK(fabs(second - 15000) < 6 * sqrt(15000));
}

static void test_same_seed_same_schedule(void)
{
    const fb_rate rate = {777, 777, 0};
    const fb_schedule s = rates(FB_ARRIVALS_POISSON, &rate, 1);
    fb_pacer a = begun(&s, 0, 2, 5);
    fb_pacer b = begun(&s, 0, 2, 5);
    fb_pacer c = begun(&s, 0, 2, 6);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t due = take(&a);
        CHECK_EQ(due, take(&b));
        differ += due != take(&c);
    }
    CHECK(differ > 90);
}

static void test_recorded_instants_are_dealt_out(void)
{
    const uint64_t instants[] = {0, 5, 5, 900, 1000000};
    const fb_schedule s = {.arrivals = FB_ARRIVALS_RECORDED, .instants = instants, .n_instants = 5};
    fb_pacer even = begun(&s, 0, 2, 1);
    fb_pacer odd = begun(&s, 1, 2, 1);
    CHECK_EQ(BEGIN + 0, take(&even));
    CHECK_EQ(BEGIN + 5, take(&even));
    CHECK_EQ(BEGIN + 1000000, take(&even));
    CHECK_EQ(FB_NEVER, take(&even));
    CHECK_EQ(BEGIN + 5, take(&odd));
    CHECK_EQ(BEGIN + 900, take(&odd));
    CHECK_EQ(FB_NEVER, take(&odd));
}

int main(void)
{
    RUN(test_closed_loop_is_never_due);
    RUN(test_threads_interleave_evenly);
    RUN(test_constant_rate_does_not_drift);
    RUN(test_steps_and_pauses);
    RUN(test_ramp_makes_the_area_under_it);
    RUN(test_instants_ascend);
    RUN(test_poisson_gaps);
    RUN(test_poisson_under_a_ramp);
    RUN(test_same_seed_same_schedule);
    RUN(test_recorded_instants_are_dealt_out);
    return check_result();
}
