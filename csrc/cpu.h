/* The calling thread and the CPUs it may use: pinning, name, timer slack, usage.
 *
 * Owns nothing. "_self" acts on the calling thread; any thread. Linux only. */
#ifndef FB_CPU_H
#define FB_CPU_H

#include "base.h"

#define FB_USAGE_UNKNOWN UINT64_MAX /* the kernel does not tell */

/* What one thread has used since it began. */
typedef struct fb_usage {
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t voluntary_switches;   /* it waited */
    uint64_t involuntary_switches; /* another thread took its CPU */
    uint64_t major_faults;         /* a page had to be read from disk */
    uint64_t run_delay_ns;         /* ready to run, but without a CPU; FB_USAGE_UNKNOWN */
} fb_usage;

/* CPUs that the calling thread may run on, ascending, at most max of them in cpus.
 * Returns how many there are, which may exceed max, or FB_E_NOMEM, FB_E_SYS. */
int fb_cpu_allowed(int *cpus, int max);

/* Pins the thread to one CPU. FB_E_INVAL where it is not allowed there or does not exist. */
int fb_cpu_pin_self(int cpu, fb_error *err);

/* Names the thread, for top and gdb; only the first 15 bytes are kept. */
void fb_cpu_name_self(const char *name);

/* How late a timed wait of the thread may end, >= 1 ns; new threads have 50 us, or their parent's.
 */
void fb_cpu_timer_slack_self(uint64_t slack_ns);

/* The thread's id, as in /proc/self/task. */
int fb_cpu_tid(void);

/* Fills usage for the thread. */
void fb_usage_self(fb_usage *usage);

#endif
