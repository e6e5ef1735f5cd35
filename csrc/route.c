#include "route.h"

static fb_router *router(const fb_route *r)
{
    return r->lane->router;
}

static uint32_t token(const fb_route *r, uint32_t i)
{
    return (uint32_t)r->tickets[i].number;
}

bool fb_route_next(const fb_route *r, fb_slot *slot, fb_ticket *ticket)
{
    if (!r->chain) {
        return fb_router_next(router(r), r->node, slot, ticket);
    }
    uint32_t number = 0;
    const bool waits = fb_chain_next(r->chain, r->lane->step, slot, &number);
    *ticket = (fb_ticket){.number = number};
    return waits;
}

void fb_route_aim(const fb_route *r, const fb_slot *slot, uint32_t i, fb_outq *out)
{
    if (r->chain) {
        fb_chain_aim(r->chain, r->lane->step, token(r, i));
        return;
    }
    fb_router_draw(router(r), slot->message, r->tickets[i].number);
    if (slot->flags & FB_SLOT_ASKING) {
        const fb_message *asking = &r->lane->stream->asking;
        (void)fb_outq_push_mem(out, asking->text, asking->text_max);
    }
}

void fb_route_refill(const fb_route *r, uint64_t intended_ns)
{
    if (r->chain) {
        fb_chain_refill(r->chain, intended_ns);
    } else {
        fb_router_refill(router(r), intended_ns);
    }
}

void fb_route_sent(const fb_route *r, fb_slot *slot, uint32_t i, uint64_t sent_ns)
{
    if (r->chain) {
        fb_chain_sent(r->chain, r->lane->step, token(r, i), slot, sent_ns);
    } else {
        fb_router_sent(router(r), r->node, slot, sent_ns);
    }
}

const fb_message *fb_route_awaited(const fb_route *r, uint32_t i, void *protocol_state)
{
    const fb_stream *s = r->lane->stream;
    if (r->chain) {
        fb_body *body = fb_chain_body(r->chain, r->lane->step, token(r, i));
        s->protocol->keep(protocol_state, body);
        return &s->messages[0];
    }
    return &s->asking;
}

bool fb_route_replied(const fb_route *r, const fb_slot *slot, uint32_t i, const fb_reply *reply,
                      uint64_t received_ns)
{
    if (!r->chain) {
        return fb_router_replied(router(r), r->node, slot, &r->tickets[i], reply);
    }
    fb_chain_replied(r->chain, r->lane->step, token(r, i), slot, reply, received_ns);
    return true;
}

void fb_route_lost(const fb_route *r, fb_slot *slot, uint32_t i, uint64_t now_ns)
{
    if (r->chain) {
        fb_chain_lost(r->chain, token(r, i), now_ns);
        return;
    }
    fb_router_lost(router(r), r->node, slot);
    fb_lane_lost(r->lane, slot, now_ns);
}

void fb_route_put_back(const fb_route *r, fb_slot *slot, uint32_t i)
{
    if (r->chain) {
        fb_chain_put_back(r->chain, r->lane->step, token(r, i));
    } else {
        fb_router_put_back(router(r), r->node, slot, &r->tickets[i]);
    }
}

void fb_route_time_out(const fb_route *r, fb_slot *slot, uint32_t i, uint64_t now_ns)
{
    if (r->chain) { /* time counts from the first step on */
        slot->flags |= fb_chain_is_overdue(r->chain, token(r, i), now_ns) ? FB_SLOT_TIMEDOUT : 0;
        return;
    }
    const bool over = slot->sent_ns + r->lane->config->timeout_ns <= now_ns;
    if (over && !(slot->flags & FB_SLOT_TIMEDOUT)) {
        fb_router_timed_out(r->node, slot);
        fb_lane_timed_out(r->lane, slot, now_ns);
    }
}

void fb_route_abandon(const fb_route *r, fb_slot *slot, uint32_t i, bool sent)
{
    if (r->chain) {
        fb_chain_abandoned(r->chain, token(r, i));
        return;
    }
    if (sent) {
        fb_router_unfinished(r->node, slot);
    }
    fb_lane_abandoned(r->lane, slot, sent);
}
