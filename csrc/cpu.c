#include "cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* More CPUs than Linux can be built for today: where sets stop growing. */
#define MAX_CPUS (1 << 20)

/* A set with the CPUs allowed and the number of CPUs that it has room for; NULL with errno. */
static cpu_set_t *allowed_set(int *room)
{
    /* The kernel refuses a set smaller than its own with EINVAL; its size can only be guessed. */
    for (int cpus = CPU_SETSIZE; cpus <= MAX_CPUS; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (set == NULL)
            return NULL;
        if (sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)cpus), set) == 0) {
            *room = cpus;
            return set;
        }
        const int reason = errno;
        CPU_FREE(set);
        errno = reason;
        if (reason != EINVAL)
            return NULL;
    }
    return NULL;
}

int fb_cpu_allowed(int *cpus, int max)
{
    int room = 0;
    cpu_set_t *set = allowed_set(&room);
    if (set == NULL)
        return errno == ENOMEM ? FB_E_NOMEM : FB_E_SYS;
    int count = 0;
    for (int cpu = 0; cpu < room; cpu++) {
        if (!CPU_ISSET_S((size_t)cpu, CPU_ALLOC_SIZE((size_t)room), set))
            continue;
        if (count < max)
            cpus[count] = cpu;
        count++;
    }
    CPU_FREE(set);
    return count;
}

int fb_cpu_pin_self(int cpu, fb_error *err)
{
    if (cpu < 0 || cpu >= MAX_CPUS)
        return fb_error_set(err, FB_E_INVAL, 0, "CPU %d does not exist", cpu);
    cpu_set_t *set = CPU_ALLOC((size_t)cpu + 1);
    if (set == NULL)
        return fb_error_set(err, FB_E_NOMEM, ENOMEM, "no memory for a set of %d CPUs", cpu + 1);
    const size_t size = CPU_ALLOC_SIZE((size_t)cpu + 1);
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t)cpu, size, set);
    const int reason = sched_setaffinity(0, size, set) == 0 ? 0 : errno;
    CPU_FREE(set);
    if (reason == 0)
        return FB_OK;
    if (reason == EINVAL)
        return fb_error_set(err, FB_E_INVAL, reason,
                            "CPU %d does not exist or this process may not use it", cpu);
    return fb_error_set(err, FB_E_SYS, reason, "cannot pin a thread to CPU %d: %s", cpu,
                        strerror(reason));
}

void fb_cpu_name_self(const char *name)
{
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

void fb_cpu_timer_slack_self(uint64_t slack_ns)
{
    /* To the kernel 0 means "the default again", the opposite of what a caller would want. */
    (void)prctl(PR_SET_TIMERSLACK, (unsigned long)(slack_ns > 0 ? slack_ns : 1), 0, 0, 0);
}

int fb_cpu_tid(void)
{
    return (int)gettid();
}

static uint64_t to_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * FB_NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

/* The second number of schedstat: nanoseconds in a run queue. */
static uint64_t run_delay_ns(void)
{
    char text[96];
    const int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    if (n <= 0)
        return FB_USAGE_UNKNOWN;
    text[n] = '\0';
    char *second = NULL;
    (void)strtoull(text, &second, 10);
    char *end = NULL;
    const unsigned long long delay = strtoull(second, &end, 10);
    return end == second ? FB_USAGE_UNKNOWN : delay;
}

void fb_usage_self(fb_usage *usage)
{
    struct rusage used;
    memset(&used, 0, sizeof used);
    (void)getrusage(RUSAGE_THREAD, &used);
    usage->user_ns = to_ns(used.ru_utime);
    usage->system_ns = to_ns(used.ru_stime);
    usage->voluntary_switches = (uint64_t)used.ru_nvcsw;
    usage->involuntary_switches = (uint64_t)used.ru_nivcsw;
    usage->major_faults = (uint64_t)used.ru_majflt;
    usage->run_delay_ns = run_delay_ns();
}
