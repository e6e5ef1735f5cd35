#include "dispatch.h"

#include <stdlib.h>

#define BURST 256 /* inferences that are handed out before replies have their turn */

int fb_dispatch_init(fb_dispatch *d, fb_lane *lane, fb_conn *conns)
{
    const fb_stream *s = lane->stream;
    *d = (fb_dispatch){.lane = lane, .conns = conns};
    if (fb_stream_is_closed_loop(s) || s->owners) {
        return FB_OK; /* nothing is due by the clock, or it waits in the router */
    }
    d->capacity = s->max_outstanding;
    d->ring = calloc(s->max_outstanding, sizeof *d->ring);
    return d->ring ? FB_OK : FB_E_NOMEM;
}

void fb_dispatch_fini(fb_dispatch *d)
{
    free(d->ring);
    *d = (fb_dispatch){0};
}

/* ---- what is due and waits ------------------------------------------------------------------- */

static bool enqueue(fb_dispatch *d, const fb_slot *slot)
{
    if (d->used == d->capacity) {
        return false;
    }
    d->ring[(d->head + d->used++) % d->capacity] = *slot;
    return true;
}

static const fb_slot *dequeue(fb_dispatch *d)
{
    const fb_slot *oldest = &d->ring[d->head];
    d->head = (d->head + 1) % d->capacity;
    d->used--;
    return oldest;
}

/* At a rate that no thread can follow this may take long: only an order to stop ends it early. */
static bool may_go_on(const fb_lane *lane)
{
    return !atomic_load_explicit(&lane->shared->stop, memory_order_relaxed);
}

static void queue_due(fb_dispatch *d, uint64_t now_ns)
{
    fb_lane *lane = d->lane;
    uint64_t due = fb_pacer_due(&lane->pacer);
    for (; due <= now_ns && may_go_on(lane); due = fb_pacer_due(&lane->pacer)) {
        fb_pacer_advance(&lane->pacer);
        fb_slot slot;
        if (FB_UNLIKELY(lane->router != NULL)) {
            (void)fb_router_intend(lane->router, due);
        } else if (fb_lane_admit(lane, due, &slot) && !enqueue(d, &slot)) {
            fb_lane_overflowed(lane, &slot);
        }
    }
}

static void window_is_full(fb_dispatch *d, const fb_io *io, bool full)
{
    if (FB_LIKELY(!full && d->full_since_ns == 0)) {
        return;
    }
    if (d->full_since_ns != 0 && io->watch->on) {
        io->watch->window_full_ns += io->now_ns - d->full_since_ns;
    }
    d->full_since_ns = full ? io->now_ns : 0;
}

/* ---- to a connection with room --------------------------------------------------------------- */

static fb_conn *find_room(fb_dispatch *d)
{
    fb_lane *lane = d->lane;
    for (uint32_t tried = 0; lane->has_room && tried < lane->connections; tried++) {
        fb_conn *c = &d->conns[d->cursor];
        d->cursor = (d->cursor + 1) % lane->connections;
        if (fb_conn_has_room(c)) {
            return c;
        }
    }
    lane->has_room = false; /* until a reply or a new connection says otherwise */
    return NULL;
}

static void hand_out(fb_dispatch *d, fb_conn *c, const fb_slot *slot)
{
    fb_conn_take(c, slot);
    if (c->handed) {
        return;
    }
    c->handed = true;
    c->next_handed = NULL;
    *(d->handed ? &d->last_handed->next_handed : &d->handed) = c;
    d->last_handed = c;
}

/* One system call for all that a connection was given: under load one for each would cost ten
 * times as much. */
static int send_handed(fb_dispatch *d, fb_io *io)
{
    int rc = FB_OK;
    while (d->handed && rc == FB_OK) {
        fb_conn *c = d->handed;
        d->handed = c->next_handed;
        c->handed = false;
        rc = fb_conn_send(c, io);
    }
    return rc;
}

static int send_due(fb_dispatch *d, fb_io *io)
{
    fb_conn *c;
    for (uint32_t n = 0; d->used > 0 && n < BURST && (c = find_room(d)) != NULL; n++) {
        hand_out(d, c, dequeue(d));
    }
    const int rc = send_handed(d, io); /* which may make room, too */
    d->goes_on = d->used > 0 && d->lane->has_room;
    window_is_full(d, io, d->used > 0 && !d->goes_on);
    return rc;
}

/* In a cluster: a connection of the n-th node that has room; they are every n_nodes-th one. */
static fb_conn *find_room_at(const fb_dispatch *d, uint32_t n)
{
    const fb_lane *lane = d->lane;
    fb_node *node = &lane->router->nodes[n];
    const uint32_t nodes = lane->router->n_nodes;
    const uint32_t from = (uint32_t)((n + nodes - lane->first_connection % nodes) % nodes);
    const uint32_t share = (lane->connections - from + nodes - 1) / nodes;
    for (uint32_t tried = 0; node->has_room && tried < share; tried++) {
        fb_conn *c = &d->conns[from + node->cursor * nodes];
        node->cursor = node->cursor + 1 < share ? node->cursor + 1 : 0;
        if (fb_conn_has_room(c)) {
            return c;
        }
    }
    node->has_room = false; /* until a reply or a new connection says otherwise */
    return NULL;
}

static int send_routed(fb_dispatch *d, fb_io *io)
{
    const fb_router *r = d->lane->router;
    for (uint32_t n = 0; r->queued > 0 && n < r->n_nodes; n++) {
        fb_conn *c;
        while (fb_router_waits(&r->nodes[n]) && (c = find_room_at(d, n)) != NULL) {
            fb_conn_pull(c);
            const int rc = fb_conn_send(c, io);
            if (rc != FB_OK) {
                return rc;
            }
        }
    }
    if (!fb_stream_is_closed_loop(d->lane->stream)) {
        window_is_full(d, io, r->queued > 0);
    }
    return FB_OK;
}

/* In a chain: what waits for one step, to its connections that have room. */
static int send_step(fb_dispatch *d, fb_io *io)
{
    const fb_lane *lane = d->lane;
    fb_conn *c;
    while (fb_chain_waits(lane->chain, lane->step) && (c = find_room(d)) != NULL) {
        fb_conn_pull(c);
        const int rc = fb_conn_send(c, io);
        if (rc != FB_OK) {
            return rc;
        }
    }
    return FB_OK;
}

/* Open loop: what is due begins as far as there is room in the chain. */
static void begin_chains(fb_dispatch *d, const fb_io *io)
{
    while (d->used > 0 && fb_chain_has_room(d->lane->chain)) {
        fb_chain_start(d->lane->chain, dequeue(d));
    }
    window_is_full(d, io, d->used > 0);
}

/* ---- from outside ---------------------------------------------------------------------------- */

int fb_dispatch_run(fb_dispatch *d, fb_io *io)
{
    const fb_lane *lane = d->lane;
    if (fb_stream_is_closed_loop(lane->stream) && !lane->dispatched) {
        return FB_OK; /* its connections intend for themselves */
    }
    queue_due(d, io->now_ns);
    if (!lane->chain) {
        return lane->router ? send_routed(d, io) : send_due(d, io);
    }
    if (lane == lane->chain->lead) {
        begin_chains(d, io);
    }
    return send_step(d, io);
}

void fb_dispatch_reclaim(fb_dispatch *d, fb_conn *c)
{
    fb_slot slot;
    while (d->used < d->capacity && fb_conn_take_back(c, &slot)) {
        (void)enqueue(d, &slot);
    }
}

void fb_dispatch_close(fb_dispatch *d)
{
    while (d->used > 0) {
        fb_lane_abandoned(d->lane, dequeue(d), false);
    }
}
