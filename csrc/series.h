/* One stream's intervals, merged over the threads that record them and given out in order.
 *
 * Each thread's lane hands over its own when they are complete, at its own time. Owned by the
 * engine; one thread at a time. */
#ifndef FB_SERIES_H
#define FB_SERIES_H

#include "lane.h"

typedef struct fb_series {
    fb_interval *pending; /* what some lanes have handed over and others not yet */
    uint64_t next;        /* index to give out next */
    uint64_t *handed;     /* by thread: intervals below this index are complete */
    uint32_t threads;
} fb_series;

/* FB_E_NOMEM; fb_series_fini is due all the same. */
int fb_series_init(fb_series *s, uint32_t threads);
void fb_series_fini(fb_series *s);

/* The next interval, when it is complete; false: not yet, or with `joined`, when no thread runs any
 * more, never. The stream's lanes: `first`, and one every `stride` lanes. */
bool fb_series_take(fb_series *s, fb_lane *first, uint32_t stride, bool joined, fb_interval *out);

#endif
