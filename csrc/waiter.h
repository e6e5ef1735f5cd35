/* How one event loop waits: asleep, or polling where that is cheaper or asked for.
 *
 * To sleep and be woken costs a core some 10 us, in a virtual machine more, and is late by as much.
 * So while a reply is awaited the waiter first polls for about as long: where it comes then, that
 * is cheaper; where it does not, it costs as much again. After waits in which it found nothing it
 * sits out ever more of the next ones.
 *
 * Embedded in the worker, which alone uses it. */
#ifndef FB_WAITER_H
#define FB_WAITER_H

#include "watch.h"

#include <sys/epoll.h>

typedef struct fb_waiter {
    int epoll_fd;
    fb_watch *watch;   /* learns how long was polled in vain */
    uint32_t back_off; /* waits to sit out after the next one that finds nothing */
    uint32_t sit_out;  /* waits left of those */
    bool in_two;       /* the system refused epoll_pwait2: ppoll sleeps, epoll_wait follows */
} fb_waiter;

/* Until when, and how. */
typedef struct fb_wait {
    uint64_t due_ns;
    uint64_t spin_ns;   /* before due_ns poll for so long */
    bool expects_reply; /* else there is nothing to poll for */
} fb_wait;

/* Waits until something happens, at most until wait->due_ns; what has happened is told even where
 * that is past. *now_ns: the clock, before and after. Number of events, or < 0. */
int fb_waiter_wait(fb_waiter *w, const fb_wait *wait, struct epoll_event *events, int room,
                   uint64_t *now_ns);

#endif
