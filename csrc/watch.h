/* What one event loop did with its time during measure: how long its turns took, how long it spun
 * idly, how long replies lay in the kernel before it read them.
 *
 * A turn is all that happens between two waits. The caller passes the clock readings; nothing
 * counts unless `on`. Embedded in the worker, which alone writes it; read after join. */
#ifndef FB_WATCH_H
#define FB_WATCH_H

#include "hist.h"

#include <stdbool.h>

#define FB_WATCH_STALL_NS FB_NS_PER_MS /* a turn that takes longer is a stall */

typedef struct fb_watch {
    bool on;          /* measure is under way */
    uint64_t woke_ns; /* the current turn began */
    uint64_t stalls, stalled_ns, longest_ns;
    uint64_t spin_ns;        /* polled without finding anything */
    uint64_t window_full_ns; /* something was due and no connection had a free slot */
    fb_hist reply_lag;
} fb_watch;

void fb_watch_init(fb_watch *w);

/* A turn begins, and ends. */
static inline void fb_watch_woke(fb_watch *w, uint64_t now_ns)
{
    w->woke_ns = now_ns;
}

static inline void fb_watch_waits(fb_watch *w, uint64_t now_ns)
{
    const uint64_t took = now_ns - w->woke_ns;
    if (w->on) {
        w->longest_ns = took > w->longest_ns ? took : w->longest_ns;
    }
    if (FB_UNLIKELY(took > FB_WATCH_STALL_NS) && w->on) {
        w->stalls++;
        w->stalled_ns += took;
    }
}

/* A sampled reply lay in the kernel for so long. */
static inline void fb_watch_reply_lag(fb_watch *w, uint64_t lag_ns)
{
    if (w->on) {
        fb_hist_record(&w->reply_lag, lag_ns);
    }
}

#endif
