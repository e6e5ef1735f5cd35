/* Histograms and counts of the current interval of one lane, handed over without locks.
 *
 * Two buffers: the worker fills one; at the end of an interval it offers it and goes on with the
 * other, if the reader has given that back. If not, the interval grows: nothing is lost. The
 * reader (one at a time, any thread) takes what is offered. Owner: the engine. */
#ifndef FB_RECORDER_H
#define FB_RECORDER_H

#include "fastbench.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct fb_recorder {
    fb_interval *active; /* worker's */
    fb_interval *spare;  /* worker's while nothing is offered, else the reader's */
    atomic_bool offered;
    bool finished;
} fb_recorder;

/* Allocates; memory is first touched by fb_recorder_clear. FB_E_NOMEM. Before start. */
int fb_recorder_init(fb_recorder *r, fb_error *err);
void fb_recorder_fini(fb_recorder *r);

/* Empties both buffers; the calling worker's memory node gets them. Before the first record. */
void fb_recorder_clear(fb_recorder *r);

/* The clock is in interval `index`: offers the active one if it is older. Worker only. */
void fb_recorder_rotate(fb_recorder *r, uint64_t index);

/* The interval on offer, NULL when there is none; then its buffer goes back. Reader only. */
const fb_interval *fb_recorder_offer(const fb_recorder *r);
void fb_recorder_give_back(fb_recorder *r);

/* After the worker ended, with nothing on offer: offers what it last filled, once; else false. */
bool fb_recorder_finish(fb_recorder *r);

void fb_interval_clear(fb_interval *interval, uint64_t index);
/* Adds everything but the index. */
void fb_interval_add(fb_interval *into, const fb_interval *from);

#endif
