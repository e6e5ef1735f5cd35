#include "chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE FB_CHAIN_NONE

/* ---- linking --------------------------------------------------------------------------------- */

static int check_step(fb_stream **steps, uint32_t k, uint32_t *kept, fb_error *err)
{
    const fb_stream *s = steps[k];
    for (uint32_t i = 0; i < s->n_messages; i++) {
        if ((s->messages[i].fetched & ~*kept) != 0) {
            return fb_error_set(err, FB_E_INVAL, 0,
                                "step %u sends a value that no step before it has kept", k + 1);
        }
    }
    if (s->fetch_bytes > 0 && s->messages[0].spec.replies != 1) {
        return fb_error_set(err, FB_E_INVAL, 0, "step %u keeps one value, its message has %u",
                            k + 1, s->messages[0].spec.replies);
    }
    *kept |= s->fetch_bytes > 0 ? UINT32_C(1) << k : 0;
    return FB_OK;
}

int fb_chain_link(fb_stream **steps, uint32_t n, fb_error *err)
{
    const fb_stream *lead = steps[n - 1];
    uint32_t kept = 0;
    uint32_t rows = 0;
    if (lead->fetch_bytes > 0) {
        return fb_error_set(err, FB_E_INVAL, 0, "nothing follows that could send what is kept");
    }
    for (uint32_t k = 0; k < n; k++) {
        if (n > 1 && (steps[k]->n_messages != 1 || steps[k]->owners)) {
            return fb_error_set(err, FB_E_INVAL, 0, "a step of a chain is one message, no cluster");
        }
        const int rc = check_step(steps, k, &kept, err);
        if (rc != FB_OK) {
            return rc;
        }
        rows = steps[k]->rows > rows ? steps[k]->rows : rows;
    }
    for (uint32_t k = 0; k < n; k++) {
        steps[k]->rows = rows;
        steps[k]->groups = rows > 0 ? lead->data[0].rows / rows : 1;
    }
    return FB_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint32_t n_keys(const fb_chain *chain)
{
    return chain->lead->stream->n_keys;
}

static int allocate(fb_chain *chain)
{
    const size_t n = chain->n_tokens;
    size_t each = 0;
    for (uint32_t k = 0; k < chain->n_steps; k++) {
        each += chain->lanes[k]->stream->fetch_bytes;
    }
    chain->tokens = calloc(n, sizeof *chain->tokens);
    chain->numbers = calloc(n * n_keys(chain) + 1, sizeof *chain->numbers);
    chain->took_ns = calloc(n * chain->n_steps, sizeof *chain->took_ns);
    chain->bodies = calloc(n * chain->n_steps, sizeof *chain->bodies);
    chain->bytes = each <= SIZE_MAX / 2 / n ? malloc(n * each + 1) : NULL;
    chain->drawn = calloc((size_t)n_keys(chain) + 1, sizeof *chain->drawn);
    chain->draws.positions = calloc((size_t)n_keys(chain) + 1, sizeof(uint64_t));
    chain->service = calloc(chain->n_steps, sizeof *chain->service);
    const bool whole = chain->tokens && chain->numbers && chain->took_ns && chain->bodies &&
                       chain->bytes && chain->drawn && chain->draws.positions && chain->service;
    return whole ? FB_OK : FB_E_NOMEM;
}

static void fill(fb_chain *chain)
{
    uint8_t *bytes = chain->bytes;
    for (uint32_t i = 0; i < chain->n_tokens; i++) {
        chain->tokens[i].next = i + 1 < chain->n_tokens ? i + 1 : NONE;
        for (uint32_t k = 0; k < chain->n_steps; k++) {
            const uint32_t room = chain->lanes[k]->stream->fetch_bytes;
            *fb_chain_body(chain, k, i) = (fb_body){.bytes = bytes, .room = room};
            bytes += room;
        }
    }
    for (uint32_t i = 0; i < n_keys(chain); i++) {
        chain->drawn[i] = (fb_keys){.kind = FB_KEYS_SEQUENCE, .count = 1};
    }
    for (uint32_t k = 0; k < chain->n_steps; k++) {
        chain->waits[k] = (fb_chain_queue){NONE, NONE};
        fb_hist_clear(&chain->service[k]);
    }
}

/* The lanes draw the numbers that a token has, each distribution its one; the chain itself draws
 * as the lane that leads would have. */
static void take_over(fb_chain *chain)
{
    const fb_source *source = &chain->lead->source;
    chain->draws.keys = source->keys;
    chain->draws.random = source->random;
    memcpy(chain->draws.positions, source->positions, n_keys(chain) * sizeof(uint64_t));
    for (uint32_t k = 0; k < chain->n_steps; k++) {
        chain->lanes[k]->source.keys = chain->drawn;
        chain->lanes[k]->chain = chain;
        chain->lanes[k]->dispatched = true;
        chain->lanes[k]->step = k;
    }
}

fb_chain *fb_chain_new(fb_lane **lanes, uint32_t n, fb_error *err)
{
    fb_chain *chain = calloc(1, sizeof *chain);
    if (chain) {
        for (uint32_t i = 0; i < n; i++) {
            chain->lanes[i] = lanes[i];
        }
        chain->lead = lanes[n - 1];
        chain->n_steps = n;
        chain->n_tokens = chain->lead->connections * chain->lead->stream->pipeline;
    }
    if (!chain || allocate(chain) != FB_OK) {
        fb_chain_free(chain);
        fb_error_set(err, FB_E_NOMEM, 0,
                     "out of memory for what %u inferences of a chain may fetch",
                     lanes[n - 1]->connections * lanes[n - 1]->stream->pipeline);
        return NULL;
    }
    fill(chain);
    take_over(chain);
    return chain;
}

void fb_chain_free(fb_chain *chain)
{
    if (!chain) {
        return;
    }
    for (uint32_t k = 0; k < chain->n_steps; k++) {
        chain->lanes[k]->chain = NULL;
    }
    free(chain->tokens);
    free(chain->numbers);
    free(chain->took_ns);
    free(chain->bodies);
    free(chain->bytes);
    free(chain->drawn);
    free(chain->draws.positions);
    free(chain->service);
    free(chain);
}

/* ---- beginning, and waiting ------------------------------------------------------------------ */

static void enqueue(fb_chain *chain, uint32_t step, uint32_t token)
{
    fb_chain_queue *queue = &chain->waits[step];
    chain->tokens[token].next = NONE;
    if (queue->last == NONE) {
        queue->first = token;
    } else {
        chain->tokens[queue->last].next = token;
    }
    queue->last = token;
    chain->waiting++;
}

/* Takes out what comes after `before`, the first when that is NONE. */
static void dequeue(fb_chain *chain, uint32_t step, uint32_t before)
{
    fb_chain_queue *queue = &chain->waits[step];
    uint32_t *link = before == NONE ? &queue->first : &chain->tokens[before].next;
    const uint32_t token = *link;
    *link = chain->tokens[token].next;
    queue->last = queue->last == token ? before : queue->last;
    chain->waiting--;
}

static void release(fb_chain *chain, uint32_t token)
{
    chain->tokens[token].next = chain->free;
    chain->free = token;
}

static uint64_t *numbers_of(const fb_chain *chain, uint32_t token)
{
    return chain->numbers + (size_t)token * n_keys(chain);
}

void fb_chain_start(fb_chain *chain, const fb_slot *slot)
{
    const uint32_t token = chain->free;
    uint64_t *numbers = numbers_of(chain, token);
    fb_source *draws = &chain->draws;
    chain->free = chain->tokens[token].next;
    chain->tokens[token].slot = *slot;
    for (uint32_t i = 0; i < n_keys(chain); i++) {
        numbers[i] = fb_keys_next(&draws->keys[i], &draws->random, &draws->positions[i]);
    }
    enqueue(chain, 0, token);
}

void fb_chain_refill(fb_chain *chain, uint64_t intended_ns)
{
    fb_slot slot;
    while (fb_stream_is_closed_loop(chain->lead->stream) && fb_chain_has_room(chain) &&
           fb_lane_admit(chain->lead, intended_ns, &slot)) {
        fb_chain_start(chain, &slot);
    }
}

bool fb_chain_next(fb_chain *chain, uint32_t step, fb_slot *slot, uint32_t *token)
{
    if (!fb_chain_waits(chain, step)) {
        return false;
    }
    *token = chain->waits[step].first;
    dequeue(chain, step, NONE);
    const fb_slot *whole = &chain->tokens[*token].slot;
    const bool last = step + 1 == chain->n_steps;
    *slot = (fb_slot){.group = whole->group, .capture = whole->capture};
    slot->flags = last ? whole->flags & FB_SLOT_CAPTURE : 0;
    if (chain->lanes[step]->stream->fetch_bytes > 0) {
        fb_body *body = fb_chain_body(chain, step, *token);
        body->found = false;
        body->len = 0;
        slot->flags |= FB_SLOT_KEEP;
    }
    return true;
}

void fb_chain_put_back(fb_chain *chain, uint32_t step, uint32_t token)
{
    enqueue(chain, step, token);
}

void fb_chain_aim(fb_chain *chain, uint32_t step, uint32_t token)
{
    const uint64_t *numbers = numbers_of(chain, token);
    for (uint32_t i = 0; i < n_keys(chain); i++) {
        chain->drawn[i].low = numbers[i];
    }
    chain->lanes[step]->source.fetched = fb_chain_body(chain, 0, token);
}

fb_body *fb_chain_body(const fb_chain *chain, uint32_t step, uint32_t token)
{
    return &chain->bodies[(size_t)token * chain->n_steps + step];
}

/* ---- how it went ----------------------------------------------------------------------------- */

void fb_chain_sent(fb_chain *chain, uint32_t step, uint32_t token, fb_slot *slot, uint64_t sent_ns)
{
    fb_slot *whole = &chain->tokens[token].slot;
    slot->sent_ns = sent_ns;
    if (step == 0 && !(whole->flags & FB_SLOT_SENT)) { /* else: sent again, as it was refused */
        whole->sent_ns = sent_ns;
        whole->flags |= FB_SLOT_SENT;
        fb_lane_sent(chain->lead, whole);
    }
}

static uint64_t *took_of(const fb_chain *chain, uint32_t token)
{
    return chain->took_ns + (size_t)token * chain->n_steps;
}

static void record_steps(fb_chain *chain, uint32_t token)
{
    const uint64_t *took_ns = took_of(chain, token);
    for (uint32_t k = 0; k < chain->n_steps; k++) {
        fb_hist_record(&chain->service[k], took_ns[k]);
    }
}

static void end(fb_chain *chain, uint32_t token, const fb_reply *reply, uint64_t received_ns)
{
    const fb_slot *whole = &chain->tokens[token].slot;
    const bool counts = (whole->flags & (FB_SLOT_MEASURED | FB_SLOT_TIMEDOUT)) == FB_SLOT_MEASURED;
    if (reply->outcome == FB_OUTCOME_OK && counts) {
        record_steps(chain, token);
    }
    fb_lane_replied(chain->lead, whole, reply, received_ns);
    fb_lane_settle(chain->lead); /* whose connections may not be the ones that are read */
    release(chain, token);
}

static void fail(fb_chain *chain, uint32_t step, uint32_t token, const fb_reply *reply,
                 uint64_t received_ns)
{
    fb_reply said = *reply;
    (void)snprintf(chain->error_text, sizeof chain->error_text, "step %u: %.*s", step + 1,
                   (int)sizeof chain->error_text - 16, reply->error_text);
    said.error_text = chain->error_text;
    end(chain, token, &said, received_ns);
}

static void fail_too_long(fb_chain *chain, uint32_t step, uint32_t token, uint64_t received_ns)
{
    char text[FB_ERROR_TEXT_MAX];
    const fb_body *body = fb_chain_body(chain, step, token);
    (void)snprintf(text, sizeof text, "FETCHED_TOO_LONG: a value of %llu bytes, room is for %u",
                   (unsigned long long)body->len, body->room);
    const fb_reply reply = {.done = true,
                            .outcome = FB_OUTCOME_ERROR,
                            .error_class = "FETCHED_TOO_LONG",
                            .error_text = text};
    fail(chain, step, token, &reply, received_ns);
}

void fb_chain_replied(fb_chain *chain, uint32_t step, uint32_t token, const fb_slot *slot,
                      const fb_reply *reply, uint64_t received_ns)
{
    const fb_body *body = fb_chain_body(chain, step, token);
    const bool over = chain->tokens[token].slot.flags & FB_SLOT_TIMEDOUT;
    took_of(chain, token)[step] = received_ns - slot->sent_ns;
    if (FB_UNLIKELY(reply->outcome != FB_OUTCOME_OK)) {
        fail(chain, step, token, reply, received_ns);
    } else if (FB_UNLIKELY((slot->flags & FB_SLOT_KEEP) && body->len > body->room)) {
        fail_too_long(chain, step, token, received_ns);
    } else if (FB_UNLIKELY(over) || step + 1 == chain->n_steps) {
        end(chain, token, reply, received_ns);
    } else {
        enqueue(chain, step + 1, token);
    }
}

static bool time_is_over(const fb_chain *chain, const fb_slot *whole, uint64_t now_ns)
{
    return (whole->flags & FB_SLOT_SENT) &&
           whole->sent_ns + chain->lead->config->timeout_ns <= now_ns;
}

bool fb_chain_is_overdue(fb_chain *chain, uint32_t token, uint64_t now_ns)
{
    fb_slot *whole = &chain->tokens[token].slot;
    const bool over = time_is_over(chain, whole, now_ns);
    if (over && !(whole->flags & FB_SLOT_TIMEDOUT)) {
        fb_lane_timed_out(chain->lead, whole, now_ns);
    }
    return over;
}

void fb_chain_lost(fb_chain *chain, uint32_t token, uint64_t now_ns)
{
    fb_lane_lost(chain->lead, &chain->tokens[token].slot, now_ns);
    release(chain, token);
}

void fb_chain_abandoned(fb_chain *chain, uint32_t token)
{
    fb_lane_abandoned(chain->lead, &chain->tokens[token].slot, false);
    release(chain, token);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void expire_step(fb_chain *chain, uint32_t step, uint64_t now_ns)
{
    uint32_t before = NONE;
    for (uint32_t i = chain->waits[step].first; i != NONE;) {
        const uint32_t next = chain->tokens[i].next;
        if (fb_chain_is_overdue(chain, i, now_ns)) {
            dequeue(chain, step, before);
            fb_chain_lost(chain, i, now_ns); /* no reply to it will come */
        } else {
            before = i;
        }
        i = next;
    }
}

void fb_chain_expire(fb_chain *chain, uint64_t now_ns)
{
    for (uint32_t k = 0; chain->waiting > 0 && k < chain->n_steps; k++) {
        expire_step(chain, k, now_ns);
    }
    if (chain->lead->started) {
        fb_chain_refill(chain, now_ns);
    }
}

void fb_chain_close(fb_chain *chain)
{
    fb_slot slot;
    uint32_t token;
    for (uint32_t k = 0; k < chain->n_steps; k++) {
        while (fb_chain_next(chain, k, &slot, &token)) {
            fb_chain_abandoned(chain, token);
        }
    }
}
