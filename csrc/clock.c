#include "clock.h"

uint64_t fb_thread_cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * FB_NS_PER_S + (uint64_t)used.tv_nsec;
}
