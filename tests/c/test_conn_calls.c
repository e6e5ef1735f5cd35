/* One connection whose replies come in any order: gRPC, with nghttp2's server at the other end. */
#include "conn_rig.h"
#include "h2_server.h"

#define TURNS 1000

static const fb_field head[] = {
    {":method", "POST"},
    {":scheme", "http"},
    {":path", "/s/M"},
    {":authority", "h"},
    {"content-type", "application/grpc"},
    {"te", "trailers"},
};

static const char request[] = "\0\0\0\0\3abc";

/* The usual load, but of calls. */
static bool rig_calls(rig *r, uint32_t pipeline)
{
    if (!rig_init(r)) {
        return false;
    }
    r->load.part = (fb_part){
        .kind = FB_PART_TEXT, .bytes = (const uint8_t *)request, .len = sizeof request - 1};
    r->load.message.head = head;
    r->load.message.n_head = sizeof head / sizeof *head;
    r->load.stream.protocol = FB_PROTOCOL_GRPC;
    r->load.stream.pipeline = pipeline;
    r->load.config.requests = 1000;
    return true;
}

static bool server_begin(h2_server *s, const nghttp2_settings_entry *settings, size_t n)
{
    const bool good = h2_init(s, settings, n);
    s->expected = (const uint8_t *)request;
    s->expected_len = sizeof request - 1;
    return good;
}

static void server_says(rig *r, h2_server *s)
{
    const uint8_t *bytes = NULL;
    for (size_t n = h2_send(s, &bytes); n > 0; n = h2_send(s, &bytes)) {
        CHECK_EQ(n, send(r->peer, bytes, n, MSG_NOSIGNAL));
    }
}

static void server_hears(rig *r, h2_server *s)
{
    const ssize_t n = recv(r->peer, r->wire, sizeof r->wire, MSG_DONTWAIT);
    if (n > 0) {
        CHECK(h2_receive(s, (const uint8_t *)r->wire, (size_t)n));
    }
}

/* One turn of both sides: what they have to say, and the next that one of them hears. False when
 * the connection's run ended, or nothing happens any more. */
static bool turn(rig *r, h2_server *s)
{
    server_says(r, s);
    struct pollfd polled[] = {{.fd = r->io.epoll_fd, .events = POLLIN},
                              {.fd = r->peer, .events = POLLIN}};
    if (poll(polled, 2, SOCKETS_PATIENCE_MS) < 1) {
        return false;
    }
    if (polled[1].revents) {
        server_hears(r, s);
    }
    return !polled[0].revents || step(r) == FB_OK;
}

#define UNTIL(r, s, condition)                                                    \
    do {                                                                          \
        for (int turns = 0; !(condition) && turns < TURNS && turn(r, s); turns++) \
            ;                                                                     \
        REQUIRE(condition);                                                       \
    } while (0)

/* Greeted, begun, and the first window of calls is at the server. */
#define RUN_CALLS(r, s, n)                                             \
    do {                                                               \
        REQUIRE(rig_calls(r, n) && rig_open(r) && rig_accept(r));      \
        REQUIRE(server_begin(s, NULL, 0));                             \
        UNTIL(r, s, (r)->conn.state == FB_CONN_READY);                 \
        begin(r);                                                      \
        UNTIL(r, s, (s)->n_calls == (n) && (s)->calls[(n) - 1].whole); \
    } while (0)

static void finish(rig *r, h2_server *s)
{
    CHECK(!s->differs);
    h2_fini(s);
    rig_close(r);
}

/* It is ready when the server has said what it allows, not before. */
static void test_ready_when_greeted(void)
{
    rig r;
    h2_server s;
    REQUIRE(rig_calls(&r, 2) && rig_open(&r) && rig_accept(&r) && server_begin(&s, NULL, 0));
    step_to(&r, FB_CONN_OPENING);
    CHECK_EQ(0, r.lane.ready);
    UNTIL(&r, &s, r.conn.state == FB_CONN_READY);
    CHECK_EQ(1, r.lane.ready);
    CHECK_EQ(0, s.n_calls);
    finish(&r, &s);
}

/* Each call that ends makes room for another at once, in whatever order they end. */
static void test_any_order(void)
{
    static const uint32_t order[] = {2, 3, 0, 5, 1, 4};
    rig r;
    h2_server s;
    RUN_CALLS(&r, &s, 3);
    for (uint32_t i = 0; i < sizeof order / sizeof *order; i++) {
        h2_reply_ok(&s, order[i]);
        UNTIL(&r, &s, r.lane.counts.ok == i + 1 && s.n_calls == i + 4 && s.calls[i + 3].whole);
        CHECK_EQ(3, r.conn.flight.used);
        CHECK_EQ(i + 4, r.lane.counts.sent);
        for (uint32_t nth = 1; nth < r.conn.flight.used;
             nth++) { /* the ring stays in order of sending */
            const fb_slot *older = &r.conn.flight.slots[(r.conn.flight.head + nth - 1) % 3];
            CHECK(older->begin < r.conn.flight.slots[(r.conn.flight.head + nth) % 3].begin);
        }
    }
    finish(&r, &s);
}

/* An error costs its own call only, and is counted by its name with its text. */
static void test_errors_by_class(void)
{
    rig r;
    h2_server s;
    RUN_CALLS(&r, &s, 2);
    h2_refuse(&s, 1, "200", "3", "bad%20shape");
    UNTIL(&r, &s, r.lane.counts.errors == 1);
    (void)nghttp2_submit_rst_stream(s.session, NGHTTP2_FLAG_NONE, s.calls[0].id, NGHTTP2_CANCEL);
    UNTIL(&r, &s, r.lane.counts.errors == 2 && s.n_calls == 4 && s.calls[3].whole);
    CHECK_STR("GRPC 3 INVALID_ARGUMENT", r.lane.classes[0].name);
    CHECK_STR("bad shape", r.lane.classes[0].first_text);
    CHECK_STR("RST CANCEL", r.lane.classes[1].name);
    CHECK_EQ(0, r.lane.breaks);
    finish(&r, &s);
}

/* Kept replies are each those of their own call. */
static void test_keeps_replies(void)
{
    rig r;
    h2_server s;
    REQUIRE(rig_calls(&r, 2));
    r.load.config.captures = 2;
    r.load.config.capture_bytes = 16;
    r.load.config.requests = 2;
    REQUIRE(rig_open(&r) && rig_accept(&r) && server_begin(&s, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_READY);
    begin(&r);
    UNTIL(&r, &s, s.n_calls == 2 && s.calls[1].whole);
    h2_reply(&s, 1, "\0\0\0\0\1b", 6, "0");
    h2_reply(&s, 0, "\0\0\0\0\1a", 6, "0");
    UNTIL(&r, &s, r.lane.counts.ok == 2);
    CHECK(r.lane.captures[0].whole && r.lane.captures[0].len == 6);
    CHECK_EQ('a', r.lane.captures[0].bytes[5]);
    CHECK_EQ('b', r.lane.captures[1].bytes[5]);
    finish(&r, &s);
}

/* GOAWAY: what was taken up ends here, what was not goes out again elsewhere, nothing is lost. */
static void test_goaway(void)
{
    rig r;
    h2_server s;
    RUN_CALLS(&r, &s, 3);
    CHECK_EQ(0, nghttp2_submit_goaway(s.session, NGHTTP2_FLAG_NONE, s.calls[0].id, NGHTTP2_NO_ERROR,
                                      NULL, 0));
    UNTIL(&r, &s, r.conn.flight.calls->leaves);
    CHECK(!fb_conn_has_room(&r.conn));
    CHECK_EQ(FB_CONN_READY, r.conn.state);
    h2_reply_ok(&s, 0);
    UNTIL(&r, &s, r.lane.counts.ok == 1);
    h2_fini(&s);
    REQUIRE(rig_accept(&r) && server_begin(&s, NULL, 0));
    UNTIL(&r, &s, s.n_calls == 3 && s.calls[2].whole);
    CHECK_EQ(4, r.lane.counts.sent); /* what is sent again counts once */
    for (uint32_t i = 0; i < 3; i++) {
        h2_reply_ok(&s, i);
    }
    UNTIL(&r, &s, r.lane.counts.ok == 4);
    CHECK_EQ(0, r.lane.counts.lost);
    CHECK_EQ(0, r.lane.breaks);
    CHECK_EQ(1, r.lane.reconnects);
    finish(&r, &s);
}

/* A server that leaves without having answered anything is not asked again at once. */
static void test_goaway_without_an_answer(void)
{
    rig r;
    h2_server s;
    RUN_CALLS(&r, &s, 1);
    CHECK_EQ(0, nghttp2_submit_goaway(s.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_WAITING);
    CHECK(r.conn.deadline_ns > r.io.now_ns);
    CHECK_EQ(1, r.conn.flight.unsent);
    finish(&r, &s);
}

/* A connection that breaks loses the calls that were sent; the next ones go out over another. */
static void test_break(void)
{
    rig r;
    h2_server s;
    RUN_CALLS(&r, &s, 3);
    h2_reply_ok(&s, 1);
    server_says(&r, &s);
    rig_hang_up(&r);
    while (r.conn.state == FB_CONN_READY && step(&r) == FB_OK) {
    }
    CHECK_EQ(1, r.lane.counts.ok);
    CHECK_EQ(r.lane.counts.sent - 1, r.lane.counts.lost);
    CHECK_EQ(1, r.lane.breaks);
    r.io.now_ns = r.conn.deadline_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    h2_fini(&s);
    REQUIRE(rig_accept(&r) && server_begin(&s, NULL, 0));
    UNTIL(&r, &s, s.n_calls == 3 && s.calls[2].whole);
    h2_reply_ok(&s, 2);
    UNTIL(&r, &s, r.lane.counts.ok == 2);
    finish(&r, &s);
}

/* A reply after the time-out is late; a call that is never answered is given up for good while the
 * server answers others, so that its place is free again. */
static void test_time_outs(void)
{
    rig r;
    h2_server s;
    const uint64_t limit = 60 * FB_NS_PER_S;
    RUN_CALLS(&r, &s, 2);
    r.io.now_ns += limit;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(2, r.lane.counts.timeouts);
    h2_reply_ok(&s, 1);
    UNTIL(&r, &s, r.lane.late == 1 && s.n_calls == 3 && s.calls[2].whole);
    CHECK_EQ(0, r.lane.counts.ok);
    r.conn.received_ns = r.io.now_ns + limit;
    r.io.now_ns += 2 * limit + FB_NS_PER_S;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    UNTIL(&r, &s, s.calls[0].reset && s.n_calls > 3 && s.calls[3].whole);
    CHECK_EQ(FB_CONN_READY, r.conn.state);
    h2_reply_ok(&s, 3);
    UNTIL(&r, &s, r.lane.counts.ok == 1);
    CHECK_EQ(0, r.lane.counts.lost);
    finish(&r, &s);
}

/* A server that falls silent altogether is taken for dead. */
static void test_silent_server(void)
{
    rig r;
    h2_server s;
    RUN_CALLS(&r, &s, 2);
    r.conn.received_ns = 0;
    r.io.now_ns += 121 * FB_NS_PER_S;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK_EQ(2, r.lane.counts.timeouts);
    finish(&r, &s);
}

/* A good reply to what was not sent whole is none, and the connection is at an end. */
static void test_early_reply(void)
{
    rig r;
    h2_server s;
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2}};
    REQUIRE(rig_calls(&r, 1) && rig_open(&r) && rig_accept(&r) && server_begin(&s, settings, 1));
    UNTIL(&r, &s, r.conn.state == FB_CONN_READY);
    begin(&r);
    struct pollfd polled = {.fd = r.peer, .events = POLLIN};
    for (int i = 0; i < TURNS && s.n_calls == 0 && poll(&polled, 1, SOCKETS_PATIENCE_MS) == 1;
         i++) {
        server_hears(&r, &s);
    }
    REQUIRE(s.n_calls == 1 && !s.calls[0].whole);
    h2_reply_ok(&s, 0); /* it leaves with the first bytes of the window, which are too few */
    UNTIL(&r, &s, r.lane.counts.errors == 1);
    CHECK_STR("EARLY", r.lane.classes[0].name);
    CHECK_EQ(1, r.lane.breaks);
    finish(&r, &s);
}

/* What the server cannot take ends the run before it begins, in one line. */
static void test_too_small_a_server(void)
{
    rig r;
    h2_server s;
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2}};
    REQUIRE(rig_calls(&r, 3) && rig_open(&r) && rig_accept(&r) && server_begin(&s, settings, 1));
    while (turn(&r, &s)) {
    }
    CHECK_EQ(FB_E_REPLY, r.io.err.code);
    CHECK(strstr(r.io.err.text, "takes 2 calls at once") != NULL);
    finish(&r, &s);
}

/* A server of another kind is told apart before load. */
static void test_foreign_server(void)
{
    rig r;
    REQUIRE(rig_calls(&r, 1) && rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_OPENING);
    answer(&r, "HTTP/1.1 400 Bad Request\r\n\r\n");
    int rc = FB_OK;
    while (rc == FB_OK) {
        rc = step(&r);
    }
    CHECK_EQ(FB_E_PROTOCOL, rc);
    CHECK(strstr(r.io.err.text, "HTTP/1") != NULL);
    rig_close(&r);
}

/* In an open loop what was refused may be taken elsewhere: it stays sent in the books. */
static void test_refused_is_taken_back(void)
{
    rig r;
    h2_server s;
    fb_slot slot;
    REQUIRE(rig_calls(&r, 2));
    r.load.stream.schedule = (fb_schedule){.arrivals = FB_ARRIVALS_RECORDED};
    r.load.stream.max_outstanding = 4;
    REQUIRE(rig_open(&r) && rig_accept(&r) && server_begin(&s, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_READY);
    begin(&r);
    UNTIL(&r, &s, s.n_calls == 2 && s.calls[1].whole);
    CHECK_EQ(0, nghttp2_submit_goaway(s.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_WAITING);
    REQUIRE(fb_conn_take_back(&r.conn, &slot));
    CHECK(slot.flags & FB_SLOT_SENT);
    CHECK_EQ(2, r.lane.counts.sent);
    fb_lane_abandoned(&r.lane, &slot, true);
    REQUIRE(fb_conn_take_back(&r.conn, &slot));
    fb_lane_abandoned(&r.lane, &slot, true);
    CHECK(!fb_conn_take_back(&r.conn, &slot));
    finish(&r, &s);
}

/* As a step of a chain, what was refused waits for another connection, and counts as sent once. */
static void test_refused_step_is_put_back(void)
{
    rig r;
    h2_server s;
    REQUIRE(rig_calls(&r, 2));
    REQUIRE(rig_lane(&r));
    fb_lane *steps[] = {&r.lane};
    fb_chain *chain = fb_chain_new(steps, 1, NULL);
    REQUIRE(chain != NULL);
    REQUIRE(rig_connect(&r) && rig_accept(&r) && server_begin(&s, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_READY);
    begin(&r);
    fb_conn_pull(&r.conn);
    CHECK_EQ(FB_OK, fb_conn_send(&r.conn, &r.io));
    UNTIL(&r, &s, s.n_calls == 2 && s.calls[1].whole);
    CHECK_EQ(0, nghttp2_submit_goaway(s.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_WAITING);
    CHECK_EQ(0, r.conn.flight.used);
    CHECK_EQ(2, chain->waiting);
    CHECK_EQ(0, r.lane.counts.lost);
    h2_fini(&s);
    r.io.now_ns = r.conn.deadline_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    REQUIRE(rig_accept(&r) && server_begin(&s, NULL, 0));
    UNTIL(&r, &s, r.conn.state == FB_CONN_READY);
    fb_conn_pull(&r.conn);
    CHECK_EQ(FB_OK, fb_conn_send(&r.conn, &r.io));
    UNTIL(&r, &s, s.n_calls == 2 && s.calls[1].whole);
    CHECK_EQ(2, r.lane.counts.sent);
    fb_chain_expire(chain, chain->tokens[0].slot.sent_ns + 10 * r.load.config.timeout_ns);
    CHECK_EQ(0, r.lane.counts.timeouts); /* none waits any more */
    fb_conn_close(&r.conn, fb_now_ns());
    CHECK_EQ(2, r.lane.counts.unfinished);
    fb_chain_free(chain);
    finish(&r, &s);
}

int main(void)
{
    RUN(test_ready_when_greeted);
    RUN(test_any_order);
    RUN(test_errors_by_class);
    RUN(test_keeps_replies);
    RUN(test_goaway);
    RUN(test_goaway_without_an_answer);
    RUN(test_break);
    RUN(test_time_outs);
    RUN(test_silent_server);
    RUN(test_early_reply);
    RUN(test_too_small_a_server);
    RUN(test_foreign_server);
    RUN(test_refused_is_taken_back);
    RUN(test_refused_step_is_put_back);
    return check_result();
}
