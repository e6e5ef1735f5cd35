#include "conn.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define PAUSE_FIRST_NS (10 * FB_NS_PER_MS)
#define PAUSE_LAST_NS FB_NS_PER_S
#define READ_SHARE 4 /* full buffers of one connection, then others have their turn */

/* ---- memory ---------------------------------------------------------------------------- */

int fb_conn_init(fb_conn *c, fb_lane *lane, uint64_t number, fb_error *err)
{
    const fb_stream *s = lane->stream;
    *c = (fb_conn){.lane = lane, .pause_ns = PAUSE_FIRST_NS, .limit = s->pipeline};
    c->protocol_state = calloc(1, s->protocol->state_bytes);
    int rc = fb_link_init(&c->link, s->pieces, err);
    if (!c->protocol_state) {
        rc = fb_error_set(err, FB_E_NOMEM, 0, "out of memory for a connection");
    }
    if (rc == FB_OK) {
        rc = fb_flight_init(&c->flight, lane, number, c->protocol_state, err);
    }
    if (rc != FB_OK) {
        fb_conn_fini(c);
    }
    return rc;
}

void fb_conn_fini(fb_conn *c)
{
    fb_flight_fini(&c->flight);
    fb_link_fini(&c->link);
    free(c->protocol_state);
    *c = (fb_conn){.link.fd = -1};
}

/* ---- filling -------------------------------------------------------------------------------- */

static bool is_closed_loop(const fb_conn *c)
{
    return fb_stream_is_closed_loop(c->lane->stream);
}

bool fb_conn_has_room(const fb_conn *c)
{
    return c->state == FB_CONN_READY && c->flight.used < c->limit;
}

/* The first free slot has been filled. */
static void took(fb_conn *c)
{
    fb_flight_add(&c->flight);
    if (c->state == FB_CONN_READY) {
        fb_flight_push(&c->flight, c->flight.used - 1, &c->link.out);
    }
}

void fb_conn_take(fb_conn *c, const fb_slot *slot)
{
    *fb_flight_at(&c->flight, c->flight.used) = *slot;
    took(c);
}

void fb_conn_pull(fb_conn *c)
{
    fb_flight *f = &c->flight;
    fb_slot slot;
    fb_ticket ticket;
    while (fb_conn_has_room(c) && fb_route_next(&f->route, &slot, &ticket)) {
        f->route.tickets[fb_flight_index(f, f->used)] = ticket;
        fb_conn_take(c, &slot);
    }
}

/* Closed loop: what has ended makes room for others, perhaps on other connections. */
static void fill_slots(fb_conn *c, uint64_t intended_ns)
{
    fb_flight *f = &c->flight;
    if (fb_route_is_on(&f->route)) {
        fb_route_refill(&f->route, intended_ns);
        return;
    }
    /* Filled in place: 16 bytes read at once, just after they were written in pieces, wait for it.
     */
    while (f->used < c->limit && fb_lane_admit(c->lane, intended_ns, fb_flight_at(f, f->used))) {
        took(c);
    }
}

bool fb_conn_take_back(fb_conn *c, fb_slot *slot)
{
    if (is_closed_loop(c) || c->state == FB_CONN_READY || c->flight.used == 0) {
        return false;
    }
    *slot = *fb_flight_at(&c->flight, 0);
    fb_flight_drop_oldest(&c->flight);
    c->flight.unsent--;
    return true;
}

/* ---- breaking: the one way out ------------------------------------------------------------- */

static void block(fb_conn *c, uint64_t now_ns)
{
    if (c->blocked_ns == 0) {
        c->lane->blocked++;
        c->blocked_ns = now_ns;
    }
}

static void unblock(fb_conn *c, uint64_t now_ns)
{
    if (FB_UNLIKELY(c->blocked_ns != 0)) {
        c->lane->blocked--;
        fb_lane_blocked(c->lane, c->blocked_ns, now_ns);
        c->blocked_ns = 0;
    }
}

static void account_bytes(fb_conn *c)
{
    c->lane->bytes_sent += fb_link_restart(&c->link);
}

static void drop_socket(fb_conn *c, uint64_t now_ns)
{
    unblock(c, now_ns);
    fb_link_drop(&c->link);
    account_bytes(c);
}

static void leave_ready(fb_conn *c, uint64_t now_ns)
{
    fb_lane *lane = c->lane;
    if (c->state == FB_CONN_READY && c->flight.route.node) {
        fb_router_broke(c->flight.route.node, now_ns);
    }
    if (c->state == FB_CONN_READY && --lane->ready == 0 && lane->down_since_ns == 0) {
        lane->down_since_ns = now_ns;
    }
    c->state = FB_CONN_WAITING;
    c->limit = c->flight.pipeline;
}

/* io->err says why. Before load it ends the run; later it costs what was in flight. */
static int break_off(fb_conn *c, fb_io *io)
{
    fb_lane *lane = c->lane;
    if (c->state == FB_CONN_READY && io->now_ns >= c->ready_ns + PAUSE_LAST_NS) {
        c->pause_ns = PAUSE_FIRST_NS; /* it stood for a while: the server does not refuse us */
    }
    leave_ready(c, io->now_ns);
    drop_socket(c, io->now_ns);
    if (!lane->started || io->err.code == FB_E_DATA) {
        return io->err.code;
    }
    lane->last_break = io->err;
    lane->breaks++;
    c->connect_by_ns = 0;
    fb_flight_broke(&c->flight, io->now_ns);
    c->deadline_ns = io->now_ns + c->pause_ns;
    c->pause_ns = c->pause_ns * 2 < PAUSE_LAST_NS ? c->pause_ns * 2 : PAUSE_LAST_NS;
    if (is_closed_loop(c)) {
        fill_slots(c, io->now_ns);
    }
    return FB_OK;
}

static int break_with(fb_conn *c, fb_io *io, int code, const char *text)
{
    fb_error_set(&io->err, code, 0, "%s", text);
    return break_off(c, io);
}

/* The protocol found what came to be wrong. */
static int break_explained(fb_conn *c, fb_io *io)
{
    c->lane->stream->protocol->explain(c->protocol_state, &io->err);
    return break_off(c, io);
}

/* The peer closes in good order: what it did not take up goes out over a new connection. */
static void turn(fb_conn *c, uint64_t now_ns)
{
    leave_ready(c, now_ns);
    drop_socket(c, now_ns);
    c->connect_by_ns = 0;
    c->deadline_ns = 0; /* at once */
    fb_flight_turn(&c->flight, now_ns);
    if (is_closed_loop(c)) {
        fill_slots(c, now_ns);
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

static int send_calls(fb_conn *c, fb_io *io);

/* What has left, at io->now_ns or, where TLS knows only now, before. */
static void stamp_sent(fb_conn *c, const fb_io *io)
{
    fb_link *l = &c->link;
    if (FB_UNLIKELY(l->begun_ns != 0)) {
        fb_flight_stamp(&c->flight, l->begun < l->out.sent ? l->begun : l->out.sent, l->begun_ns);
        l->begun_ns = 0;
    }
    fb_flight_stamp(&c->flight, l->out.sent, io->now_ns);
}

/* The peer takes no more. Where a protocol may end a connection in good order, its last reply may
 * lie there unread: epoll tells of the end too, and what came is read before the break. */
static int cannot_send(fb_conn *c, fb_io *io)
{
    const bool may_have_ended = c->state == FB_CONN_READY && io->err.code == FB_E_CLOSED &&
                                (c->lane->stream->protocol->end != NULL || c->flight.calls);
    return may_have_ended ? FB_OK : break_off(c, io);
}

static int send_queued(fb_conn *c, fb_io *io)
{
    while (!fb_outq_empty(&c->link.out)) {
        io->now_ns = fb_now_ns();
        const long n = fb_link_send(&c->link, c, io);
        if (n < 0) {
            return cannot_send(c, io);
        }
        if (n == 0) {
            block(c, io->now_ns);
            return FB_OK;
        }
        unblock(c, io->now_ns);
        if (c->state == FB_CONN_READY) {
            stamp_sent(c, io);
        }
    }
    return FB_OK;
}

int fb_conn_send(fb_conn *c, fb_io *io)
{
    return FB_UNLIKELY(c->flight.calls != NULL) ? send_calls(c, io) : send_queued(c, io);
}

int fb_conn_fill(fb_conn *c, fb_io *io, uint64_t intended_ns)
{
    fill_slots(c, intended_ns);
    return c->state == FB_CONN_READY ? fb_conn_send(c, io) : FB_OK;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void become_ready(fb_conn *c, uint64_t now_ns)
{
    c->state = FB_CONN_READY;
    c->ready_ns = now_ns;
    c->connect_by_ns = 0;
    c->lane->ready++;
    c->lane->reconnects += c->lane->started;
    c->lane->has_room = true;
    if (c->flight.route.node) {
        fb_router_ready(c->flight.route.node);
    }
    if (!c->flight.calls) { /* whose opening goes on */
        account_bytes(c);   /* the opening's; positions of inferences start at 0 */
    }
    for (uint32_t nth = 0; nth < c->flight.used; nth++) {
        fb_flight_push(&c->flight, nth, &c->link.out);
    }
}

static void queue_opening(fb_conn *c, const fb_message *step)
{
    const uint64_t number = c->flight.number;
    const uint64_t rows = step->rows > 0 ? c->lane->stream->data[0].rows / step->rows : 1;
    uint8_t *text = fb_flight_opening_text(&c->flight);
    fb_message_prepare(step, text, number);
    fb_message_push(step, text, &c->lane->source, number, number % rows * step->rows, &c->link.out);
}

/* Sends the current step of the opening, or is ready when none is left. */
static int open_step(fb_conn *c, fb_io *io)
{
    const fb_stream *s = c->lane->stream;
    if (c->flight.calls && !c->flight.calls->greeted) {
        return fb_conn_send(c, io); /* it is opened by its protocol, and ready when greeted */
    }
    if (c->opening == s->n_openings) {
        become_ready(c, io->now_ns);
    } else {
        queue_opening(c, &s->openings[c->opening]);
    }
    return fb_conn_send(c, io);
}

static int opening_replied(fb_conn *c, fb_io *io, const fb_reply *reply)
{
    if (reply->outcome != FB_OUTCOME_OK) {
        const char *text = reply->error_text[0] ? reply->error_text : "timed out";
        fb_error_set(&io->err, FB_E_REPLY, 0, "the server refused to open a connection: %s", text);
        return break_off(c, io);
    }
    c->opening++;
    return open_step(c, io);
}

int fb_conn_open(fb_conn *c, fb_io *io)
{
    const fb_stream *s = c->lane->stream;
    c->state = FB_CONN_CONNECTING;
    if (c->connect_by_ns == 0) {
        c->connect_by_ns = io->now_ns + c->lane->config->connect_timeout_ns;
    }
    c->deadline_ns = c->connect_by_ns;
    const fb_address *address = &s->addresses[c->flight.number % s->n_addresses];
    if (fb_link_connect(&c->link, address, c, io) == FB_OK) {
        return FB_OK;
    }
    if (c->link.fd < 0 && io->err.sys_errno == EAGAIN && io->now_ns < c->connect_by_ns) {
        c->state = FB_CONN_WAITING; /* a unix listener's backlog is full: it will drain */
        c->deadline_ns = io->now_ns;
        return FB_OK;
    }
    return break_off(c, io);
}

static int begin_opening(fb_conn *c, fb_io *io)
{
    c->state = FB_CONN_OPENING;
    c->opening = 0;
    c->lane->stream->protocol->reset(c->protocol_state);
    return open_step(c, io);
}

static int secure(fb_conn *c, fb_io *io)
{
    const int rc = fb_link_secure(&c->link, io);
    if (rc < 0) {
        io->now_ns = fb_now_ns();
        return break_off(c, io);
    }
    return rc == 0 ? FB_OK : begin_opening(c, io);
}

static int connected(fb_conn *c, fb_io *io)
{
    const int rc = fb_link_connected(&c->link, c->lane->stream->tls, c, io);
    if (rc <= 0) {
        return rc == 0 ? FB_OK : break_off(c, io);
    }
    if (c->flight.number == c->lane->first_connection) {
        fb_link_stamp(&c->link);
    }
    if (!c->link.tls) {
        return begin_opening(c, io);
    }
    c->state = FB_CONN_SECURING;
    return secure(c, io);
}

static int establish(fb_conn *c, fb_io *io)
{
    switch (c->state) {
    case FB_CONN_CONNECTING:
        return connected(c, io);
    case FB_CONN_SECURING:
        return secure(c, io);
    default:
        return FB_OK;
    }
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* The n-th inference was answered. A connection that breaks unanswered proves nothing: the server
 * stays down and is tried ever more seldom. */
static inline void answer(fb_conn *c, uint32_t nth, const fb_reply *reply, uint64_t now_ns)
{
    fb_flight_answered(&c->flight, nth, reply, now_ns);
    c->lane->down_since_ns = 0;
    c->pause_ns = PAUSE_FIRST_NS;
    c->lane->has_room = true;
}

/* In place of a good reply to what was not sent whole. */
static const fb_reply premature = {.done = true,
                                   .outcome = FB_OUTCOME_ERROR,
                                   .error_class = "EARLY",
                                   .error_text = "answered before the request was sent whole"};

static int break_early(fb_conn *c, fb_io *io)
{
    return break_with(c, io, FB_E_PROTOCOL, "a reply came before its request was sent whole");
}

static int break_unasked(fb_conn *c, fb_io *io)
{
    return break_with(c, io, FB_E_PROTOCOL, "a reply came that no request asked for");
}

/* All bytes of the oldest inference have left. */
static bool oldest_is_whole(const fb_conn *c)
{
    const fb_outq *out = &c->link.out;
    return (c->flight.used > 1 ? fb_flight_at(&c->flight, 1)->begin : out->pushed) <= out->sent;
}

static int replied(fb_conn *c, fb_io *io, const fb_reply *reply)
{
    if (c->state == FB_CONN_OPENING) {
        return opening_replied(c, io, reply);
    }
    if (fb_flight_sent(&c->flight) == 0) {
        return break_unasked(c, io);
    }
    fb_slot *slot = fb_flight_at(&c->flight, 0);
    if (FB_UNLIKELY(slot->flags & FB_SLOT_ASKING)) {
        slot->flags &= (uint8_t)~FB_SLOT_ASKING; /* the command's own reply follows */
        return FB_OK;
    }
    const bool whole = oldest_is_whole(c);
    answer(c, 0, FB_LIKELY(whole) || reply->outcome != FB_OUTCOME_OK ? reply : &premature,
           io->now_ns);
    fb_flight_drop_oldest(&c->flight);
    if (FB_UNLIKELY(!whole)) {
        return break_early(c, io);
    }
    if (FB_UNLIKELY(reply->out_of_step)) {
        return break_with(c, io, FB_E_PROTOCOL, "RedisAI may have replied twice to one command");
    }
    if (FB_UNLIKELY(reply->last)) {
        fb_link_end_by_reset(&c->link);
        turn(c, io->now_ns);
    }
    return FB_OK;
}

static const fb_message *awaited(const fb_conn *c)
{
    return FB_UNLIKELY(c->state == FB_CONN_OPENING) ? &c->lane->stream->openings[c->opening]
                                                    : fb_flight_awaited(&c->flight);
}

static bool capturing(const fb_conn *c)
{
    return c->state == FB_CONN_READY && fb_flight_is_captured(&c->flight);
}

static int digest_calls(fb_conn *c, fb_io *io, size_t len);

/* Feeds what was received to the protocol, reply by reply. */
static int digest(fb_conn *c, fb_io *io, size_t len)
{
    if (FB_UNLIKELY(c->flight.calls != NULL)) {
        return digest_calls(c, io, len);
    }
    const fb_protocol *protocol = c->lane->stream->protocol;
    const uint8_t *at = io->buffer;
    const uint8_t *end = at + len;
    fb_reply reply;
    while (at < end) {
        const long n =
            protocol->feed(c->protocol_state, awaited(c), at, (size_t)(end - at), &reply);
        if (FB_UNLIKELY(n < 0)) {
            return break_explained(c, io);
        }
        if (FB_UNLIKELY(capturing(c))) {
            fb_lane_capture(c->lane, fb_flight_at(&c->flight, 0), at, (size_t)n, reply.done);
        }
        at += n;
        if (reply.done) {
            const int rc = replied(c, io, &reply);
            if (FB_UNLIKELY(rc != FB_OK || c->link.fd < 0)) {
                return rc;
            }
        }
    }
    return FB_OK;
}

/* The peer has closed: that may be how its last reply ends. */
static int ended(fb_conn *c, fb_io *io)
{
    const fb_protocol *protocol = c->lane->stream->protocol;
    const fb_calls *calls = c->flight.calls;
    fb_reply reply;
    const bool clean = io->err.code == FB_E_CLOSED && io->err.sys_errno == 0;
    if (c->state == FB_CONN_READY && clean && protocol->end &&
        protocol->end(c->protocol_state, &reply)) {
        if (capturing(c)) {
            fb_lane_capture_end(c->lane, fb_flight_at(&c->flight, 0));
        }
        const int rc = replied(c, io, &reply);
        fb_lane_settle(c->lane);
        return rc;
    }
    if (clean && calls && calls->farewell[0]) {
        fb_error_set(&io->err, FB_E_CLOSED, 0, "the server closed the connection: %s",
                     calls->farewell);
    }
    return break_off(c, io);
}

/* Reads until the socket is drained: a short read says so, unless the peer has also closed or TLS
 * holds more. A long reply is read in several turns, so that nothing else waits for its end. */
static int receive(fb_conn *c, fb_io *io, bool closing)
{
    for (size_t got = 0; got < READ_SHARE * io->buffer_len;) {
        const long n = fb_link_receive(&c->link, io);
        if (n == 0) {
            return FB_OK;
        }
        io->now_ns = fb_now_ns();
        if (n < 0) {
            return ended(c, io);
        }
        c->received_ns = io->now_ns;
        fb_lane_received(c->lane, (uint64_t)n, io->now_ns);
        const int rc = digest(c, io, (size_t)n);
        fb_lane_settle(c->lane);
        if (rc != FB_OK || c->link.fd < 0 ||
            ((size_t)n < io->buffer_len && !closing && !c->link.tls)) {
            return rc;
        }
        got += (size_t)n;
    }
    return fb_link_receive_later(&c->link, c, io);
}

int fb_conn_event(fb_conn *c, fb_io *io, uint32_t events)
{
    if (c->link.fd < 0) {
        return FB_OK; /* an event of a socket that broke earlier in this round */
    }
    /* What came with the connection, a greeting or an end, has no event of its own later. */
    int rc = establish(c, io);
    if (rc != FB_OK || c->link.fd < 0 || c->state < FB_CONN_OPENING) {
        return rc;
    }
    /* TLS may hold bytes that it read with others, or wait for room to answer what it read. */
    if (c->link.tls || (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))) {
        rc = receive(c, io, events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
    }
    if (rc == FB_OK && c->state == FB_CONN_WAITING && c->deadline_ns == 0) {
        return fb_conn_open(c, io);
    }
    if (rc != FB_OK || c->link.fd < 0) {
        return rc;
    }
    if (c->state == FB_CONN_READY && c->lane->started && is_closed_loop(c)) {
        fill_slots(c, io->now_ns);
    }
    return fb_conn_send(c, io);
}

/* ---- calls, whose replies come in any order ------------------------------------------------- */

static int call_ended(fb_conn *c, fb_io *io, uint32_t place)
{
    fb_flight *f = &c->flight;
    const fb_call *call = &f->calls->calls[place];
    const uint32_t nth = fb_flight_find(f, place);
    if (call->refused) { /* the peer did not take it up: it waits for the next connection */
        f->places[fb_flight_index(f, nth)] = FB_CALLS_NONE;
        fb_calls_give_back(f->calls, place);
        return FB_OK;
    }
    if (nth >= fb_flight_sent(f)) {
        return break_unasked(c, io);
    }
    const fb_slot *slot = fb_flight_at(f, nth);
    const bool whole = call->end <= c->link.out.sent;
    if (slot->flags & FB_SLOT_CAPTURE) {
        fb_lane_captured(c->lane, slot, &call->kept);
    }
    const bool hollow = !whole && call->reply.outcome == FB_OUTCOME_OK;
    answer(c, nth, hollow ? &premature : &call->reply, io->now_ns);
    fb_lane_settle(c->lane); /* it may have ended while others were sent */
    fb_flight_take_out(f, nth);
    fb_calls_give_back(f->calls, place);
    return hollow ? break_early(c, io) : FB_OK;
}

/* The peer takes no more calls, and those that it had taken up have ended. Where it answered none,
 * the next connection waits a little, or a peer that takes none at all would keep us busy. */
static void move_on(fb_conn *c, uint64_t now_ns)
{
    const bool answered = c->flight.calls->answered;
    turn(c, now_ns);
    c->deadline_ns = answered ? 0 : now_ns + PAUSE_FIRST_NS;
}

/* What the protocol found to have ended, and how many calls the peer takes now. */
static int settle(fb_conn *c, fb_io *io)
{
    fb_calls *calls = c->flight.calls;
    uint32_t place;
    while (fb_calls_next_ended(calls, &place)) {
        const int rc = call_ended(c, io, place);
        if (rc != FB_OK || c->link.fd < 0) {
            return rc;
        }
    }
    if (c->state != FB_CONN_READY) {
        return FB_OK;
    }
    const uint32_t limit = calls->room < c->flight.pipeline ? calls->room : c->flight.pipeline;
    c->lane->has_room |= limit > c->limit;
    c->limit = limit;
    if (calls->leaves && fb_calls_under_way(calls) == 0) {
        move_on(c, io->now_ns);
    }
    return FB_OK;
}

/* Has the protocol queue what may be sent now and sends it, until nothing more may be sent. */
static int send_calls(fb_conn *c, fb_io *io)
{
    for (;;) {
        if (fb_flight_multiplexed(&c->flight)->pump(c->protocol_state, &c->link.out) != FB_OK) {
            return break_explained(c, io);
        }
        fb_flight_note_begins(&c->flight);
        const uint32_t used = c->flight.used;
        int rc = settle(c, io);
        if (rc == FB_OK && c->link.fd >= 0 && c->flight.used < used && is_closed_loop(c)) {
            fill_slots(c, io->now_ns); /* what ended while it was to be sent */
            continue;
        }
        if (rc != FB_OK || c->link.fd < 0 || fb_outq_empty(&c->link.out)) {
            return rc;
        }
        rc = send_queued(c, io);
        if (rc != FB_OK || c->link.fd < 0 || !fb_outq_empty(&c->link.out)) {
            return rc;
        }
    }
}

/* More in flight than the peer takes would not be the load that was asked for. */
static int greeted(fb_conn *c, fb_io *io)
{
    const fb_calls *calls = c->flight.calls;
    if (calls->leaves) {
        fb_error_set(&io->err, FB_E_CLOSED, 0, "the server takes no calls: %s", calls->farewell);
        return break_off(c, io);
    }
    if (!c->lane->started && calls->room < c->flight.pipeline) {
        fb_error_set(&io->err, FB_E_REPLY, 0,
                     "the server takes %u calls at once on a connection, not %u: lower --pipeline "
                     "and raise --connections",
                     calls->room, c->flight.pipeline);
        return break_off(c, io);
    }
    return open_step(c, io);
}

static int digest_calls(fb_conn *c, fb_io *io, size_t len)
{
    const int taken = fb_flight_multiplexed(&c->flight)->take(c->protocol_state, io->buffer, len);
    int rc = settle(c, io);
    if (rc == FB_OK && c->link.fd >= 0 && taken != FB_OK) {
        return break_explained(c, io);
    }
    if (rc == FB_OK && c->state == FB_CONN_OPENING && c->flight.calls->greeted) {
        rc = greeted(c, io);
    }
    return rc;
}

/* ---- time ------------------------------------------------------------------------------------ */

/* A timed-out inference keeps its place, since replies come in order; but a peer that has then
 * been silent for as long again is taken for dead. */
static bool peer_is_dead(const fb_conn *c, uint64_t now_ns)
{
    const fb_slot *oldest = fb_flight_at(&c->flight, 0);
    if (fb_flight_sent(&c->flight) == 0 || !(oldest->flags & FB_SLOT_TIMEDOUT)) {
        return false;
    }
    const uint64_t heard_ns = c->received_ns > oldest->sent_ns ? c->received_ns : oldest->sent_ns;
    return now_ns > heard_ns + 2 * c->lane->config->timeout_ns;
}

/* A call that was given up long ago, while the peer answers others: its place is needed. */
static bool is_overdue(const fb_conn *c, uint32_t nth, uint64_t now_ns)
{
    const fb_slot *slot = fb_flight_at(&c->flight, nth);
    return (slot->flags & FB_SLOT_TIMEDOUT) &&
           now_ns > slot->sent_ns + 2 * c->lane->config->timeout_ns &&
           c->received_ns > slot->sent_ns &&
           c->flight.places[fb_flight_index(&c->flight, nth)] != FB_CALLS_NONE;
}

static int cancel_overdue(fb_conn *c, fb_io *io)
{
    fb_flight *f = &c->flight;
    const uint32_t used = f->used;
    for (uint32_t i = fb_flight_sent(f); i > 0; i--) {
        if (is_overdue(c, i - 1, io->now_ns)) {
            const uint32_t place = f->places[fb_flight_index(f, i - 1)];
            fb_flight_lost(f, i - 1, io->now_ns); /* its outcome stands already */
            fb_flight_multiplexed(f)->cancel(c->protocol_state, place);
            fb_calls_give_back(f->calls, place);
            fb_flight_take_out(f, i - 1);
            c->lane->has_room = true;
        }
    }
    if (f->used == used) {
        return FB_OK;
    }
    if (is_closed_loop(c)) {
        fill_slots(c, io->now_ns);
    }
    return fb_conn_send(c, io);
}

int fb_conn_tick(fb_conn *c, fb_io *io)
{
    switch (c->state) {
    case FB_CONN_WAITING:
        return io->now_ns >= c->deadline_ns ? fb_conn_open(c, io) : FB_OK;
    case FB_CONN_CONNECTING:
    case FB_CONN_SECURING:
    case FB_CONN_OPENING:
        return io->now_ns < c->deadline_ns
                   ? FB_OK
                   : break_with(c, io, FB_E_CONNECT, "no answer while connecting");
    case FB_CONN_READY:
        fb_flight_time_out(&c->flight, io->now_ns);
        if (peer_is_dead(c, io->now_ns)) {
            return break_with(c, io, FB_E_CLOSED, "the server went silent: time-out passed twice");
        }
        return c->flight.calls ? cancel_overdue(c, io) : FB_OK;
    }
    return FB_OK;
}

void fb_conn_close(fb_conn *c, uint64_t now_ns)
{
    fb_flight_abandon(&c->flight);
    drop_socket(c, now_ns);
}
