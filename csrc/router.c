#include "router.h"

#include <stdlib.h>
#include <string.h>

#define NONE FB_ROUTER_NONE

/* ---- memory ---------------------------------------------------------------------------------- */

/* Places for all that can be under way: what was in flight returns to a queue, never the reverse
 * without leaving its place free. */
static uint32_t places(const fb_router *r)
{
    const fb_stream *s = r->lane->stream;
    const uint32_t window = r->lane->connections * s->pipeline;
    return fb_stream_is_closed_loop(r->lane->stream) ? window : window + s->max_outstanding;
}

static int allocate(fb_router *r)
{
    const fb_stream *s = r->lane->stream;
    uint32_t longest = 1;
    for (uint32_t i = 0; i < s->n_messages; i++) {
        longest = s->messages[i].key_max > longest ? s->messages[i].key_max : longest;
    }
    r->owners = malloc(FB_SLOTS * sizeof *r->owners);
    r->nodes = calloc(s->n_addresses, sizeof *r->nodes);
    r->pool = calloc(places(r), sizeof *r->pool);
    r->numbers = calloc(s->n_messages, sizeof *r->numbers);
    r->seeds = calloc(s->n_messages, sizeof *r->seeds);
    r->origins = calloc((size_t)s->n_keys + 1, sizeof *r->origins);
    r->key = malloc(longest);
    const bool whole = r->owners && r->nodes && r->pool && r->numbers && r->seeds && r->origins;
    return whole && r->key ? FB_OK : FB_E_NOMEM;
}

static void fill(fb_router *r)
{
    const fb_stream *s = r->lane->stream;
    r->n_nodes = s->n_addresses;
    r->limit = fb_stream_is_closed_loop(r->lane->stream) ? places(r) : s->max_outstanding;
    memcpy(r->owners, s->owners, FB_SLOTS * sizeof *r->owners);
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        r->nodes[i].first = r->nodes[i].last = NONE;
    }
    for (uint32_t i = 0; i < places(r); i++) {
        r->pool[i].next = i + 1 < places(r) ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < s->n_messages; i++) {
        r->seeds[i] = fb_random_next(&r->lane->source.random);
    }
    memcpy(r->origins, r->lane->source.positions, s->n_keys * sizeof *r->origins);
}

fb_router *fb_router_new(fb_lane *lane, fb_error *err)
{
    fb_router *r = calloc(1, sizeof *r);
    if (r) {
        r->lane = lane;
    }
    if (!r || allocate(r) != FB_OK) {
        fb_router_free(r);
        fb_error_set(err, FB_E_NOMEM, 0, "out of memory for the queues of a cluster");
        return NULL;
    }
    fill(r);
    lane->router = r;
    lane->dispatched = true;
    return r;
}

void fb_router_free(fb_router *r)
{
    if (!r) {
        return;
    }
    free(r->owners);
    free(r->nodes);
    free(r->pool);
    free(r->numbers);
    free(r->seeds);
    free(r->origins);
    free(r->key);
    r->lane->router = NULL;
    free(r);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void enqueue(fb_router *r, fb_node *node, const fb_slot *slot, const fb_ticket *ticket)
{
    const uint32_t i = r->free;
    r->free = r->pool[i].next;
    r->pool[i] = (fb_queued){.slot = *slot, .ticket = *ticket, .next = NONE};
    if (node->last == NONE) {
        node->first = i;
    } else {
        r->pool[node->last].next = i;
    }
    node->last = i;
    r->queued++;
    r->resent += (slot->flags & FB_SLOT_SENT) != 0;
}

/* Takes out what comes after `before`, the first when that is NONE. */
static void dequeue(fb_router *r, fb_node *node, uint32_t before)
{
    uint32_t *link = before == NONE ? &node->first : &r->pool[before].next;
    const uint32_t i = *link;
    *link = r->pool[i].next;
    node->last = node->last == i ? before : node->last;
    r->queued--;
    r->resent -= (r->pool[i].slot.flags & FB_SLOT_SENT) != 0;
    r->pool[i].next = r->free;
    r->free = i;
}

bool fb_router_next(fb_router *r, fb_node *node, fb_slot *slot, fb_ticket *ticket)
{
    if (!fb_router_waits(node)) {
        return false;
    }
    *slot = r->pool[node->first].slot;
    *ticket = r->pool[node->first].ticket;
    dequeue(r, node, NONE);
    return true;
}

void fb_router_put_back(fb_router *r, fb_node *node, const fb_slot *slot, const fb_ticket *ticket)
{
    enqueue(r, node, slot, ticket);
}

/* ---- from key to node ------------------------------------------------------------------------ */

void fb_router_draw(fb_router *r, uint8_t message, uint64_t number)
{
    fb_source *source = &r->lane->source;
    fb_random_init(&source->random, r->seeds[message] + number);
    for (uint32_t i = 0; i < r->lane->stream->n_keys; i++) {
        source->positions[i] = r->origins[i] + number;
    }
}

static fb_node *any_node(fb_router *r)
{
    r->turn = r->turn + 1 < r->n_nodes ? r->turn + 1 : 0;
    return &r->nodes[r->turn];
}

static fb_node *owner_of(fb_router *r, const fb_slot *slot, uint64_t number)
{
    const fb_stream *s = r->lane->stream;
    const fb_message *m = &s->messages[slot->message];
    if (m->key_parts == 0) {
        return any_node(r);
    }
    fb_router_draw(r, slot->message, number);
    const size_t len = fb_message_key(m, &r->lane->source, (uint64_t)slot->group * s->rows, r->key);
    const uint16_t owner = r->owners[fb_slots_of(r->key, len)];
    return owner < r->n_nodes ? &r->nodes[owner] : any_node(r);
}

bool fb_router_intend(fb_router *r, uint64_t intended_ns)
{
    fb_slot slot;
    if (!fb_lane_admit(r->lane, intended_ns, &slot)) {
        return false;
    }
    const fb_ticket ticket = {.number = r->numbers[slot.message]++};
    if (!fb_stream_is_closed_loop(r->lane->stream) && r->queued >= r->limit) {
        fb_lane_overflowed(r->lane, &slot);
        return true;
    }
    r->open++;
    enqueue(r, owner_of(r, &slot, ticket.number), &slot, &ticket);
    return true;
}

void fb_router_refill(fb_router *r, uint64_t intended_ns)
{
    while (r->open < r->limit && fb_router_intend(r, intended_ns)) {
    }
}

/* ---- how it went ----------------------------------------------------------------------------- */

static bool is_counted(const fb_slot *slot)
{
    return (slot->flags & (FB_SLOT_MEASURED | FB_SLOT_TIMEDOUT)) == FB_SLOT_MEASURED;
}

void fb_router_sent(fb_router *r, fb_node *node, fb_slot *slot, uint64_t sent_ns)
{
    node->counts.sent += is_counted(slot);
    if (!(slot->flags & FB_SLOT_SENT)) {
        slot->flags |= FB_SLOT_SENT;
        slot->sent_ns = sent_ns;
        fb_lane_sent(r->lane, slot);
    }
}

static fb_node *named(fb_router *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        if (strcmp(r->lane->stream->names[i], name) == 0) {
            return &r->nodes[i];
        }
    }
    return NULL;
}

/* The node of "MOVED 3999 host:port", with the hash slot; NULL when it is none of ours. */
static fb_node *destination(fb_router *r, const char *text, unsigned long *slot)
{
    const char *number = strchr(text, ' ');
    char *end = NULL;
    *slot = number ? strtoul(number + 1, &end, 10) : FB_SLOTS;
    return *slot < FB_SLOTS && *end == ' ' ? named(r, end + 1) : NULL;
}

static bool redirect(fb_router *r, fb_node *node, const fb_slot *slot, const fb_ticket *ticket,
                     const fb_reply *reply)
{
    const bool moved = strcmp(reply->error_class, "MOVED") == 0;
    const bool asked = strcmp(reply->error_class, "ASK") == 0;
    unsigned long hash_slot;
    if ((!moved && !asked) || ticket->redirects == FB_ROUTER_MAX_REDIRECTS ||
        (slot->flags & FB_SLOT_TIMEDOUT)) {
        return false;
    }
    fb_node *to = destination(r, reply->error_text, &hash_slot);
    if (!to) {
        return false;
    }
    fb_slot again = *slot;
    if (moved) {
        r->owners[hash_slot] = (uint16_t)(to - r->nodes);
    } else {
        again.flags |= FB_SLOT_ASKING;
    }
    node->counts.moved += moved && is_counted(slot);
    node->counts.asked += asked && is_counted(slot);
    enqueue(r, to, &again, &(fb_ticket){ticket->number, ticket->redirects + 1});
    return true;
}

bool fb_router_replied(fb_router *r, fb_node *node, const fb_slot *slot, const fb_ticket *ticket,
                       const fb_reply *reply)
{
    node->has_room = true;
    node->down_since_ns = 0;
    if (reply->outcome == FB_OUTCOME_ERROR && redirect(r, node, slot, ticket, reply)) {
        fb_lane_capture_again(r->lane, slot);
        return true;
    }
    r->open--;
    if (is_counted(slot)) {
        node->counts.ok += reply->outcome == FB_OUTCOME_OK;
        node->counts.errors += reply->outcome == FB_OUTCOME_ERROR;
        node->counts.timeouts += reply->outcome == FB_OUTCOME_TIMEDOUT;
    }
    return false;
}

void fb_router_timed_out(fb_node *node, const fb_slot *slot)
{
    node->counts.timeouts += is_counted(slot);
}

void fb_router_lost(fb_router *r, fb_node *node, const fb_slot *slot)
{
    r->open--;
    node->counts.lost += is_counted(slot);
}

void fb_router_unfinished(fb_node *node, const fb_slot *slot)
{
    node->counts.unfinished += is_counted(slot);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void expire_node(fb_router *r, fb_node *node, uint64_t now_ns)
{
    const uint64_t limit = r->lane->config->timeout_ns;
    uint32_t before = NONE;
    for (uint32_t i = node->first; i != NONE;) {
        const uint32_t next = r->pool[i].next;
        fb_slot slot = r->pool[i].slot;
        if ((slot.flags & FB_SLOT_SENT) && slot.sent_ns + limit <= now_ns) {
            dequeue(r, node, before);
            fb_lane_timed_out(r->lane, &slot, now_ns);
            fb_lane_lost(r->lane, &slot, now_ns); /* no reply to it will come */
            r->open--;
        } else {
            before = i;
        }
        i = next;
    }
}

void fb_router_expire(fb_router *r, uint64_t now_ns)
{
    for (uint32_t i = 0; r->resent > 0 && i < r->n_nodes; i++) {
        expire_node(r, &r->nodes[i], now_ns);
    }
    if (r->lane->started && fb_stream_is_closed_loop(r->lane->stream)) {
        fb_router_refill(r, now_ns);
    }
}

void fb_router_ready(fb_node *node)
{
    node->ready++;
    node->has_room = true;
}

void fb_router_broke(fb_node *node, uint64_t now_ns)
{
    if (--node->ready == 0 && node->down_since_ns == 0) {
        node->down_since_ns = now_ns;
    }
}

const char *fb_router_gone(const fb_router *r, uint64_t now_ns, uint64_t patience_ns)
{
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        const fb_node *node = &r->nodes[i];
        if (node->ready == 0 && node->down_since_ns != 0 &&
            now_ns > node->down_since_ns + patience_ns) {
            return r->lane->stream->names[i];
        }
    }
    return NULL;
}

void fb_router_close(fb_router *r)
{
    fb_slot slot;
    fb_ticket ticket;
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        while (fb_router_next(r, &r->nodes[i], &slot, &ticket)) {
            fb_lane_abandoned(r->lane, &slot, false);
        }
    }
}
