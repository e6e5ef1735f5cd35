/* CPUs and the calling thread. What changes a thread is tried in threads of its own. */
#include "check.h"
#include "clock.h"
#include "cpu.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_CPUS 4096

static void in_own_thread(void *(*body)(void *))
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, body, NULL) == 0);
    CHECK_EQ(0, pthread_join(thread, NULL));
}

/* The CPUs are those of the scheduler, ascending; a short array gets the first of them. */
static void test_allowed(void)
{
    static int cpus[MAX_CPUS];
    const int count = fb_cpu_allowed(cpus, MAX_CPUS);
    REQUIRE(count > 0 && count <= MAX_CPUS);
    for (int i = 1; i < count; i++)
        CHECK(cpus[i - 1] < cpus[i]);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) { /* not on machines with more CPUs */
        CHECK_EQ(CPU_COUNT(&set), count);
        for (int i = 0; i < count; i++)
            CHECK(CPU_ISSET((size_t)cpus[i], &set));
    }
    int first[2] = {-1, -1};
    CHECK_EQ(count, fb_cpu_allowed(first, 1));
    CHECK_EQ(cpus[0], first[0]);
    CHECK_EQ(-1, first[1]);
}

static void *pin_to_last(void *unused)
{
    static int cpus[MAX_CPUS];
    fb_error err;
    const int count = fb_cpu_allowed(cpus, MAX_CPUS);
    const int last = cpus[count - 1];
    CHECK_EQ(FB_OK, fb_cpu_pin_self(last, &err));
    CHECK_EQ(last, sched_getcpu());
    CHECK_EQ(1, fb_cpu_allowed(cpus, MAX_CPUS));
    CHECK_EQ(last, cpus[0]);
    return unused;
}

/* A pinned thread runs on its CPU and may use no other. */
static void test_pin(void)
{
    in_own_thread(pin_to_last);
}

/* A CPU that does not exist is refused by number, and the thread stays where it was. */
static void test_pin_to_no_cpu(void)
{
    static const int wrong[] = {-1, 1 << 19, 1 << 30};
    int cpu;
    const int before = fb_cpu_allowed(&cpu, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fb_error err;
        char number[32];
        (void)snprintf(number, sizeof number, "CPU %d ", wrong[i]);
        CHECK_EQ(FB_E_INVAL, fb_cpu_pin_self(wrong[i], &err));
        CHECK(strncmp(number, err.text, strlen(number)) == 0);
    }
    CHECK_EQ(before, fb_cpu_allowed(&cpu, 1));
}

static void *set_name_and_slack(void *unused)
{
    fb_cpu_name_self("fb-worker-with-a-long-name");
    char name[17] = "";
    CHECK_EQ(0, prctl(PR_GET_NAME, name, 0, 0, 0));
    CHECK_STR("fb-worker-with-", name);
    fb_cpu_timer_slack_self(1);
    CHECK_EQ(1, prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    fb_cpu_timer_slack_self(0);
    CHECK_EQ(1, prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    return unused;
}

/* Name and timer slack reach the kernel; a slack of 0 is the smallest, not the default. */
static void test_name_and_slack(void)
{
    in_own_thread(set_name_and_slack);
}

static void *tid_exists(void *unused)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d", fb_cpu_tid());
    CHECK_EQ(0, access(path, F_OK));
    CHECK(fb_cpu_tid() != getpid());
    return unused;
}

/* The id is the one under which the kernel lists the thread. */
static void test_tid(void)
{
    CHECK_EQ(getpid(), fb_cpu_tid());
    in_own_thread(tid_exists);
}

/* Usage counts the thread's own work and waits. */
static void test_usage(void)
{
    fb_usage before;
    fb_usage after;
    fb_usage_self(&before);
    const uint64_t begin = fb_thread_cpu_ns();
    while (fb_thread_cpu_ns() - begin < 20 * FB_NS_PER_MS) {
    }
    (void)poll(NULL, 0, 1);
    fb_usage_self(&after);
    CHECK(after.user_ns + after.system_ns > before.user_ns + before.system_ns);
    CHECK(after.voluntary_switches > before.voluntary_switches);
    CHECK(after.involuntary_switches >= before.involuntary_switches);
    CHECK(after.major_faults >= before.major_faults);
}

static void *compete(void *unused)
{
    const uint64_t begin = fb_thread_cpu_ns();
    while (fb_thread_cpu_ns() - begin < 100 * FB_NS_PER_MS) {
    }
    return unused;
}

static void *share_a_cpu(void *unused)
{
    int cpu = 0;
    pthread_t other;
    CHECK(fb_cpu_allowed(&cpu, 1) >= 1 && fb_cpu_pin_self(cpu, NULL) == FB_OK);
    fb_usage before;
    fb_usage after;
    fb_usage_self(&before);
    if (pthread_create(&other, NULL, compete, NULL) == 0) { /* pinned like its parent */
        (void)compete(NULL);
        (void)pthread_join(other, NULL);
    }
    fb_usage_self(&after);
    if (before.run_delay_ns == FB_USAGE_UNKNOWN) {
        CHECK_EQ(FB_USAGE_UNKNOWN, after.run_delay_ns);
    } else {
        CHECK(after.run_delay_ns - before.run_delay_ns > 20 * FB_NS_PER_MS);
    }
    return unused;
}

/* Two threads that want one CPU: the time spent waiting for it is known. */
static void test_run_delay(void)
{
    in_own_thread(share_a_cpu);
}

int main(void)
{
    RUN(test_allowed);
    RUN(test_pin);
    RUN(test_pin_to_no_cpu);
    RUN(test_name_and_slack);
    RUN(test_tid);
    RUN(test_usage);
    RUN(test_run_delay);
    return check_result();
}
