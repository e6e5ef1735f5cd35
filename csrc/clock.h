/* The two clocks of fastbench: monotonic time and the CPU time of a thread, in nanoseconds.
 *
 * Owns nothing; any thread; cannot fail (Linux always has both clocks). */
#ifndef FB_CLOCK_H
#define FB_CLOCK_H

#include "base.h"

#include <time.h>

/* CLOCK_MONOTONIC. Every instant of an inference is taken with this. */
static inline uint64_t fb_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * FB_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* User plus system time that the calling thread has used. A system call: not for the hot path. */
uint64_t fb_thread_cpu_ns(void);

#endif
