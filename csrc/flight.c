#include "flight.h"

#include <stdlib.h>

/* ---- memory ---------------------------------------------------------------------------------- */

static uint8_t *text_of(const fb_flight *f, uint32_t i)
{
    return f->text + (size_t)i * f->lane->stream->text_max;
}

uint8_t *fb_flight_opening_text(const fb_flight *f)
{
    return text_of(f, f->pipeline);
}

/* The queue of a call holds the pieces of one message. */
static int init_calls(fb_flight *f, fb_error *err)
{
    const fb_stream *s = f->lane->stream;
    uint32_t pieces = 1;
    for (uint32_t i = 0; i < s->n_messages; i++) {
        const uint32_t each = fb_message_pieces(&s->messages[i]);
        pieces = each > pieces ? each : pieces;
    }
    f->calls = f->protocol_state;
    f->places = calloc(f->pipeline, sizeof *f->places);
    if (!f->places) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u calls", f->pipeline);
    }
    return fb_flight_multiplexed(f)->init(f->protocol_state, f->pipeline, pieces, err);
}

static fb_route init_route(const fb_flight *f)
{
    fb_lane *lane = f->lane;
    fb_route route = {.lane = lane, .chain = lane->chain};
    if (lane->router) {
        route.node = &lane->router->nodes[f->number % lane->stream->n_addresses];
    }
    route.tickets = lane->dispatched ? calloc(f->pipeline, sizeof *route.tickets) : NULL;
    return route;
}

int fb_flight_init(fb_flight *f, fb_lane *lane, uint64_t number, void *protocol_state,
                   fb_error *err)
{
    const fb_stream *s = lane->stream;
    *f = (fb_flight){.lane = lane, .number = number, .pipeline = s->pipeline};
    f->protocol_state = protocol_state;
    f->slots = calloc(s->pipeline, sizeof *f->slots);
    f->text = malloc((size_t)s->pipeline * s->text_max + s->opening_text_max);
    f->prepared = calloc(s->pipeline, 1);
    f->route = init_route(f);
    if ((lane->dispatched && !f->route.tickets) || !f->slots || !f->text || !f->prepared) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for a connection with %u slots",
                            s->pipeline);
    }
    for (uint32_t i = 0; i < s->pipeline; i++) {
        fb_message_prepare(&s->messages[0], text_of(f, i), number);
    }
    return s->protocol->multiplexed ? init_calls(f, err) : FB_OK;
}

void fb_flight_fini(fb_flight *f)
{
    if (f->calls) {
        fb_flight_multiplexed(f)->fini(f->protocol_state);
    }
    free(f->places);
    free(f->slots);
    free(f->route.tickets);
    free(f->text);
    free(f->prepared);
    *f = (fb_flight){0};
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The text at `i` is that of this inference, and its message is queued. */
static void render(fb_flight *f, const fb_slot *slot, uint32_t i, fb_outq *out)
{
    const fb_stream *s = f->lane->stream;
    const fb_message *message = &s->messages[slot->message];
    if (FB_UNLIKELY(f->prepared[i] != slot->message)) {
        fb_message_prepare(message, text_of(f, i), f->number);
        f->prepared[i] = slot->message;
    }
    if (fb_route_is_on(&f->route)) {
        fb_route_aim(&f->route, slot, (uint32_t)(slot - f->slots), out);
    }
    fb_message_push(message, text_of(f, i), &f->lane->source, f->number,
                    (uint64_t)slot->group * s->rows, out);
}

/* What waits for the next connection has no place. */
static void push_call(fb_flight *f, uint32_t i)
{
    fb_slot *slot = &f->slots[i];
    slot->begin = FB_CALLS_NOT_YET;
    f->places[i] = f->calls->leaves ? FB_CALLS_NONE : fb_calls_take(f->calls);
    if (f->places[i] == FB_CALLS_NONE) {
        return;
    }
    fb_call *call = &f->calls->calls[f->places[i]];
    if (slot->flags & FB_SLOT_CAPTURE) {
        call->kept = fb_lane_capture_room(f->lane, slot);
    }
    render(f, slot, f->places[i], &call->body);
    fb_flight_multiplexed(f)->submit(f->protocol_state, f->places[i],
                                     &f->lane->stream->messages[slot->message]);
}

void fb_flight_push(fb_flight *f, uint32_t nth, fb_outq *out)
{
    const uint32_t i = fb_flight_index(f, nth);
    if (FB_UNLIKELY(f->calls != NULL)) {
        push_call(f, i);
        return;
    }
    f->slots[i].begin = out->pushed;
    render(f, &f->slots[i], i, out);
}

void fb_flight_note_begins(fb_flight *f)
{
    for (uint32_t nth = fb_flight_sent(f); nth < f->used; nth++) {
        const uint32_t place = f->places[fb_flight_index(f, nth)];
        const uint64_t begin =
            place != FB_CALLS_NONE ? f->calls->calls[place].begin : FB_CALLS_NOT_YET;
        if (begin == FB_CALLS_NOT_YET) {
            return;
        }
        fb_flight_at(f, nth)->begin = begin;
    }
}

/* ---- leaving the ring ------------------------------------------------------------------------ */

void fb_flight_take_out(fb_flight *f, uint32_t nth)
{
    for (; nth > 0; nth--) {
        const uint32_t to = fb_flight_index(f, nth);
        const uint32_t from = fb_flight_index(f, nth - 1);
        f->slots[to] = f->slots[from];
        if (f->calls) {
            f->places[to] = f->places[from];
        }
        if (fb_route_is_on(&f->route)) {
            f->route.tickets[to] = f->route.tickets[from];
        }
    }
    fb_flight_drop_oldest(f);
}

/* ---- replies --------------------------------------------------------------------------------- */

uint32_t fb_flight_find(const fb_flight *f, uint32_t place)
{
    uint32_t nth = 0;
    while (nth < f->used && f->places[fb_flight_index(f, nth)] != place) {
        nth++;
    }
    return nth;
}

/* ---- other ends ------------------------------------------------------------------------------ */

void fb_flight_lost(fb_flight *f, uint32_t nth, uint64_t now_ns)
{
    if (fb_route_is_on(&f->route)) {
        fb_route_lost(&f->route, fb_flight_at(f, nth), fb_flight_index(f, nth), now_ns);
    } else {
        fb_lane_lost(f->lane, fb_flight_at(f, nth), now_ns);
    }
}

static void lose_sent(fb_flight *f, uint64_t now_ns)
{
    while (fb_flight_sent(f) > 0) {
        fb_flight_lost(f, 0, now_ns);
        fb_flight_drop_oldest(f);
    }
}

static void put_back(fb_flight *f)
{
    for (uint32_t nth = 0; nth < f->used; nth++) {
        fb_route_put_back(&f->route, fb_flight_at(f, nth), fb_flight_index(f, nth));
    }
    f->used = f->unsent = 0;
}

void fb_flight_broke(fb_flight *f, uint64_t now_ns)
{
    lose_sent(f, now_ns);
    if (fb_route_is_on(&f->route)) {
        put_back(f);
    }
}

/* What had timed out is not sent again: its outcome stands already. */
static void send_again(fb_flight *f, uint64_t now_ns)
{
    for (uint32_t nth = 0; nth < fb_flight_sent(f);) {
        fb_slot *slot = fb_flight_at(f, nth);
        if (slot->flags & FB_SLOT_TIMEDOUT) {
            fb_lane_lost(f->lane, slot, now_ns);
            fb_flight_take_out(f, nth);
            continue;
        }
        slot->flags |= FB_SLOT_SENT;
        if (slot->flags & FB_SLOT_CAPTURE) {
            fb_lane_capture_again(f->lane, slot);
        }
        nth++;
    }
    f->unsent = f->used;
}

void fb_flight_turn(fb_flight *f, uint64_t now_ns)
{
    if (!fb_route_is_on(&f->route)) {
        send_again(f, now_ns);
    } else if (f->calls) {
        put_back(f);
    } else {
        fb_flight_broke(f, now_ns);
    }
}

/* All of them: what was sent again keeps the instant at which it was sent first, so that they are
 * not always in order of that. */
void fb_flight_time_out(fb_flight *f, uint64_t now_ns)
{
    const uint64_t limit = f->lane->config->timeout_ns;
    for (uint32_t nth = 0; nth < fb_flight_sent(f); nth++) {
        fb_slot *slot = fb_flight_at(f, nth);
        if (fb_route_is_on(&f->route)) {
            fb_route_time_out(&f->route, slot, fb_flight_index(f, nth), now_ns);
        } else if (slot->sent_ns + limit <= now_ns && !(slot->flags & FB_SLOT_TIMEDOUT)) {
            fb_lane_timed_out(f->lane, slot, now_ns);
        }
    }
}

void fb_flight_abandon(fb_flight *f)
{
    for (uint32_t nth = 0; nth < f->used; nth++) {
        const bool sent = nth < fb_flight_sent(f);
        if (fb_route_is_on(&f->route)) {
            fb_route_abandon(&f->route, fb_flight_at(f, nth), fb_flight_index(f, nth), sent);
        } else {
            fb_lane_abandoned(f->lane, fb_flight_at(f, nth), sent);
        }
    }
    f->used = f->unsent = 0;
}
