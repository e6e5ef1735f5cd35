#include "series.h"

#include <stdlib.h>

/* More than a lane can be ahead, since each has only two buffers. */
#define PENDING 4

int fb_series_init(fb_series *s, uint32_t threads)
{
    *s = (fb_series){.pending = malloc(PENDING * sizeof(fb_interval)),
                     .handed = calloc(threads, sizeof(uint64_t)),
                     .threads = threads};
    if (!s->pending || !s->handed) {
        return FB_E_NOMEM;
    }
    for (uint32_t k = 0; k < PENDING; k++) {
        fb_interval_clear(&s->pending[k], 0);
    }
    return FB_OK;
}

void fb_series_fini(fb_series *s)
{
    free(s->pending);
    free(s->handed);
}

/* Merges what one lane has on offer, as far as the window of pending intervals reaches. */
static void take_lane(fb_series *s, fb_lane *lane, bool joined, uint64_t *handed)
{
    for (;;) {
        const fb_interval *offer = fb_recorder_offer(&lane->recorder);
        if (!offer) {
            if (joined && fb_recorder_finish(&lane->recorder)) {
                continue;
            }
            *handed = joined ? UINT64_MAX : *handed;
            return;
        }
        /* A lane that was late to hand over may carry an index already given out. */
        const uint64_t index = offer->index > s->next ? offer->index : s->next;
        *handed = index;
        if (index >= s->next + PENDING) {
            return;
        }
        s->pending[index % PENDING].index = index;
        fb_interval_add(&s->pending[index % PENDING], offer);
        fb_recorder_give_back(&lane->recorder);
        *handed = index + 1;
    }
}

static uint64_t newest(const fb_series *s)
{
    uint64_t index = 0;
    for (uint32_t k = 0; k < PENDING; k++) {
        index = s->pending[k].index > index ? s->pending[k].index : index;
    }
    return index;
}

bool fb_series_take(fb_series *s, fb_lane *first, uint32_t stride, bool joined, fb_interval *out)
{
    uint64_t complete = UINT64_MAX;
    for (uint32_t i = 0; i < s->threads; i++) {
        take_lane(s, &first[(size_t)i * stride], joined, &s->handed[i]);
        complete = s->handed[i] < complete ? s->handed[i] : complete;
    }
    if (s->next >= complete || (joined && complete == UINT64_MAX && s->next > newest(s))) {
        return false;
    }
    fb_interval *slot = &s->pending[s->next % PENDING];
    slot->index = s->next;
    *out = *slot;
    fb_interval_clear(slot, 0);
    s->next++;
    return true;
}
