#include "calls.h"

#include <stdlib.h>

int fb_calls_init(fb_calls *c, uint32_t places, uint32_t pieces, fb_error *err)
{
    *c = (fb_calls){0};
    c->calls = calloc(places, sizeof *c->calls);
    c->free = calloc(places, sizeof *c->free);
    c->ended = calloc(places, sizeof *c->ended);
    if (!c->calls || !c->free || !c->ended) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u calls", places);
    }
    for (uint32_t i = 0; i < places; i++) {
        const int rc = fb_outq_init(&c->calls[i].body, pieces, err);
        if (rc != FB_OK) {
            return rc;
        }
        c->places++;
    }
    fb_calls_reset(c);
    return FB_OK;
}

void fb_calls_fini(fb_calls *c)
{
    for (uint32_t i = 0; i < c->places; i++) {
        fb_outq_fini(&c->calls[i].body);
    }
    free(c->calls);
    free(c->free);
    free(c->ended);
    *c = (fb_calls){0};
}

void fb_calls_reset(fb_calls *c)
{
    c->n_free = c->places;
    for (uint32_t i = 0; i < c->places; i++) {
        c->free[i] = c->places - 1 - i; /* the first places are taken first */
    }
    c->n_ended = c->ended_at = 0;
    c->room = 0;
    c->greeted = c->leaves = c->answered = false;
    c->farewell[0] = '\0';
}

uint32_t fb_calls_take(fb_calls *c)
{
    if (FB_UNLIKELY(c->n_free == 0)) {
        return FB_CALLS_NONE;
    }
    const uint32_t place = c->free[--c->n_free];
    fb_call *call = &c->calls[place];
    fb_outq_reset(&call->body);
    call->begin = call->end = FB_CALLS_NOT_YET;
    call->kept = (fb_body){0};
    call->reply = (fb_reply){0};
    call->refused = false;
    return place;
}

void fb_calls_end(fb_calls *c, uint32_t place)
{
    c->ended[(c->ended_at + c->n_ended++) % c->places] = place;
}

bool fb_calls_next_ended(fb_calls *c, uint32_t *place)
{
    if (c->n_ended == 0) {
        return false;
    }
    *place = c->ended[c->ended_at];
    c->ended_at = (c->ended_at + 1) % c->places;
    c->n_ended--;
    return true;
}

void fb_calls_give_back(fb_calls *c, uint32_t place)
{
    c->free[c->n_free++] = place;
}
