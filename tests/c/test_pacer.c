/* The schedule of an open loop: exact, repeatable, and shared out without gaps. */
#include "check.h"
#include "fastbench.h"
#include "pacer.h"

#include <math.h>

#define BEGIN UINT64_C(5000000000)

/* In a closed loop nothing is ever due by the clock. */
static void test_closed_loop_is_never_due(void)
{
    fb_pacer p;
    fb_pacer_init(&p, FB_ARRIVALS_CLOSED, 0, 0, 1, 1);
    fb_pacer_begin(&p, BEGIN);
    CHECK(fb_pacer_due(&p) == FB_NEVER);
    fb_pacer_advance(&p);
    CHECK(fb_pacer_due(&p) == FB_NEVER);
}

/* Constant arrivals are where their number says, also after a million of them. */
static void test_constant_does_not_drift(void)
{
    fb_pacer p;
    fb_pacer_init(&p, FB_ARRIVALS_CONSTANT, 30000, 0, 1, 1);
    fb_pacer_begin(&p, BEGIN);
    for (uint64_t i = 0; i < 1000000; i++) {
        const uint64_t exact = BEGIN + i * 100000 / 3; /* 1 s / 30,000, in integers */
        const uint64_t due = fb_pacer_due(&p);
        if (due > exact + 1 || due + 1 < exact) {
            CHECK_EQ(exact, due);
            return;
        }
        fb_pacer_advance(&p);
    }
}

/* Threads that share a rate interleave: together they are the schedule of one thread. */
static void test_threads_interleave(void)
{
    enum { SHARE = 3 };
    fb_pacer all;
    fb_pacer part[SHARE];
    fb_pacer_init(&all, FB_ARRIVALS_CONSTANT, 1000, 0, 1, 1);
    fb_pacer_begin(&all, BEGIN);
    for (uint32_t i = 0; i < SHARE; i++) {
        fb_pacer_init(&part[i], FB_ARRIVALS_CONSTANT, 1000, i, SHARE, 1);
        fb_pacer_begin(&part[i], BEGIN);
    }
    for (uint32_t n = 0; n < 300; n++) {
        const uint64_t one = fb_pacer_due(&all);
        const uint64_t shared = fb_pacer_due(&part[n % SHARE]);
        CHECK(one <= shared + 1 && shared <= one + 1);
        fb_pacer_advance(&all);
        fb_pacer_advance(&part[n % SHARE]);
    }
}

/* A second begin starts the same constant schedule at another instant. */
static void test_begin_again(void)
{
    fb_pacer p;
    fb_pacer_init(&p, FB_ARRIVALS_CONSTANT, 1000, 1, 2, 1);
    fb_pacer_begin(&p, BEGIN);
    const uint64_t first = fb_pacer_due(&p) - BEGIN;
    fb_pacer_advance(&p);
    fb_pacer_begin(&p, 2 * BEGIN);
    CHECK_EQ(first, fb_pacer_due(&p) - 2 * BEGIN);
}

/* Poisson gaps: never negative, with the mean and the deviation of an exponential. */
static void test_poisson_has_its_moments(void)
{
    enum { N = 400000 };
    fb_pacer p;
    double sum = 0;
    double squares = 0;
    uint32_t long_gaps = 0;
    fb_pacer_init(&p, FB_ARRIVALS_POISSON, 10000, 0, 1, 7);
    fb_pacer_begin(&p, BEGIN);
    uint64_t before = BEGIN;
    for (int i = 0; i < N; i++) {
        const uint64_t due = fb_pacer_due(&p);
        CHECK(due >= before);
        const double gap = (double)(due - before);
        sum += gap;
        squares += gap * gap;
        long_gaps += gap > 300000;
        before = due;
        fb_pacer_advance(&p);
    }
    const double mean = sum / N;
    CHECK(fabs(mean / 100000 - 1) < 0.01); /* six standard errors */
    CHECK(fabs(sqrt(squares / N - mean * mean) / 100000 - 1) < 0.02);
    CHECK(fabs(long_gaps / (double)N / exp(-3) - 1) < 0.05);
}

/* The same seed gives the same arrivals; another thread or seed gives others. */
static void test_poisson_is_seeded(void)
{
    fb_pacer a;
    fb_pacer b;
    fb_pacer other_thread;
    fb_pacer other_seed;
    fb_pacer_init(&a, FB_ARRIVALS_POISSON, 1000, 0, 2, 3);
    fb_pacer_init(&b, FB_ARRIVALS_POISSON, 1000, 0, 2, 3);
    fb_pacer_init(&other_thread, FB_ARRIVALS_POISSON, 1000, 1, 2, 3);
    fb_pacer_init(&other_seed, FB_ARRIVALS_POISSON, 1000, 0, 2, 50);
    fb_pacer *all[] = {&a, &b, &other_thread, &other_seed};
    uint32_t alike = 0;
    for (int i = 0; i < 4; i++) {
        fb_pacer_begin(all[i], BEGIN);
    }
    for (int n = 0; n < 1000; n++) {
        CHECK_EQ(fb_pacer_due(&a), fb_pacer_due(&b));
        alike += fb_pacer_due(&a) == fb_pacer_due(&other_thread);
        alike += fb_pacer_due(&a) == fb_pacer_due(&other_seed);
        for (int i = 0; i < 4; i++) {
            fb_pacer_advance(all[i]);
        }
    }
    CHECK(alike < 10);
}

int main(void)
{
    RUN(test_closed_loop_is_never_due);
    RUN(test_constant_does_not_drift);
    RUN(test_threads_interleave);
    RUN(test_begin_again);
    RUN(test_poisson_has_its_moments);
    RUN(test_poisson_is_seeded);
    return check_result();
}
