/* waiter: events, instants, and polling that gives up where it is in vain. */
#include "check.h"
#include "clock.h"
#include "waiter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS FB_NS_PER_MS
#define US (FB_NS_PER_MS / 1000)

/* Of the waiter, which makes no call but epoll_pwait2 in this way. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static int refuse_with; /* errno; 0 = it is let through */
static int calls;

long __wrap_syscall(long number, ...)
{
    calls++;
    if (refuse_with != 0) {
        errno = refuse_with;
        return -1;
    }
    va_list given;
    va_start(given, number);
    const int epoll_fd = va_arg(given, int);
    struct epoll_event *events = va_arg(given, struct epoll_event *);
    const int room = va_arg(given, int);
    const struct timespec *timeout = va_arg(given, const struct timespec *);
    va_end(given);
    return __real_syscall(number, epoll_fd, events, room, timeout, NULL, 0);
}

typedef struct rig {
    fb_waiter waiter;
    fb_watch *watch;
    int event_fd;
    uint64_t now_ns;
    bool expects_reply;
} rig;

static bool rig_init(rig *r)
{
    *r = (rig){.watch = calloc(1, sizeof *r->watch), .event_fd = eventfd(0, EFD_CLOEXEC)};
    r->expects_reply = true;
    r->waiter = (fb_waiter){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .watch = r->watch};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = r->event_fd};
    r->now_ns = fb_now_ns();
    return r->watch && r->event_fd >= 0 &&
           epoll_ctl(r->waiter.epoll_fd, EPOLL_CTL_ADD, r->event_fd, &event) == 0;
}

static void rig_fini(rig *r)
{
    free(r->watch);
    (void)close(r->event_fd);
    (void)close(r->waiter.epoll_fd);
}

static int wait_for(rig *r, uint64_t ns, uint64_t spin_ns)
{
    struct epoll_event event;
    r->now_ns = fb_now_ns();
    const fb_wait wait = {r->now_ns + ns, spin_ns, r->expects_reply};
    return fb_waiter_wait(&r->waiter, &wait, &event, 1, &r->now_ns);
}

/* What has happened is told at once; what has not, not before its instant. */
static void test_waits_for_events_and_instants(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    for (int i = 0; i < 4; i++) { /* polling first, and not */
        const uint64_t began_ns = fb_now_ns();
        CHECK_EQ(0, wait_for(&r, 2 * MS, 0));
        CHECK(r.now_ns >= began_ns + 2 * MS);
    }
    REQUIRE(eventfd_write(r.event_fd, 1) == 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(1, wait_for(&r, 60 * FB_NS_PER_S, 0));
    }
    rig_fini(&r);
}

/* Each poll that finds nothing makes it sit out more of the next waits; one that finds something,
 * fewer. */
static void test_backs_off(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.watch->on = true;
    uint32_t polled = 0;
    for (int i = 0; i < 1 + 2 + 4; i++) { /* polls before waits 0, 2 and 6 */
        const uint64_t before_ns = r.watch->spin_ns;
        CHECK_EQ(0, wait_for(&r, MS, 0));
        polled += r.watch->spin_ns > before_ns;
    }
    CHECK_EQ(3, polled);
    CHECK_EQ(7, r.waiter.back_off);
    r.waiter.sit_out = 0;
    r.watch->spin_ns = 0;
    REQUIRE(eventfd_write(r.event_fd, 1) == 0);
    CHECK_EQ(1, wait_for(&r, MS, 0));
    CHECK_EQ(3, r.waiter.back_off);
    CHECK_EQ(0, r.watch->spin_ns); /* it was there already */
    rig_fini(&r);
}

/* Nothing is in flight: there is nothing to poll for. */
static void test_polls_for_replies_only(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.watch->on = true;
    r.expects_reply = false;
    CHECK_EQ(0, wait_for(&r, MS, 0));
    CHECK_EQ(0, r.watch->spin_ns);
    CHECK_EQ(0, r.waiter.back_off);
    rig_fini(&r);
}

/* Before measure polling does not count. */
static void test_counts_during_measure(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    CHECK_EQ(0, wait_for(&r, MS, 0));
    CHECK_EQ(0, r.watch->spin_ns);
    rig_fini(&r);
}

/* Asked to, it polls until its instant, and does not sleep past it. */
static void test_spins_before_its_instant(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.watch->on = true;
    const uint64_t began_ns = fb_now_ns();
    CHECK_EQ(0, wait_for(&r, 100 * MS, 100 * MS));
    CHECK(r.watch->spin_ns > 0);
    CHECK(r.now_ns >= began_ns + 100 * MS);
    CHECK_EQ(0, wait_for(&r, 0, 0)); /* it is due already */
    rig_fini(&r);
}

/* What is due already is due at once, but what has happened is told first, also where it spins:
 * arrivals that are always late must not keep replies waiting. */
static void test_looks_where_it_is_late(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    struct epoll_event event;
    for (int spins = 0; spins < 2; spins++) {
        const fb_wait at_once = {0, spins ? 60 * US : 0, false};
        CHECK_EQ(0, fb_waiter_wait(&r.waiter, &at_once, &event, 1, &r.now_ns));
    }
    REQUIRE(eventfd_write(r.event_fd, 1) == 0);
    for (int spins = 0; spins < 2; spins++) {
        const fb_wait wait = {r.now_ns - US, spins ? 60 * US : 0, true};
        CHECK_EQ(1, fb_waiter_wait(&r.waiter, &wait, &event, 1, &r.now_ns));
    }
    rig_fini(&r);
}

/* Where the system has no epoll_pwait2 or forbids it, whatever it says to that, the waits are the
 * same: to the microsecond and without polling. It is asked once. */
static void test_without_epoll_pwait2(void)
{
    const int refusals[] = {ENOSYS, EPERM, EACCES};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        rig r;
        REQUIRE(rig_init(&r));
        refuse_with = refusals[i];
        calls = 0;
        r.watch->on = true;
        r.expects_reply = false;
        for (int k = 0; k < 8; k++) {
            const uint64_t began_ns = fb_now_ns();
            CHECK_EQ(0, wait_for(&r, 100 * US, 0));
            CHECK(r.now_ns >= began_ns + 100 * US);
        }
        CHECK_EQ(1, calls);
        CHECK_EQ(0, r.watch->spin_ns);
        REQUIRE(eventfd_write(r.event_fd, 1) == 0);
        CHECK_EQ(1, wait_for(&r, 60 * FB_NS_PER_S, 0));
        CHECK_EQ(1, wait_for(&r, 60 * FB_NS_PER_S, 60 * US));
        refuse_with = 0;
        rig_fini(&r);
    }
}

/* An interrupted wait, or one that cannot be, is told and says nothing about the next. */
static void test_failures_are_no_refusals(void)
{
    const int failures[] = {EINTR, EBADF, EFAULT, EINVAL};
    rig r;
    REQUIRE(rig_init(&r));
    r.expects_reply = false;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        refuse_with = failures[i];
        CHECK_EQ(-1, wait_for(&r, MS, 0));
        CHECK_EQ(failures[i], errno);
    }
    refuse_with = 0;
    calls = 0;
    CHECK_EQ(0, wait_for(&r, MS, 0));
    CHECK_EQ(1, calls);
    rig_fini(&r);
}

int main(void)
{
    RUN(test_waits_for_events_and_instants);
    RUN(test_backs_off);
    RUN(test_polls_for_replies_only);
    RUN(test_counts_during_measure);
    RUN(test_spins_before_its_instant);
    RUN(test_looks_where_it_is_late);
    RUN(test_without_epoll_pwait2);
    RUN(test_failures_are_no_refusals);
    return check_result();
}
