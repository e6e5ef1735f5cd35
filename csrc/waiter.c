#include "waiter.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS (FB_NS_PER_MS / 50)
#define BACK_OFF_MAX 255

/* Whether that errno says that there is no such call, and not that this one failed. It is ENOSYS
 * before Linux 5.11; a filter of system calls that does not know it may answer anything. */
static bool is_refusal(int cause)
{
    return cause != EINTR && cause != EBADF && cause != EFAULT && cause != EINVAL;
}

/* Sleeps until something happens or that time is over, to the nanosecond, in two calls. */
static int sleep_in_two(const fb_waiter *w, struct epoll_event *events, int room,
                        const struct timespec *timeout)
{
    struct pollfd polled = {.fd = w->epoll_fd, .events = POLLIN};
    const int n = ppoll(&polled, 1, timeout, NULL);
    return n > 0 ? epoll_wait(w->epoll_fd, events, room, 0) : n;
}

/* Sleeps until something happens, at most for wait_ns. */
static int sleep_for(fb_waiter *w, struct epoll_event *events, int room, uint64_t wait_ns)
{
    const struct timespec timeout = {.tv_sec = (time_t)(wait_ns / FB_NS_PER_S),
                                     .tv_nsec = (long)(wait_ns % FB_NS_PER_S)};
    if (FB_LIKELY(!w->in_two)) {
        const long n = syscall(SYS_epoll_pwait2, w->epoll_fd, events, room, &timeout, NULL, 0);
        if (n >= 0 || !is_refusal(errno)) {
            return (int)n;
        }
        w->in_two = true;
    }
    return sleep_in_two(w, events, room, &timeout);
}

/* Polls until something happens or that instant has come. */
static int poll_until(fb_waiter *w, struct epoll_event *events, int room, uint64_t until_ns,
                      uint64_t *now_ns)
{
    const uint64_t began_ns = *now_ns;
    uint64_t in_vain_ns = began_ns; /* until then */
    int n = 0;
    while (n == 0 && *now_ns < until_ns) {
        in_vain_ns = *now_ns;
        n = epoll_wait(w->epoll_fd, events, room, 0);
        *now_ns = fb_now_ns();
    }
    in_vain_ns = n == 0 ? *now_ns : in_vain_ns;
    w->watch->spin_ns += w->watch->on ? in_vain_ns - began_ns : 0;
    return n;
}

/* Polls for as long as it would cost to sleep, unless that has lately been in vain. */
static int poll_first(fb_waiter *w, struct epoll_event *events, int room, uint64_t *now_ns)
{
    if (w->sit_out > 0) {
        w->sit_out--;
        return 0;
    }
    const int n = poll_until(w, events, room, *now_ns + POLL_NS, now_ns);
    if (n != 0) {
        w->back_off /= 2;
    } else {
        w->back_off = w->back_off < BACK_OFF_MAX ? 2 * w->back_off + 1 : BACK_OFF_MAX;
        w->sit_out = w->back_off;
    }
    return n;
}

int fb_waiter_wait(fb_waiter *w, const fb_wait *wait, struct epoll_event *events, int room,
                   uint64_t *now_ns)
{
    const uint64_t wake_ns = wait->due_ns > wait->spin_ns ? wait->due_ns - wait->spin_ns : 0;
    const bool spins = wait->spin_ns > 0 && wait->due_ns > *now_ns; /* else look once at least */
    int n = 0;
    if (wait->expects_reply && wake_ns > *now_ns + POLL_NS) {
        n = poll_first(w, events, room, now_ns);
    }
    if (n == 0 && (!spins || wake_ns > *now_ns)) {
        n = sleep_for(w, events, room, wake_ns > *now_ns ? wake_ns - *now_ns : 0);
    }
    *now_ns = fb_now_ns();
    if (n == 0 && wait->spin_ns > 0) {
        n = poll_until(w, events, room, wait->due_ns, now_ns);
    }
    return n;
}
