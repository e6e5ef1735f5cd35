/* waiter: events, instants, and polling that gives up where it is in vain. */
#include "check.h"
#include "clock.h"
#include "waiter.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS FB_NS_PER_MS

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

int main(void)
{
    RUN(test_waits_for_events_and_instants);
    RUN(test_backs_off);
    RUN(test_polls_for_replies_only);
    RUN(test_counts_during_measure);
    RUN(test_spins_before_its_instant);
    return check_result();
}
