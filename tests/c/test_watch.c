/* watch: turns, stalls and reply lags count during measure only. */
#include "check.h"
#include "watch.h"

#include <stdlib.h>

static fb_watch *watch;

static void turn(uint64_t began_ns, uint64_t took_ns)
{
    fb_watch_woke(watch, began_ns);
    fb_watch_waits(watch, began_ns + took_ns);
}

/* Before and after measure nothing counts. */
static void test_nothing_counts_outside_measure(void)
{
    fb_watch_init(watch);
    turn(1000, 5 * FB_NS_PER_MS);
    fb_watch_reply_lag(watch, 1000);
    CHECK_EQ(0, watch->stalls);
    CHECK_EQ(0, watch->stalled_ns);
    CHECK_EQ(0, watch->longest_ns);
    CHECK_EQ(0, watch->reply_lag.total);
}

/* A turn over 1 ms is a stall, with all of its time. */
static void test_long_turns_are_stalls(void)
{
    fb_watch_init(watch);
    watch->on = true;
    turn(1000, FB_WATCH_STALL_NS);
    CHECK_EQ(0, watch->stalls);
    turn(FB_NS_PER_S, FB_WATCH_STALL_NS + 1);
    turn(2 * FB_NS_PER_S, 7 * FB_NS_PER_MS);
    turn(3 * FB_NS_PER_S, 1000);
    CHECK_EQ(2, watch->stalls);
    CHECK_EQ(8 * FB_NS_PER_MS + 1, watch->stalled_ns);
    CHECK_EQ(7 * FB_NS_PER_MS, watch->longest_ns);
}

/* Lags of replies go to a histogram. */
static void test_lags_are_recorded(void)
{
    fb_watch_init(watch);
    watch->on = true;
    fb_watch_reply_lag(watch, 1500);
    fb_watch_reply_lag(watch, 3500);
    CHECK_EQ(2, watch->reply_lag.total);
    CHECK_EQ(1500, watch->reply_lag.min_ns);
    CHECK_EQ(3500, watch->reply_lag.max_ns);
}

int main(void)
{
    watch = malloc(sizeof *watch);
    if (watch == NULL) {
        return 1;
    }
    RUN(test_nothing_counts_outside_measure);
    RUN(test_long_turns_are_stalls);
    RUN(test_lags_are_recorded);
    free(watch);
    return check_result();
}
