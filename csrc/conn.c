#include "conn.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STAMPED_EVERY 8 /* receives of a stamped connection, one of which is looked at */
#define PAUSE_FIRST_NS (10 * FB_NS_PER_MS)
#define PAUSE_LAST_NS FB_NS_PER_S

/* ---- memory ---------------------------------------------------------------------------- */

static uint32_t pipeline(const fb_conn *c)
{
    return c->lane->stream->pipeline;
}

static uint8_t *slot_text(const fb_conn *c, uint32_t slot)
{
    return c->text + (size_t)slot * c->lane->stream->text_max;
}

static uint8_t *opening_text(const fb_conn *c)
{
    return slot_text(c, pipeline(c));
}

static const fb_multiplexed *multiplexed(const fb_conn *c)
{
    return c->lane->stream->protocol->multiplexed;
}

/* The queue of a call holds the pieces of one message. */
static int init_calls(fb_conn *c, fb_error *err)
{
    const fb_stream *s = c->lane->stream;
    uint32_t pieces = 1;
    for (uint32_t i = 0; i < s->n_messages; i++) {
        const uint32_t each = fb_message_pieces(&s->messages[i]);
        pieces = each > pieces ? each : pieces;
    }
    c->calls = c->protocol_state;
    c->places = calloc(s->pipeline, sizeof *c->places);
    if (!c->places) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u calls", s->pipeline);
    }
    return multiplexed(c)->init(c->protocol_state, s->pipeline, pieces, err);
}

int fb_conn_init(fb_conn *c, fb_lane *lane, uint64_t number, fb_error *err)
{
    const fb_stream *s = lane->stream;
    *c = (fb_conn){
        .lane = lane, .number = number, .fd = -1, .pause_ns = PAUSE_FIRST_NS, .limit = s->pipeline};
    c->slots = calloc(s->pipeline, sizeof *c->slots);
    c->text = malloc((size_t)s->pipeline * s->text_max + s->opening_text_max);
    c->prepared = calloc(s->pipeline, 1);
    c->protocol_state = calloc(1, s->protocol->state_bytes);
    if (lane->router) {
        c->route.node = &lane->router->nodes[number % s->n_addresses];
    }
    c->route.lane = lane;
    c->route.chain = lane->chain;
    c->route.tickets = lane->dispatched ? calloc(s->pipeline, sizeof *c->route.tickets) : NULL;
    int rc = fb_outq_init(&c->out, s->pieces, err);
    if ((lane->dispatched && !c->route.tickets) || !c->slots || !c->text || !c->prepared ||
        !c->protocol_state) {
        rc = fb_error_set(err, FB_E_NOMEM, 0, "out of memory for a connection with %u slots",
                          s->pipeline);
    }
    if (rc == FB_OK && s->protocol->multiplexed) {
        rc = init_calls(c, err);
    }
    if (rc != FB_OK) {
        fb_conn_fini(c);
        return rc;
    }
    for (uint32_t i = 0; i < s->pipeline; i++) {
        fb_message_prepare(&s->messages[0], slot_text(c, i), number);
    }
    return FB_OK;
}

void fb_conn_fini(fb_conn *c)
{
    if (c->calls) {
        multiplexed(c)->fini(c->protocol_state);
    }
    free(c->places);
    fb_outq_fini(&c->out);
    free(c->slots);
    free(c->route.tickets);
    free(c->text);
    free(c->prepared);
    free(c->protocol_state);
    *c = (fb_conn){.fd = -1};
}

/* ---- slots: a ring in order of sending ---------------------------------------------------- */

static uint32_t ring_index(const fb_conn *c, uint32_t nth)
{
    const uint32_t i = c->head + nth;
    return i < pipeline(c) ? i : i - pipeline(c);
}

static fb_slot *slot_at(const fb_conn *c, uint32_t nth)
{
    return &c->slots[ring_index(c, nth)];
}

/* As push, where each message is a call. What waits for the next connection has no place. */
static void push_call(fb_conn *c, uint32_t nth)
{
    const fb_stream *s = c->lane->stream;
    const uint32_t i = ring_index(c, nth);
    fb_slot *slot = &c->slots[i];
    slot->begin = FB_CALLS_NOT_YET;
    c->places[i] = c->calls->leaves ? FB_CALLS_NONE : fb_calls_take(c->calls);
    if (c->places[i] == FB_CALLS_NONE) {
        return;
    }
    const fb_message *message = &s->messages[slot->message];
    const uint32_t place = c->places[i];
    fb_call *call = &c->calls->calls[place];
    if (c->prepared[place] != slot->message) {
        fb_message_prepare(message, slot_text(c, place), c->number);
        c->prepared[place] = slot->message;
    }
    if (slot->flags & FB_SLOT_CAPTURE) {
        call->kept = fb_lane_capture_room(c->lane, slot);
    }
    if (fb_route_is_on(&c->route)) {
        fb_route_aim(&c->route, slot, i, &call->body);
    }
    fb_message_push(message, slot_text(c, place), &c->lane->source, c->number,
                    (uint64_t)slot->group * s->rows, &call->body);
    multiplexed(c)->submit(c->protocol_state, place, message);
}

static void push(fb_conn *c, uint32_t nth)
{
    if (FB_UNLIKELY(c->calls != NULL)) {
        push_call(c, nth);
        return;
    }
    const fb_stream *s = c->lane->stream;
    const uint32_t i = ring_index(c, nth);
    fb_slot *slot = &c->slots[i];
    const fb_message *message = &s->messages[slot->message];
    if (FB_UNLIKELY(c->prepared[i] != slot->message)) {
        fb_message_prepare(message, slot_text(c, i), c->number);
        c->prepared[i] = slot->message;
    }
    slot->begin = c->out.pushed;
    if (fb_route_is_on(&c->route)) {
        fb_route_aim(&c->route, slot, i, &c->out);
    }
    fb_message_push(message, slot_text(c, i), &c->lane->source, c->number,
                    (uint64_t)slot->group * s->rows, &c->out);
}

bool fb_conn_has_room(const fb_conn *c)
{
    return c->state == FB_CONN_READY && c->used < c->limit;
}

/* The first free slot has been filled. */
static void took(fb_conn *c)
{
    c->used++;
    c->unsent++;
    if (c->state == FB_CONN_READY) {
        push(c, c->used - 1);
    }
}

void fb_conn_take(fb_conn *c, const fb_slot *slot)
{
    *slot_at(c, c->used) = *slot;
    took(c);
}

void fb_conn_pull(fb_conn *c)
{
    fb_slot slot;
    fb_ticket ticket;
    while (fb_conn_has_room(c) && fb_route_next(&c->route, &slot, &ticket)) {
        c->route.tickets[ring_index(c, c->used)] = ticket;
        fb_conn_take(c, &slot);
    }
}

/* Closed loop: what has ended makes room for others, perhaps on other connections. */
static void fill_slots(fb_conn *c, uint64_t intended_ns)
{
    if (fb_route_is_on(&c->route)) {
        fb_route_refill(&c->route, intended_ns);
        return;
    }
    /* Filled in place: 16 bytes read at once, just after they were written in pieces, wait for it.
     */
    while (c->used < c->limit && fb_lane_admit(c->lane, intended_ns, slot_at(c, c->used))) {
        took(c);
    }
}

/* Position after the last byte of the oldest inference. */
static uint64_t oldest_end(const fb_conn *c)
{
    return c->used > 1 ? slot_at(c, 1)->begin : c->out.pushed;
}

/* ---- breaking: the one way out ------------------------------------------------------------- */

static void unblock(fb_conn *c, uint64_t now_ns)
{
    if (FB_UNLIKELY(c->blocked_ns != 0)) {
        fb_lane_blocked(c->lane, c->blocked_ns, now_ns);
        c->blocked_ns = 0;
    }
}

static void account_bytes(fb_conn *c)
{
    c->lane->bytes_sent += c->out.sent;
    fb_outq_reset(&c->out);
}

static void drop_socket(fb_conn *c)
{
    fb_tls_session_free(c->tls);
    c->tls = NULL;
    c->begun_ns = 0;
    if (c->fd >= 0) {
        (void)close(c->fd); /* epoll forgets it too */
        c->fd = -1;
    }
    account_bytes(c);
}

static void lose_sent(fb_conn *c, uint64_t now_ns)
{
    const uint32_t sent = c->used - c->unsent;
    for (uint32_t i = 0; i < sent; i++) {
        if (fb_route_is_on(&c->route)) {
            fb_route_lost(&c->route, slot_at(c, i), ring_index(c, i), now_ns);
        } else {
            fb_lane_lost(c->lane, slot_at(c, i), now_ns);
        }
    }
    c->head = ring_index(c, sent);
    c->used = c->unsent;
}

/* In a cluster or a chain: what was not sent waits for any connection of the node or step. */
static void return_unsent(fb_conn *c)
{
    for (uint32_t i = 0; i < c->used; i++) {
        fb_route_put_back(&c->route, slot_at(c, i), ring_index(c, i));
    }
    c->used = c->unsent = 0;
}

static void leave_ready(fb_conn *c, uint64_t now_ns)
{
    fb_lane *lane = c->lane;
    if (c->state == FB_CONN_READY && c->route.node) {
        fb_router_broke(c->route.node, now_ns);
    }
    if (c->state == FB_CONN_READY && --lane->ready == 0 && lane->down_since_ns == 0) {
        lane->down_since_ns = now_ns;
    }
    c->state = FB_CONN_WAITING;
    c->limit = pipeline(c);
}

/* io->err says why. Before load it ends the run; later it costs what was in flight. */
static int break_off(fb_conn *c, fb_io *io)
{
    fb_lane *lane = c->lane;
    leave_ready(c, io->now_ns);
    unblock(c, io->now_ns);
    drop_socket(c);
    if (!lane->started || io->err.code == FB_E_DATA) {
        return io->err.code;
    }
    lane->last_break = io->err;
    lane->breaks++;
    c->connect_by_ns = 0;
    lose_sent(c, io->now_ns);
    if (fb_route_is_on(&c->route)) {
        return_unsent(c);
    }
    c->deadline_ns = io->now_ns + c->pause_ns;
    c->pause_ns = c->pause_ns * 2 < PAUSE_LAST_NS ? c->pause_ns * 2 : PAUSE_LAST_NS;
    if (fb_stream_is_closed_loop(c->lane->stream)) {
        fill_slots(c, io->now_ns);
    }
    return FB_OK;
}

static int break_with(fb_conn *c, fb_io *io, int code, const char *text)
{
    fb_error_set(&io->err, code, 0, "%s", text);
    return break_off(c, io);
}

/* Takes the n-th inference out of the ring: those before it move up, in their order. */
static void take_out(fb_conn *c, uint32_t nth)
{
    for (; nth > 0; nth--) {
        const uint32_t to = ring_index(c, nth);
        const uint32_t from = ring_index(c, nth - 1);
        c->slots[to] = c->slots[from];
        if (c->places) {
            c->places[to] = c->places[from];
        }
        if (fb_route_is_on(&c->route)) {
            c->route.tickets[to] = c->route.tickets[from];
        }
    }
    c->head = ring_index(c, 1);
    c->used--;
}

/* What had timed out is not sent again: its outcome stands already. */
static void send_again(fb_conn *c, uint64_t now_ns)
{
    for (uint32_t i = 0; i < c->used - c->unsent;) {
        fb_slot *slot = slot_at(c, i);
        if (slot->flags & FB_SLOT_TIMEDOUT) {
            fb_lane_lost(c->lane, slot, now_ns);
            take_out(c, i);
            continue;
        }
        slot->flags |= FB_SLOT_SENT;
        if (slot->flags & FB_SLOT_CAPTURE) {
            fb_lane_capture_again(c->lane, slot);
        }
        i++;
    }
    c->unsent = c->used;
}

/* The peer closes after this reply, as it may: what it has not read goes out again, over a new
 * connection, and nothing is lost. (But in a chain, whose steps may not be taken twice; of calls
 * only those are left that the peer did not take up.) */
static void turn(fb_conn *c, uint64_t now_ns)
{
    leave_ready(c, now_ns);
    unblock(c, now_ns);
    drop_socket(c);
    c->connect_by_ns = 0;
    c->deadline_ns = 0; /* at once */
    if (!fb_route_is_on(&c->route)) {
        send_again(c, now_ns);
    } else {
        if (!c->calls) {
            lose_sent(c, now_ns);
        }
        return_unsent(c);
    }
    if (fb_stream_is_closed_loop(c->lane->stream)) {
        fill_slots(c, now_ns);
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

static int send_calls(fb_conn *c, fb_io *io);

/* What begins before that position left at that instant. */
static void stamp_sent(fb_conn *c, uint64_t position, uint64_t sent_ns)
{
    while (c->unsent > 0) {
        fb_slot *slot = slot_at(c, c->used - c->unsent);
        if (slot->begin >= position) {
            return;
        }
        if (fb_route_is_on(&c->route)) {
            fb_route_sent(&c->route, slot, ring_index(c, c->used - c->unsent), sent_ns);
        } else if (FB_LIKELY(!(slot->flags & FB_SLOT_SENT))) {
            slot->sent_ns = sent_ns;
            fb_lane_sent(c->lane, slot);
        }
        c->unsent--;
    }
}

/* What epoll is to tell about the socket. */
static int watch_socket(fb_conn *c, fb_io *io, int operation, bool for_room)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    event.events |= for_room ? EPOLLOUT : 0;
    c->waits_for_room = for_room;
    if (epoll_ctl(io->epoll_fd, operation, c->fd, &event) != 0) {
        return fb_error_set(&io->err, FB_E_SYS, errno, "epoll_ctl: %s", strerror(errno));
    }
    return FB_OK;
}

/* The socket takes no more: epoll tells when it does again. It is asked only from the first time
 * on, as on a unix socket it would wake us for every request that the peer takes. */
static int block(fb_conn *c, fb_io *io)
{
    c->blocked_ns = c->blocked_ns == 0 ? io->now_ns : c->blocked_ns;
    return c->waits_for_room ? FB_OK : watch_socket(c, io, EPOLL_CTL_MOD, true);
}

/* The peer takes no more. Where a protocol may end a connection in good order, its last reply may
 * lie there unread: epoll tells of the end too, and what came is read before the break. */
static int cannot_send(fb_conn *c, fb_io *io)
{
    const bool may_have_ended = c->state == FB_CONN_READY && io->err.code == FB_E_CLOSED &&
                                (c->lane->stream->protocol->end != NULL || c->calls);
    return may_have_ended ? FB_OK : break_off(c, io);
}

/* A record of TLS has to wait, and its first bytes have left: whatever begins in it, is queued by
 * now and will be known to be sent only when all of the record is. */
static void note_begun(fb_conn *c, uint64_t now_ns)
{
    if (c->tls && c->begun_ns == 0 && fb_tls_has_begun(c->tls)) {
        c->begun_ns = now_ns;
        c->begun = c->out.pushed;
    }
}

static void stamp_begun(fb_conn *c)
{
    if (FB_UNLIKELY(c->begun_ns != 0)) {
        stamp_sent(c, c->begun < c->out.sent ? c->begun : c->out.sent, c->begun_ns);
        c->begun_ns = 0;
    }
}

static int send_queued(fb_conn *c, fb_io *io)
{
    while (!fb_outq_empty(&c->out)) {
        io->now_ns = fb_now_ns();
        const long n = c->tls ? fb_tls_step(c->tls, &c->out, &io->err)
                              : fb_outq_step(&c->out, c->fd, &io->err);
        if (n < 0) {
            return cannot_send(c, io);
        }
        if (n == 0) {
            note_begun(c, io->now_ns);
            return block(c, io);
        }
        unblock(c, io->now_ns);
        if (c->state == FB_CONN_READY) {
            stamp_begun(c);
            stamp_sent(c, c->out.sent, io->now_ns);
        }
    }
    return FB_OK;
}

int fb_conn_send(fb_conn *c, fb_io *io)
{
    return FB_UNLIKELY(c->calls != NULL) ? send_calls(c, io) : send_queued(c, io);
}

bool fb_conn_take_back(fb_conn *c, fb_slot *slot)
{
    if (fb_stream_is_closed_loop(c->lane->stream) || c->state == FB_CONN_READY || c->used == 0) {
        return false;
    }
    *slot = *slot_at(c, 0);
    c->head = ring_index(c, 1);
    c->used--;
    c->unsent--;
    return true;
}

int fb_conn_fill(fb_conn *c, fb_io *io, uint64_t intended_ns)
{
    fill_slots(c, intended_ns);
    return c->state == FB_CONN_READY ? fb_conn_send(c, io) : FB_OK;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void become_ready(fb_conn *c)
{
    c->state = FB_CONN_READY;
    c->pause_ns = PAUSE_FIRST_NS;
    c->connect_by_ns = 0;
    c->lane->ready++;
    c->lane->reconnects += c->lane->started;
    c->lane->has_room = true;
    if (c->route.node) {
        fb_router_ready(c->route.node);
    }
    if (!c->calls) {      /* whose opening goes on */
        account_bytes(c); /* the opening's; positions of inferences start at 0 */
    }
    for (uint32_t i = 0; i < c->used; i++) {
        push(c, i);
    }
}

/* Sends the current step of the opening, or is ready when none is left. */
static int open_step(fb_conn *c, fb_io *io)
{
    const fb_stream *s = c->lane->stream;
    if (c->calls && !c->calls->greeted) {
        return fb_conn_send(c, io); /* it is opened by its protocol, and ready when greeted */
    }
    if (c->opening == s->n_openings) {
        become_ready(c);
        return fb_conn_send(c, io);
    }
    const fb_message *step = &s->openings[c->opening];
    const uint64_t row =
        step->rows > 0 ? c->number % (s->data[0].rows / step->rows) * step->rows : 0;
    fb_message_prepare(step, opening_text(c), c->number);
    fb_message_push(step, opening_text(c), &c->lane->source, c->number, row, &c->out);
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
    c->fd = fb_net_connect(&s->addresses[c->number % s->n_addresses], &io->err);
    if (c->fd < 0 && io->err.sys_errno == EAGAIN && io->now_ns < c->connect_by_ns) {
        c->state = FB_CONN_WAITING; /* a unix listener's backlog is full: it will drain */
        c->deadline_ns = io->now_ns;
        return FB_OK;
    }
    if (c->fd < 0) {
        return break_off(c, io);
    }
    return watch_socket(c, io, EPOLL_CTL_ADD, true); /* for when the connection stands */
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
    const int rc = fb_tls_handshake(c->tls, &io->err);
    if (rc < 0) {
        io->now_ns = fb_now_ns();
        return break_off(c, io);
    }
    return rc == 0 ? FB_OK : begin_opening(c, io);
}

static int connected(fb_conn *c, fb_io *io)
{
    const int failed = fb_net_connect_result(c->fd);
    if (failed == EINPROGRESS) {
        return FB_OK;
    }
    if (failed != 0) {
        fb_error_set(&io->err, FB_E_CONNECT, failed, "cannot connect: %s", strerror(failed));
        return break_off(c, io);
    }
    const bool plain = c->lane->stream->tls == NULL;
    c->stamped = plain && c->number == c->lane->first_connection && fb_net_stamp_receives(c->fd);
    if (plain) {
        const int rc = watch_socket(c, io, EPOLL_CTL_MOD, false);
        return rc == FB_OK ? begin_opening(c, io) : rc;
    }
    c->state = FB_CONN_SECURING;
    c->tls = fb_tls_session_new(c->lane->stream->tls, c->fd, &io->err);
    return c->tls ? secure(c, io) : break_off(c, io);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* The n-th inference was answered: the books, or whoever leads it on, are told. */
static inline void answer(fb_conn *c, uint32_t nth, const fb_reply *reply, uint64_t now_ns)
{
    if (!fb_route_is_on(&c->route) ||
        !fb_route_replied(&c->route, slot_at(c, nth), ring_index(c, nth), reply, now_ns)) {
        fb_lane_replied(c->lane, slot_at(c, nth), reply, now_ns);
    }
    c->lane->down_since_ns = 0; /* a connection that breaks unanswered proves nothing */
    c->lane->has_room = true;
}

/* In place of a good reply to what was not sent whole. */
static const fb_reply premature = {.done = true,
                                   .outcome = FB_OUTCOME_ERROR,
                                   .error_class = "EARLY",
                                   .error_text = "answered before the request was sent whole"};

static int replied(fb_conn *c, fb_io *io, const fb_reply *reply)
{
    if (c->state == FB_CONN_OPENING) {
        return opening_replied(c, io, reply);
    }
    if (c->used == c->unsent) {
        return break_with(c, io, FB_E_PROTOCOL, "a reply came that no request asked for");
    }
    if (FB_UNLIKELY(slot_at(c, 0)->flags & FB_SLOT_ASKING)) {
        slot_at(c, 0)->flags &= (uint8_t)~FB_SLOT_ASKING; /* the command's own reply follows */
        return FB_OK;
    }
    const bool whole = oldest_end(c) <= c->out.sent;
    if (FB_UNLIKELY(!whole) && reply->outcome == FB_OUTCOME_OK) {
        reply = &premature;
    }
    answer(c, 0, reply, io->now_ns);
    c->head = ring_index(c, 1);
    c->used--;
    if (!whole) {
        return break_with(c, io, FB_E_PROTOCOL, "a reply came before its request was sent whole");
    }
    if (FB_UNLIKELY(reply->out_of_step)) {
        return break_with(c, io, FB_E_PROTOCOL, "RedisAI may have replied twice to one command");
    }
    if (FB_UNLIKELY(reply->last)) {
        turn(c, io->now_ns);
    }
    return FB_OK;
}

static const fb_message *awaited(const fb_conn *c)
{
    const fb_stream *s = c->lane->stream;
    if (FB_UNLIKELY(c->state == FB_CONN_OPENING)) {
        return &s->openings[c->opening];
    }
    if (c->used == c->unsent) {
        return &s->messages[0];
    }
    const fb_slot *slot = slot_at(c, 0);
    return FB_UNLIKELY(slot->flags & (FB_SLOT_ASKING | FB_SLOT_KEEP))
               ? fb_route_awaited(&c->route, c->head, c->protocol_state)
               : &s->messages[slot->message];
}

static bool capturing(const fb_conn *c)
{
    return c->state == FB_CONN_READY && c->used > c->unsent &&
           (slot_at(c, 0)->flags & (FB_SLOT_CAPTURE | FB_SLOT_ASKING)) == FB_SLOT_CAPTURE;
}

/* ---- calls, whose replies come in any order ------------------------------------------------- */

/* Which inference the call in that place is of. */
static uint32_t find_call(const fb_conn *c, uint32_t place)
{
    uint32_t nth = 0;
    while (nth < c->used && c->places[ring_index(c, nth)] != place) {
        nth++;
    }
    return nth;
}

/* The peer did not take it up: it waits for the next connection. */
static int call_refused(fb_conn *c, uint32_t nth, uint32_t place)
{
    c->places[ring_index(c, nth)] = FB_CALLS_NONE;
    fb_calls_give_back(c->calls, place);
    return FB_OK;
}

static int call_ended(fb_conn *c, fb_io *io, uint32_t place)
{
    const fb_call *call = &c->calls->calls[place];
    const uint32_t nth = find_call(c, place);
    if (call->refused) {
        return call_refused(c, nth, place);
    }
    if (nth >= c->used - c->unsent) {
        return break_with(c, io, FB_E_PROTOCOL, "a reply came that no request asked for");
    }
    const fb_slot *slot = slot_at(c, nth);
    const bool hollow = call->end > c->out.sent && call->reply.outcome == FB_OUTCOME_OK;
    if (slot->flags & FB_SLOT_CAPTURE) {
        fb_lane_captured(c->lane, slot, &call->kept);
    }
    answer(c, nth, hollow ? &premature : &call->reply, io->now_ns);
    fb_lane_settle(c->lane); /* it may have ended while others were sent */
    take_out(c, nth);
    fb_calls_give_back(c->calls, place);
    return hollow
               ? break_with(c, io, FB_E_PROTOCOL, "a reply came before its request was sent whole")
               : FB_OK;
}

/* The peer takes no more calls, and those that it had taken up have ended. Where it answered none,
 * the next connection waits a little, or a peer that takes none at all would keep us busy. */
static void move_on(fb_conn *c, uint64_t now_ns)
{
    const bool answered = c->calls->answered;
    turn(c, now_ns);
    c->deadline_ns = answered ? 0 : now_ns + PAUSE_FIRST_NS;
}

/* What the protocol found to have ended, and how many calls the peer takes now. */
static int settle(fb_conn *c, fb_io *io)
{
    uint32_t place;
    while (fb_calls_next_ended(c->calls, &place)) {
        const int rc = call_ended(c, io, place);
        if (rc != FB_OK || c->fd < 0) {
            return rc;
        }
    }
    if (c->state != FB_CONN_READY) {
        return FB_OK;
    }
    const uint32_t limit = c->calls->room < pipeline(c) ? c->calls->room : pipeline(c);
    c->lane->has_room |= limit > c->limit;
    c->limit = limit;
    if (c->calls->leaves && fb_calls_under_way(c->calls) == 0) {
        move_on(c, io->now_ns);
    }
    return FB_OK;
}

static int explained(fb_conn *c, fb_io *io)
{
    c->lane->stream->protocol->explain(c->protocol_state, &io->err);
    return break_off(c, io);
}

/* The protocol decides when a call begins: from then on its position is known. */
static void note_begins(fb_conn *c)
{
    for (uint32_t nth = c->used - c->unsent; nth < c->used; nth++) {
        const uint32_t place = c->places[ring_index(c, nth)];
        const uint64_t begin =
            place != FB_CALLS_NONE ? c->calls->calls[place].begin : FB_CALLS_NOT_YET;
        if (begin == FB_CALLS_NOT_YET) {
            return;
        }
        slot_at(c, nth)->begin = begin;
    }
}

/* Has the protocol queue what may be sent now and sends it, until nothing more may be sent. */
static int send_calls(fb_conn *c, fb_io *io)
{
    for (;;) {
        if (multiplexed(c)->pump(c->protocol_state, &c->out) != FB_OK) {
            return explained(c, io);
        }
        note_begins(c);
        const uint32_t used = c->used;
        int rc = settle(c, io);
        if (rc == FB_OK && c->fd >= 0 && c->used < used &&
            fb_stream_is_closed_loop(c->lane->stream)) {
            fill_slots(c, io->now_ns); /* what ended while it was to be sent */
            continue;
        }
        if (rc != FB_OK || c->fd < 0 || fb_outq_empty(&c->out)) {
            return rc;
        }
        rc = send_queued(c, io);
        if (rc != FB_OK || c->fd < 0 || !fb_outq_empty(&c->out)) {
            return rc;
        }
    }
}

/* More in flight than the peer takes would not be the load that was asked for. */
static int greeted(fb_conn *c, fb_io *io)
{
    if (c->calls->leaves) {
        fb_error_set(&io->err, FB_E_CLOSED, 0, "the server takes no calls: %s", c->calls->farewell);
        return break_off(c, io);
    }
    if (!c->lane->started && c->calls->room < pipeline(c)) {
        fb_error_set(&io->err, FB_E_REPLY, 0,
                     "the server takes %u calls at once on a connection, not %u: lower --pipeline "
                     "and raise --connections",
                     c->calls->room, pipeline(c));
        return break_off(c, io);
    }
    return open_step(c, io);
}

static int digest_calls(fb_conn *c, fb_io *io, size_t len)
{
    const int taken = multiplexed(c)->take(c->protocol_state, io->buffer, len);
    int rc = settle(c, io);
    if (rc == FB_OK && c->fd >= 0 && taken != FB_OK) {
        return explained(c, io);
    }
    if (rc == FB_OK && c->state == FB_CONN_OPENING && c->calls->greeted) {
        rc = greeted(c, io);
    }
    return rc;
}

/* Feeds what was received to the protocol, reply by reply. */
static int digest(fb_conn *c, fb_io *io, size_t len)
{
    if (FB_UNLIKELY(c->calls != NULL)) {
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
            protocol->explain(c->protocol_state, &io->err);
            return break_off(c, io);
        }
        if (FB_UNLIKELY(capturing(c))) {
            fb_lane_capture(c->lane, slot_at(c, 0), at, (size_t)n, reply.done);
        }
        at += n;
        if (reply.done) {
            const int rc = replied(c, io, &reply);
            if (FB_UNLIKELY(rc != FB_OK || c->fd < 0)) {
                return rc;
            }
        }
    }
    return FB_OK;
}

/* recv, which for one in a few says how long the bytes had lain there. */
static ssize_t receive_some(fb_conn *c, const fb_io *io)
{
    if (FB_LIKELY(!c->stamped) || ++c->receives < STAMPED_EVERY) {
        return recv(c->fd, io->buffer, io->buffer_len, 0);
    }
    uint64_t lag_ns;
    const ssize_t n = fb_net_recv_stamped(c->fd, io->buffer, io->buffer_len, &lag_ns);
    if (n > 0 && lag_ns != FB_NET_NO_STAMP) {
        fb_watch_reply_lag(io->watch, lag_ns);
        c->receives = 0;
    }
    return n;
}

/* > 0 bytes in io->buffer; 0 = none now; < 0 = a code, with io->err. */
static long take_bytes(fb_conn *c, fb_io *io)
{
    if (c->tls) {
        return fb_tls_recv(c->tls, io->buffer, io->buffer_len, &io->err);
    }
    const ssize_t n = receive_some(c, io);
    if (n > 0) {
        return n;
    }
    if (n == 0) {
        return fb_error_set(&io->err, FB_E_CLOSED, 0, "the server closed the connection");
    }
    return errno == EAGAIN
               ? 0
               : fb_error_set(&io->err, FB_E_CLOSED, errno, "connection lost: %s", strerror(errno));
}

/* The peer has closed: that may be how its last reply ends. */
static int ended(fb_conn *c, fb_io *io)
{
    const fb_protocol *protocol = c->lane->stream->protocol;
    fb_reply reply;
    const bool clean = io->err.code == FB_E_CLOSED && io->err.sys_errno == 0;
    if (c->state == FB_CONN_READY && clean && protocol->end &&
        protocol->end(c->protocol_state, &reply)) {
        if (capturing(c)) {
            fb_lane_capture_end(c->lane, slot_at(c, 0));
        }
        const int rc = replied(c, io, &reply);
        fb_lane_settle(c->lane);
        return rc;
    }
    if (clean && c->calls && c->calls->farewell[0]) {
        fb_error_set(&io->err, FB_E_CLOSED, 0, "the server closed the connection: %s",
                     c->calls->farewell);
    }
    return break_off(c, io);
}

/* Reads until the socket is drained: a short read says so, unless the peer has also closed or TLS
 * holds more. */
static int receive(fb_conn *c, fb_io *io, bool closing)
{
    for (;;) {
        const long n = take_bytes(c, io);
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
        if (rc != FB_OK || c->fd < 0 || ((size_t)n < io->buffer_len && !closing && !c->tls)) {
            return rc;
        }
    }
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

int fb_conn_event(fb_conn *c, fb_io *io, uint32_t events)
{
    if (c->fd < 0) {
        return FB_OK; /* an event of a socket that broke earlier in this round */
    }
    /* What came with the connection, a greeting or an end, has no event of its own later. */
    int rc = establish(c, io);
    if (rc != FB_OK || c->fd < 0 || c->state < FB_CONN_OPENING) {
        return rc;
    }
    /* TLS may hold bytes that it read with others, or wait for room to answer what it read. */
    if (c->tls || (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))) {
        rc = receive(c, io, events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
    }
    if (rc == FB_OK && c->state == FB_CONN_WAITING && c->deadline_ns == 0) {
        return fb_conn_open(c, io);
    }
    if (rc != FB_OK || c->fd < 0) {
        return rc;
    }
    if (c->state == FB_CONN_READY && c->lane->started &&
        fb_stream_is_closed_loop(c->lane->stream)) {
        fill_slots(c, io->now_ns);
    }
    return fb_conn_send(c, io);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* All of them: what was sent again keeps the instant at which it was sent first, so that they are
 * not always in order of that. */
static void time_out_slots(fb_conn *c, uint64_t now_ns)
{
    const uint64_t limit = c->lane->config->timeout_ns;
    for (uint32_t i = 0; i < c->used - c->unsent; i++) {
        fb_slot *slot = slot_at(c, i);
        if (fb_route_is_on(&c->route)) {
            fb_route_time_out(&c->route, slot, ring_index(c, i), now_ns);
        } else if (slot->sent_ns + limit <= now_ns && !(slot->flags & FB_SLOT_TIMEDOUT)) {
            fb_lane_timed_out(c->lane, slot, now_ns);
        }
    }
}

/* A timed-out inference keeps its place, since replies come in order; but a peer that has then
 * been silent for as long again is taken for dead. */
static bool peer_is_dead(const fb_conn *c, uint64_t now_ns)
{
    if (c->used == c->unsent || !(slot_at(c, 0)->flags & FB_SLOT_TIMEDOUT)) {
        return false;
    }
    const uint64_t sent_ns = slot_at(c, 0)->sent_ns;
    const uint64_t heard_ns = c->received_ns > sent_ns ? c->received_ns : sent_ns;
    return now_ns > heard_ns + 2 * c->lane->config->timeout_ns;
}

/* A call that was given up long ago, while the peer answers others: its place is needed. */
static int cancel_overdue(fb_conn *c, fb_io *io)
{
    const uint64_t limit = 2 * c->lane->config->timeout_ns;
    const uint32_t used = c->used;
    for (uint32_t i = c->used - c->unsent; i > 0; i--) {
        fb_slot *slot = slot_at(c, i - 1);
        const uint32_t place = c->places[ring_index(c, i - 1)];
        if (!(slot->flags & FB_SLOT_TIMEDOUT) || io->now_ns <= slot->sent_ns + limit ||
            c->received_ns <= slot->sent_ns || place == FB_CALLS_NONE) {
            continue;
        }
        if (fb_route_is_on(&c->route)) {
            fb_route_lost(&c->route, slot, ring_index(c, i - 1), io->now_ns);
        } else {
            fb_lane_lost(c->lane, slot, io->now_ns); /* its outcome stands already */
        }
        multiplexed(c)->cancel(c->protocol_state, place);
        fb_calls_give_back(c->calls, place);
        take_out(c, i - 1);
        c->lane->has_room = true;
    }
    if (c->used == used) {
        return FB_OK;
    }
    if (fb_stream_is_closed_loop(c->lane->stream)) {
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
        time_out_slots(c, io->now_ns);
        if (peer_is_dead(c, io->now_ns)) {
            return break_with(c, io, FB_E_CLOSED, "the server went silent: time-out passed twice");
        }
        return c->calls ? cancel_overdue(c, io) : FB_OK;
    }
    return FB_OK;
}

void fb_conn_close(fb_conn *c, uint64_t now_ns)
{
    unblock(c, now_ns);
    for (uint32_t i = 0; i < c->used; i++) {
        const bool sent = i < c->used - c->unsent;
        if (fb_route_is_on(&c->route)) {
            fb_route_abandon(&c->route, slot_at(c, i), ring_index(c, i), sent);
        } else {
            fb_lane_abandoned(c->lane, slot_at(c, i), sent);
        }
    }
    c->used = c->unsent = 0;
    drop_socket(c);
}
