#include "recorder.h"

#include <stdlib.h>

int fb_recorder_init(fb_recorder *r, fb_error *err)
{
    r->active = calloc(1, sizeof *r->active);
    r->spare = calloc(1, sizeof *r->spare);
    atomic_init(&r->offered, false);
    if (!r->active || !r->spare) {
        fb_recorder_fini(r);
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for the histograms of a thread");
    }
    return FB_OK;
}

void fb_recorder_fini(fb_recorder *r)
{
    free(r->active);
    free(r->spare);
    *r = (fb_recorder){0};
}

void fb_recorder_clear(fb_recorder *r)
{
    fb_interval_clear(r->active, 0);
    fb_interval_clear(r->spare, 0);
}

void fb_recorder_rotate(fb_recorder *r, uint64_t index)
{
    /* Acquire pairs with the release in fb_recorder_give_back: the buffer was read and cleared. */
    if (index <= r->active->index || atomic_load_explicit(&r->offered, memory_order_acquire)) {
        return;
    }
    fb_interval *full = r->active;
    r->active = r->spare;
    r->active->index = index;
    r->spare = full;
    /* Release pairs with the acquire in fb_recorder_offer: all records are in the buffer. */
    atomic_store_explicit(&r->offered, true, memory_order_release);
}

const fb_interval *fb_recorder_offer(const fb_recorder *r)
{
    return atomic_load_explicit(&r->offered, memory_order_acquire) ? r->spare : NULL;
}

void fb_recorder_give_back(fb_recorder *r)
{
    fb_interval_clear(r->spare, 0);
    atomic_store_explicit(&r->offered, false, memory_order_release);
}

bool fb_recorder_finish(fb_recorder *r)
{
    if (r->finished) {
        return false;
    }
    fb_interval *last = r->active;
    r->active = r->spare;
    r->spare = last;
    r->finished = true;
    atomic_store_explicit(&r->offered, true, memory_order_release);
    return true;
}

void fb_interval_clear(fb_interval *interval, uint64_t index)
{
    interval->index = index;
    interval->completed = 0;
    interval->ok = interval->errors = interval->timeouts = interval->lost = 0;
    fb_hist_clear(&interval->response);
    fb_hist_clear(&interval->service);
    fb_hist_clear(&interval->lag);
}

void fb_interval_add(fb_interval *into, const fb_interval *from)
{
    into->completed += from->completed;
    into->ok += from->ok;
    into->errors += from->errors;
    into->timeouts += from->timeouts;
    into->lost += from->lost;
    fb_hist_add(&into->response, &from->response);
    fb_hist_add(&into->service, &from->service);
    fb_hist_add(&into->lag, &from->lag);
}
