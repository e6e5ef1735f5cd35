/* The clocks. */
#include "check.h"
#include "clock.h"

static uint64_t kernel_now_ns(void)
{
    struct timespec now = {0};
    CHECK_EQ(0, clock_gettime(CLOCK_MONOTONIC, &now));
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Time never runs backwards and is the kernel's monotonic one, in nanoseconds. */
static void test_now_is_monotonic(void)
{
    for (int i = 0; i < 10000; i++) {
        const uint64_t before = kernel_now_ns();
        const uint64_t now = fb_now_ns();
        const uint64_t after = kernel_now_ns();
        CHECK(before <= now && now <= after);
    }
}

/* The CPU time of a thread grows while it works, and by no more than the time that passes. */
static void test_thread_cpu_grows(void)
{
    const uint64_t wall = fb_now_ns();
    const uint64_t begin = fb_thread_cpu_ns();
    while (fb_thread_cpu_ns() - begin < FB_NS_PER_MS) {
    }
    const uint64_t used = fb_thread_cpu_ns() - begin;
    CHECK(used >= FB_NS_PER_MS);
    CHECK(used <= fb_now_ns() - wall + FB_NS_PER_MS);
}

int main(void)
{
    RUN(test_now_is_monotonic);
    RUN(test_thread_cpu_grows);
    return check_result();
}
