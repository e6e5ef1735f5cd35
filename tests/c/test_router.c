/* Which node each inference of a cluster goes to, what a redirect does, and the books of it. */
#include "check.h"
#include "load.h"
#include "router.h"

#include <stdlib.h>

#define BEGIN UINT64_C(1000000000)
#define MS FB_NS_PER_MS
#define NODES 3

static const fb_reply ok_reply = {true, FB_OUTCOME_OK, "", "", false, false};

typedef struct rig {
    load load;
    fb_part parts[4];
    fb_keys_config keys;
    fb_endpoint endpoints[NODES];
    uint16_t owners[FB_SLOTS];
    fb_stream stream;
    fb_shared shared;
    fb_lane lane;
    fb_router *router;
} rig;

/* Answers it, and has that recorded at once. */
static void answered(fb_lane *lane, const fb_slot *slot, const fb_reply *reply, uint64_t now_ns)
{
    fb_lane_replied(lane, slot, reply, now_ns);
    fb_lane_settle(lane);
}

/* "GET k<n>.": three nodes that share the slots evenly, six connections of two. */
static void rig_init(rig *r)
{
    static const char *const names[NODES] = {"a:1", "b:2", "::1:3"};
    *r = (rig){0};
    load_init(&r->load, "127.0.0.1", 1);
    r->parts[0] = load_text("GET ");
    r->parts[1] = load_text("k");
    r->parts[2] = (fb_part){.kind = FB_PART_FIELD, .field = FB_FIELD_KEYS};
    r->parts[3] = load_text(".");
    r->keys = (fb_keys_config){.kind = FB_KEYS_UNIFORM, .low = 0, .high = 999999};
    for (uint32_t i = 0; i < NODES; i++) {
        r->endpoints[i] = (fb_endpoint){"127.0.0.1", (uint16_t)(i + 1), names[i]};
    }
    for (uint32_t i = 0; i < FB_SLOTS; i++) {
        r->owners[i] = (uint16_t)(i * NODES / FB_SLOTS);
    }
    r->load.message = (fb_message_config){
        .parts = r->parts, .n_parts = 4, .replies = 1, .key_from = 1, .key_parts = 2};
    r->load.stream.endpoints = r->endpoints;
    r->load.stream.n_endpoints = NODES;
    r->load.stream.owners = r->owners;
    r->load.stream.keys = &r->keys;
    r->load.stream.n_keys = 1;
    r->load.stream.connections = 6;
    r->load.stream.pipeline = 2;
    r->load.config.requests = 1000;
}

static bool rig_begin(rig *r)
{
    if (fb_stream_init(&r->stream, &r->load.stream, NULL) != FB_OK ||
        fb_lane_init(&r->lane, &r->stream, &r->load.config, &r->shared, 0, NULL) != FB_OK) {
        return false;
    }
    fb_recorder_clear(&r->lane.recorder);
    fb_lane_begin(&r->lane, BEGIN);
    r->router = fb_router_new(&r->lane, NULL);
    return r->router != NULL;
}

/* Closes the books, which must be right for the lane and for each node. */
static void rig_close(rig *r)
{
    fb_router_close(r->router);
    const fb_counts *c = &r->lane.counts;
    CHECK_EQ(c->intended, c->sent + c->never_sent);
    CHECK_EQ(c->sent, c->ok + c->errors + c->timeouts + c->lost + c->unfinished);
    for (uint32_t i = 0; i < NODES; i++) {
        const fb_node_counts *n = &r->router->nodes[i].counts;
        CHECK_EQ(n->sent,
                 n->ok + n->errors + n->timeouts + n->lost + n->unfinished + n->moved + n->asked);
    }
    CHECK_EQ(0, r->router->queued);
    CHECK_EQ(0, r->lane.open);
    fb_router_free(r->router);
    CHECK(r->lane.router == NULL);
    fb_lane_fini(&r->lane);
    fb_stream_fini(&r->stream);
}

/* What a connection would send for a ticket: at most max - 1 bytes, as a string. */
static void render(rig *r, const fb_slot *slot, const fb_ticket *ticket, char *out, size_t max)
{
    fb_outq queue;
    uint8_t text[128];
    REQUIRE(fb_outq_init(&queue, 8, NULL) == FB_OK);
    fb_router_draw(r->router, slot->message, ticket->number);
    fb_message_push(&r->stream.messages[slot->message], text, &r->lane.source, 0, 0, &queue);
    const fb_piece *piece = &queue.ring[queue.head];
    (void)snprintf(out, max, "%.*s", (int)piece->length, (const char *)piece->bytes);
    fb_outq_fini(&queue);
}

static uint16_t slot_of_text(const char *text)
{
    const char *key = strchr(text, ' ') + 1;
    return fb_slots_of((const uint8_t *)key, strcspn(key, "."));
}

static fb_node *node(rig *r, uint32_t n)
{
    return &r->router->nodes[n];
}

/* Takes the first that waits anywhere. */
static fb_node *take(rig *r, fb_slot *slot, fb_ticket *ticket)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (fb_router_next(r->router, node(r, i), slot, ticket)) {
            return node(r, i);
        }
    }
    return NULL;
}

/* Every inference waits at the owner of the key that its message then really carries. */
static void test_routes_by_key(void)
{
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    uint32_t seen[NODES] = {0};
    rig_init(&r);
    r.load.stream.connections = 300;
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    CHECK_EQ(600, r.router->queued);
    for (uint32_t n = 0; n < NODES; n++) {
        while (fb_router_next(r.router, node(&r, n), &slot, &ticket)) {
            char once[64];
            char again[64];
            render(&r, &slot, &ticket, once, sizeof once);
            (void)fb_random_next(&r.lane.source.random);
            render(&r, &slot, &ticket, again, sizeof again);
            CHECK_STR(once, again);
            CHECK_EQ(n, r.owners[slot_of_text(once)]);
            fb_router_sent(r.router, node(&r, n), &slot, BEGIN);
            CHECK(!fb_router_replied(r.router, node(&r, n), &slot, &ticket, &ok_reply));
            answered(&r.lane, &slot, &ok_reply, BEGIN + 1);
            seen[n]++;
        }
    }
    CHECK(seen[0] > 100 && seen[1] > 100 && seen[2] > 100);
    CHECK_EQ(600, seen[0] + seen[1] + seen[2]);
    rig_close(&r);
}

/* A sequence is drawn once per inference, however often its key is looked at. */
static void test_sequence_has_no_gaps(void)
{
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    bool seen[12] = {false};
    rig_init(&r);
    r.keys = (fb_keys_config){.kind = FB_KEYS_SEQUENCE, .low = 0, .high = 11};
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    while (take(&r, &slot, &ticket)) {
        char text[64];
        render(&r, &slot, &ticket, text, sizeof text);
        seen[atoi(text + strlen("GET k"))] = true;
        fb_lane_abandoned(&r.lane, &slot, false);
    }
    for (int i = 0; i < 12; i++) {
        CHECK(seen[i]);
    }
    rig_close(&r);
}

/* Without a key the nodes are taken in turn; so are they for a slot that nobody has. */
static void test_without_owner_any_node(void)
{
    for (int keyless = 0; keyless < 2; keyless++) {
        rig r;
        rig_init(&r);
        memset(r.owners, 0xff, sizeof r.owners);
        r.load.message.key_parts = keyless ? 0 : 2;
        REQUIRE(rig_begin(&r));
        fb_router_refill(r.router, BEGIN);
        for (uint32_t n = 0; n < NODES; n++) {
            fb_slot slot;
            fb_ticket ticket;
            for (int i = 0; i < 4; i++) {
                REQUIRE(fb_router_next(r.router, node(&r, n), &slot, &ticket));
                fb_lane_abandoned(&r.lane, &slot, false);
            }
            CHECK(!fb_router_waits(node(&r, n)));
        }
        rig_close(&r);
    }
}

/* Closed loop: a place is taken until its inference ended, also while it is passed on. */
static void test_window(void)
{
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    rig_init(&r);
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    fb_node *from = take(&r, &slot, &ticket);
    REQUIRE(from != NULL);
    fb_router_refill(r.router, BEGIN + 1);
    CHECK_EQ(12, r.lane.counts.intended);
    fb_router_sent(r.router, from, &slot, BEGIN + 1);
    const fb_reply moved = {true, FB_OUTCOME_ERROR, "MOVED", "MOVED 1 b:2", false, false};
    CHECK(fb_router_replied(r.router, from, &slot, &ticket, &moved));
    fb_router_refill(r.router, BEGIN + 2);
    CHECK_EQ(12, r.lane.counts.intended);
    from = take(&r, &slot, &ticket);
    fb_router_sent(r.router, from, &slot, BEGIN + 3);
    fb_router_lost(r.router, from, &slot);
    fb_lane_lost(&r.lane, &slot, BEGIN + 4);
    fb_router_refill(r.router, BEGIN + 4);
    CHECK_EQ(13, r.lane.counts.intended);
    rig_close(&r);
}

/* Sends the first that waits and answers it with text; true when that passed it on. */
static bool answer(rig *r, const char *word, const char *text, fb_slot *slot, fb_ticket *ticket)
{
    const fb_reply reply = {true, FB_OUTCOME_ERROR, word, text, false, false};
    fb_node *from = take(r, slot, ticket);
    fb_router_sent(r->router, from, slot, BEGIN + 5 * MS);
    const bool on = fb_router_replied(r->router, from, slot, ticket, &reply);
    if (!on) {
        answered(&r->lane, slot, &reply, BEGIN + 6 * MS);
    }
    return on;
}

/* MOVED: the table is corrected; the inference is sent again, and counted and stamped once. */
static void test_moved(void)
{
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    rig_init(&r);
    r.load.config.requests = 1;
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    CHECK(answer(&r, "MOVED", "MOVED 77 ::1:3", &slot, &ticket));
    CHECK_EQ(2, r.router->owners[77]);
    REQUIRE(fb_router_next(r.router, node(&r, 2), &slot, &ticket));
    CHECK_EQ(1, ticket.redirects);
    CHECK_EQ(0, slot.flags & FB_SLOT_ASKING);
    fb_router_sent(r.router, node(&r, 2), &slot, BEGIN + 9 * MS);
    CHECK_EQ(BEGIN, slot.intended_ns);
    CHECK_EQ(BEGIN + 5 * MS, slot.sent_ns);
    CHECK(!fb_router_replied(r.router, node(&r, 2), &slot, &ticket, &ok_reply));
    answered(&r.lane, &slot, &ok_reply, BEGIN + 10 * MS);
    CHECK_EQ(1, r.lane.counts.sent);
    CHECK_EQ(1, r.lane.counts.ok);
    CHECK_EQ(0, r.lane.counts.errors);
    CHECK_EQ(1, node(&r, 2)->counts.ok);
    uint64_t moved = 0;
    for (uint32_t n = 0; n < NODES; n++) {
        moved += node(&r, n)->counts.moved;
    }
    CHECK_EQ(1, moved);
    rig_close(&r);
}

/* ASK: once, and the table stays. */
static void test_ask(void)
{
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    rig_init(&r);
    r.load.config.requests = 1;
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    const uint16_t before = r.router->owners[77];
    CHECK(answer(&r, "ASK", "ASK 77 ::1:3", &slot, &ticket));
    CHECK_EQ(before, r.router->owners[77]);
    REQUIRE(fb_router_next(r.router, node(&r, 2), &slot, &ticket));
    CHECK(slot.flags & FB_SLOT_ASKING);
    fb_router_put_back(r.router, node(&r, 2), &slot, &ticket);
    rig_close(&r);
    CHECK_EQ(1, r.lane.counts.unfinished); /* it was sent, and never answered */
}

/* A node sends it round in a circle, to a stranger, or nowhere: an error of that class. */
static void test_redirects_end(void)
{
    static const char *const texts[] = {"MOVED 1 c:9", "MOVED 16384 b:2", "MOVED x b:2", "MOVED 1",
                                        "MOVED",       "MOVED 1 b:2 ",    "MOVED -1 b:2"};
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    rig_init(&r);
    r.load.config.requests = 1;
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    for (uint32_t i = 0; i < FB_ROUTER_MAX_REDIRECTS; i++) {
        CHECK(answer(&r, "MOVED", "MOVED 1 b:2", &slot, &ticket));
    }
    CHECK(!answer(&r, "MOVED", "MOVED 1 b:2", &slot, &ticket));
    CHECK_EQ(1, r.lane.counts.errors);
    CHECK_STR("MOVED", r.lane.classes[0].name);
    rig_close(&r);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        rig_init(&r);
        r.load.config.requests = 1;
        REQUIRE(rig_begin(&r));
        fb_router_refill(r.router, BEGIN);
        CHECK(!answer(&r, "MOVED", texts[i], &slot, &ticket));
        CHECK_EQ(1, r.lane.counts.errors);
        rig_close(&r);
    }
}

/* Passed on to a node that takes nothing: it times out where it waits. */
static void test_waiting_times_out(void)
{
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    rig_init(&r);
    r.load.config.requests = r.load.config.captures = 20;
    r.load.config.capture_bytes = 8;
    REQUIRE(rig_begin(&r));
    fb_router_refill(r.router, BEGIN);
    CHECK(answer(&r, "ASK", "ASK 77 b:2", &slot, &ticket));
    fb_router_expire(r.router, BEGIN + 5 * MS + r.load.config.timeout_ns - 1);
    CHECK_EQ(0, r.lane.counts.timeouts);
    fb_router_expire(r.router, BEGIN + 5 * MS + r.load.config.timeout_ns);
    CHECK_EQ(1, r.lane.counts.timeouts);
    CHECK_EQ(13, r.lane.counts.intended); /* its place was free again */
    uint32_t ended = 0;                   /* places for replies that wait for no more */
    for (uint32_t i = 0; i < r.lane.capture_room; i++) {
        ended += atomic_load(&r.lane.capture_states[i]) == FB_CAPTURE_FULL;
    }
    CHECK_EQ(1, ended);
    CHECK_EQ(0, r.router->resent);
    rig_close(&r);
}

/* Open loop: more than may wait is counted as never sent, and every place is used again. */
static void test_open_loop_queue(void)
{
    const fb_rate rate = {1000, 1000, 0};
    rig r;
    fb_slot slot;
    fb_ticket ticket;
    rig_init(&r);
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
    r.load.stream.max_outstanding = 4;
    REQUIRE(rig_begin(&r));
    for (int i = 0; i < 5; i++) {
        CHECK(fb_router_intend(r.router, BEGIN));
    }
    CHECK_EQ(1, r.lane.counts.never_sent);
    for (int i = 0; i < 50; i++) {
        fb_node *at = take(&r, &slot, &ticket);
        fb_router_sent(r.router, at, &slot, BEGIN);
        CHECK(!fb_router_replied(r.router, at, &slot, &ticket, &ok_reply));
        answered(&r.lane, &slot, &ok_reply, BEGIN + 1);
        CHECK(fb_router_intend(r.router, BEGIN));
    }
    CHECK_EQ(4, r.router->queued);
    CHECK_EQ(1, r.lane.counts.never_sent);
    rig_close(&r);
}

/* A node is gone when none of its connections stood for so long. */
static void test_gone(void)
{
    rig r;
    rig_init(&r);
    REQUIRE(rig_begin(&r));
    for (uint32_t n = 0; n < NODES; n++) {
        fb_router_ready(node(&r, n));
        fb_router_ready(node(&r, n));
    }
    fb_router_broke(node(&r, 1), BEGIN);
    CHECK(fb_router_gone(r.router, BEGIN + 100 * MS, MS) == NULL);
    fb_router_broke(node(&r, 1), BEGIN + 100 * MS);
    CHECK(fb_router_gone(r.router, BEGIN + 101 * MS, MS) == NULL);
    CHECK_STR("b:2", fb_router_gone(r.router, BEGIN + 102 * MS, MS));
    fb_router_ready(node(&r, 1));
    CHECK(fb_router_gone(r.router, BEGIN + 200 * MS, MS) == NULL);
    rig_close(&r);
}

/* What a key may not be, and what an inference of a cluster must be. */
static void test_refuses(void)
{
    rig r;
    fb_error err;
    rig_init(&r);
    r.load.message.key_parts = 4;
    CHECK_EQ(FB_E_INVAL, fb_stream_init(&r.stream, &r.load.stream, &err));
    rig_init(&r);
    r.parts[2].field = FB_FIELD_CONNECTION;
    CHECK_EQ(FB_E_INVAL, fb_stream_init(&r.stream, &r.load.stream, &err));
    rig_init(&r);
    r.load.message.replies = 2;
    CHECK_EQ(FB_E_INVAL, fb_stream_init(&r.stream, &r.load.stream, &err));
    rig_init(&r);
    r.load.stream.connections = 5;
    r.load.config.threads = 2;
    fb_engine *engine;
    CHECK_EQ(FB_E_INVAL, fb_engine_new(&r.load.config, &engine, &err));
}

int main(void)
{
    RUN(test_routes_by_key);
    RUN(test_sequence_has_no_gaps);
    RUN(test_without_owner_any_node);
    RUN(test_window);
    RUN(test_moved);
    RUN(test_ask);
    RUN(test_redirects_end);
    RUN(test_waiting_times_out);
    RUN(test_open_loop_queue);
    RUN(test_gone);
    RUN(test_refuses);
    return check_result();
}
