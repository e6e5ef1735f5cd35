/* One connection whose replies come in the order of its requests. */
#include "conn_rig.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MS FB_NS_PER_MS
#define OK_REPLY "+OK\r\n"
#define PING_BYTES (sizeof LOAD_PING - 1)

/* Ready, begun, and the first window received at the peer. */
static bool rig_run(rig *r)
{
    if (!rig_open(r) || !rig_accept(r)) {
        return false;
    }
    step_to(r, FB_CONN_READY);
    begin(r);
    receive(r, r->load.stream.pipeline * PING_BYTES);
    return true;
}

/* Without an opening a connection is ready when it stands, and quiet until load begins. */
static void test_becomes_ready(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    CHECK_EQ(1, r.lane.ready);
    CHECK_EQ(0, r.lane.counts.intended);
    begin(&r);
    receive(&r, PING_BYTES);
    CHECK_STR(LOAD_PING, r.wire);
    CHECK_EQ(1, r.lane.counts.sent);
    rig_close(&r);
}

/* Opening steps go out one by one, each after the reply to the one before. */
static void test_opens_step_by_step(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    const fb_part second_part = load_text("SECOND");
    const fb_message_config steps[] = {r.load.opening,
                                       {.parts = &second_part, .n_parts = 1, .replies = 1}};
    r.load.stream.openings = steps;
    r.load.stream.n_openings = 2;
    REQUIRE(rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_OPENING);
    receive(&r, r.load.opening_part.len);
    CHECK_EQ(0, r.conn.opening);
    answer(&r, OK_REPLY);
    CHECK_EQ(FB_OK, step(&r));
    receive(&r, 6);
    CHECK_STR("SECOND", r.wire);
    CHECK_EQ(FB_CONN_OPENING, r.conn.state);
    answer(&r, OK_REPLY);
    step_to(&r, FB_CONN_READY);
    CHECK_EQ(r.load.opening_part.len + 6, r.lane.bytes_sent);
    rig_close(&r);
}

/* Bytes received count for the replies of measure only from its first instant on. */
static void test_bytes_of_measure(void)
{
    for (int warm = 0; warm < 2; warm++) {
        rig r;
        REQUIRE(rig_init(&r));
        r.load.stream.openings = &r.load.opening;
        r.load.stream.n_openings = 1;
        r.load.config.warmup_ns = warm ? 3600 * FB_NS_PER_S : 0;
        REQUIRE(rig_open(&r) && rig_accept(&r));
        step_to(&r, FB_CONN_OPENING);
        receive(&r, r.load.opening_part.len);
        answer(&r, OK_REPLY);
        step_to(&r, FB_CONN_READY);
        begin(&r);
        receive(&r, PING_BYTES);
        answer(&r, "+A LONGER ONE\r\n");
        while (r.lane.completed < 1 && step(&r) == FB_OK) {
        }
        CHECK_EQ(5 + 15, r.lane.bytes_received);
        CHECK_EQ(warm ? 0 : 15, r.lane.bytes_in_window);
        CHECK_EQ(warm ? 0 : 1, r.lane.answered_in_window);
        rig_close(&r);
    }
}

/* A full pipeline leaves at once; each reply frees one slot, which is filled again. */
static void test_window_slides(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.stream.pipeline = 3;
    REQUIRE(rig_run(&r));
    CHECK_EQ(3, r.conn.flight.used);
    answer_ok(&r, OK_REPLY, 1);
    receive(&r, PING_BYTES);
    answer_ok(&r, OK_REPLY OK_REPLY, 3);
    receive(&r, 2 * PING_BYTES);
    CHECK_EQ(6, r.lane.counts.sent);
    CHECK_EQ(3, r.conn.flight.used);
    rig_close(&r);
}

/* A reply byte by byte counts with its last byte, not before. */
static void test_reply_byte_by_byte(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    for (const char *c = OK_REPLY; *c; c++) {
        CHECK_EQ(0, r.lane.counts.ok);
        CHECK_EQ(1, send(r.peer, c, 1, MSG_NOSIGNAL));
        CHECK_EQ(FB_OK, step(&r));
    }
    CHECK_EQ(1, r.lane.counts.ok);
    rig_close(&r);
}

/* A long reply is read in several turns, each of which ends with an event for the next, although
 * nothing more arrives. */
static void test_long_reply_lets_others_have_their_turn(void)
{
    enum { LEN = 60000, SHARE = 4 * 1024 };
    static char body[LEN + 2];
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    memcpy(body + LEN, "\r\n", 2);
    answer(&r, "$60000\r\n");
    CHECK_EQ(sizeof body, send(r.peer, body, sizeof body, MSG_NOSIGNAL));
    r.io.buffer_len = SHARE / 4;
    uint64_t before = r.lane.bytes_received;
    int turns = 0;
    for (; r.lane.counts.ok == 0 && turns < 100 && step(&r) == FB_OK; turns++) {
        CHECK(r.lane.bytes_received - before <= SHARE);
        before = r.lane.bytes_received;
    }
    CHECK_EQ(1, r.lane.counts.ok);
    CHECK(turns >= LEN / SHARE);
    rig_close(&r);
}

/* What arrives together with the connection is read, although no other event will come. */
static void test_greeting_that_comes_with_the_connection(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.stream.n_openings = 1;
    REQUIRE(rig_open(&r) && rig_accept(&r));
    answer(&r, "-ERR max number of clients reached\r\n");
    REQUIRE(sockets_wait(r.conn.link.fd, POLLIN)); /* it is there before the first event is taken */
    CHECK_EQ(FB_E_REPLY, step(&r));
    CHECK(strstr(r.io.err.text, "max number of clients") != NULL);
    rig_close(&r);
}

/* A peer that hung up before the first event is noticed by that event, not by a time-out. */
static void test_hang_up_that_comes_with_the_connection(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_open(&r) && rig_accept(&r));
    rig_hang_up(&r);
    REQUIRE(sockets_wait(r.conn.link.fd, POLLIN));
    CHECK_EQ(FB_E_CLOSED, step(&r));
    CHECK_EQ(0, r.lane.ready);
    rig_close(&r);
}

/* Before load every break ends the run, with its reason. */
static void test_breaks_before_load_are_fatal(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    answer(&r, OK_REPLY);
    CHECK_EQ(FB_E_PROTOCOL, step(&r));
    rig_close(&r);

    REQUIRE(rig_init(&r) && rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    answer(&r, "HTTP/1.1 400\r\n");
    CHECK_EQ(FB_E_PROTOCOL, step(&r));
    CHECK(strstr(r.io.err.text, "not RESP") != NULL);
    rig_close(&r);

    REQUIRE(rig_init(&r));
    r.load.stream.n_openings = 1;
    REQUIRE(rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_OPENING);
    r.io.now_ns += r.load.config.connect_timeout_ns;
    CHECK_EQ(FB_E_CONNECT, fb_conn_tick(&r.conn, &r.io));
    rig_close(&r);
}

/* When load runs, a break costs what was in flight and nothing else. */
static void test_break_costs_what_was_in_flight(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.stream.pipeline = 3;
    REQUIRE(rig_run(&r));
    answer(&r, OK_REPLY "gar");
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK_EQ(1, r.lane.counts.ok);
    CHECK_EQ(2, r.lane.counts.lost);
    CHECK_EQ(1, r.lane.breaks);
    CHECK_EQ(0, r.lane.reconnects);
    CHECK_EQ(0, r.lane.ready);
    CHECK_EQ(3, r.conn.flight.used); /* the next ones wait for the connection already */
    CHECK_EQ(3, r.conn.flight.unsent);
    /* It opens again after its pause, and what waited is sent. */
    r.io.now_ns = r.conn.deadline_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    receive(&r, 3 * PING_BYTES);
    answer_ok(&r, OK_REPLY OK_REPLY OK_REPLY, 4);
    rig_close(&r);
}

/* What had not left when the connection broke is what leaves next, with its own rows. */
static void test_unsent_inferences_survive_a_break(void)
{
    enum { ROW = 32 << 20 };
    const fb_part parts[] = {load_text("row "),
                             {.kind = FB_PART_FIELD, .field = FB_FIELD_ROW, .width = 2},
                             {.kind = FB_PART_PAYLOAD, .rows = 1}};
    rig r;
    const int fd = memfd_create("fastbench-test", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)ROW * 9) == 0);
    uint8_t *rows = mmap(NULL, (size_t)ROW * 9, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(rows != MAP_FAILED);
    const fb_data data = {.fd = fd, .row_bytes = ROW, .rows = 9, .base = rows};
    REQUIRE(rig_init(&r));
    r.load.stream.data = &data;
    r.load.stream.n_data = 1;
    r.load.stream.pipeline = 3;
    r.load.message.parts = parts;
    r.load.message.n_parts = 3;
    REQUIRE(rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    begin(&r); /* the socket takes a part of row 0 and nothing of the others */
    CHECK_EQ(1, r.lane.counts.sent);
    CHECK_EQ(2, r.conn.flight.unsent);
    CHECK_EQ(1, r.lane.blocked);
    rig_hang_up(&r);
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(1, r.lane.counts.lost);
    CHECK_EQ(0, r.lane.blocked);
    CHECK_EQ(3, r.conn.flight.unsent);
    r.io.now_ns = r.conn.deadline_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    receive(&r, 6);
    CHECK_STR("row 01", r.wire);
    rig_close(&r);
    (void)munmap(rows, (size_t)ROW * 9);
    (void)close(fd);
}

/* A reply longer than the buffer is read to its end by one event: there may be no other. */
static void test_reply_longer_than_the_buffer(void)
{
    static char reply[5000] = "$4985\r\n";
    int there = 0;
    rig r;
    memset(reply + 7, 'x', 4985);
    (void)strcpy(reply + 7 + 4985, OK_REPLY + 3);
    REQUIRE(rig_init(&r) && rig_run(&r));
    r.io.buffer_len = 64;
    answer(&r, reply);
    while (there < (int)strlen(reply)) {
        REQUIRE(ioctl(r.conn.link.fd, FIONREAD, &there) == 0);
    }
    while (r.lane.counts.ok == 0 && epoll_pending(&r)) {
        CHECK_EQ(FB_OK, step(&r));
    }
    CHECK_EQ(1, r.lane.counts.ok);
    rig_close(&r);
}

/* A reply before its request was sent whole is from a peer that does not follow its protocol. */
static void test_reply_before_its_request(void)
{
    static uint8_t big[64 << 20];
    rig r;
    REQUIRE(rig_init(&r));
    memset(big, 'x', sizeof big);
    r.load.part = (fb_part){.kind = FB_PART_TEXT, .bytes = big, .len = sizeof big};
    REQUIRE(rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    begin(&r);
    CHECK_EQ(1, r.lane.counts.sent);
    CHECK(!fb_outq_empty(&r.conn.link.out));
    answer(&r, OK_REPLY);
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK(strstr(r.lane.last_break.text, "before its request") != NULL);
    rig_close(&r);
}

/* A reply more than was asked for breaks the connection: nobody knows whose it was. */
static void test_unasked_reply(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    answer(&r, OK_REPLY OK_REPLY);
    CHECK_EQ(FB_OK, step(&r));
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK_EQ(1, r.lane.counts.ok);
    CHECK(strstr(r.lane.last_break.text, "no request asked for") != NULL);
    rig_close(&r);
}

/* A time-out counts once; the late reply keeps its place in the order and counts as late. */
static void test_time_out_keeps_step(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.stream.pipeline = 2;
    REQUIRE(rig_run(&r));
    r.io.now_ns = r.conn.flight.slots[0].sent_ns + r.load.config.timeout_ns - 1;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(0, r.lane.counts.timeouts);
    r.io.now_ns++;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(2, r.lane.counts.timeouts); /* they left together */
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(2, r.lane.counts.timeouts);
    CHECK_EQ(2, r.conn.flight.used);
    answer(&r, OK_REPLY OK_REPLY);
    CHECK_EQ(FB_OK, step(&r));
    CHECK_EQ(2, r.lane.late);
    CHECK_EQ(0, r.lane.counts.ok);
    receive(&r, 2 * PING_BYTES);
    answer_ok(&r, OK_REPLY OK_REPLY, 2);
    CHECK_EQ(2, r.lane.late);
    rig_close(&r);
}

/* A peer that stays silent for two time-outs is taken for dead. */
static void test_silent_peer_is_dead(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    const uint64_t sent_ns = r.conn.flight.slots[0].sent_ns;
    r.io.now_ns = sent_ns + r.load.config.timeout_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(FB_CONN_READY, r.conn.state);
    r.io.now_ns = sent_ns + 2 * r.load.config.timeout_ns + 1;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK_EQ(1, r.lane.counts.timeouts);
    CHECK_EQ(0, r.lane.counts.lost);
    rig_close(&r);
}

/* Pauses double from 10 ms to one second. */
static void test_backs_off(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    (void)close(r.listener);
    rig_hang_up(&r);
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    uint64_t expected = 10 * MS;
    for (int i = 0; i < 12; i++) {
        CHECK_EQ(FB_CONN_WAITING, r.conn.state);
        CHECK_EQ(expected, r.conn.deadline_ns - r.io.now_ns);
        r.io.now_ns = r.conn.deadline_ns - 1;
        CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
        CHECK_EQ(FB_CONN_WAITING, r.conn.state);
        r.io.now_ns++;
        CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
        for (int k = 0; k < 20 && r.conn.state == FB_CONN_CONNECTING; k++) {
            CHECK_EQ(FB_OK, step(&r));
        }
        expected = expected * 2 < FB_NS_PER_S ? expected * 2 : FB_NS_PER_S;
    }
    CHECK_EQ(1, r.lane.counts.lost);
    CHECK_EQ(13, r.lane.breaks);
    CHECK_EQ(0, r.lane.reconnects);
    r.listener = epoll_create1(EPOLL_CLOEXEC); /* something for rig_close to close */
    rig_close(&r);
}

/* A server that accepts and closes is tried ever more seldom, too; an answer begins anew, or a
 * connection that had stood for a second. */
static void test_backs_off_until_something_is_answered(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    const uint64_t expected[] = {10 * MS, 20 * MS, 40 * MS, 10 * MS, 20 * MS, 10 * MS};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        if (i == 3) {
            answer_ok(&r, OK_REPLY, 1);
        }
        if (i == 5) {
            r.conn.ready_ns -= 2 * FB_NS_PER_S; /* it has stood for long */
        }
        rig_hang_up(&r);
        while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
        }
        CHECK_EQ(expected[i], r.conn.deadline_ns - r.io.now_ns);
        r.io.now_ns = r.conn.deadline_ns;
        CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
        REQUIRE(rig_accept(&r));
        step_to(&r, FB_CONN_READY);
    }
    rig_close(&r);
}

/* The lane knows since when nothing was answered, whatever connects in between. */
static void test_down_until_something_is_answered(void)
{
    rig r;
    REQUIRE(rig_init(&r) && rig_run(&r));
    rig_hang_up(&r);
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    const uint64_t down_ns = r.lane.down_since_ns;
    CHECK(down_ns != 0);
    r.io.now_ns = r.conn.deadline_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    rig_hang_up(&r);
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(down_ns, r.lane.down_since_ns);
    r.io.now_ns = r.conn.deadline_ns;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    answer_ok(&r, OK_REPLY, 1);
    CHECK_EQ(0, r.lane.down_since_ns);
    rig_close(&r);
}

/* A unix listener whose backlog is full is tried again until the limit for connecting. */
static void test_full_backlog(void)
{
    char folder[] = "/tmp/fastbench-conn-XXXXXX";
    char path[64];
    rig r;
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/s", folder);
    REQUIRE(rig_init(&r));
    const int listener = fb_net_listen_unix(path, NULL);
    REQUIRE(listener >= 0 && listen(listener, 0) == 0);
    fb_address address;
    REQUIRE(fb_address_unix(&address, path, NULL) == FB_OK);
    const int first = fb_net_connect(&address, NULL); /* fills the backlog */
    load_init(&r.load, path, 0);
    REQUIRE(rig_open(&r));
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(FB_CONN_WAITING, r.conn.state);
    CHECK_EQ(0, r.lane.reconnects);
    r.io.now_ns += r.load.config.connect_timeout_ns;
    CHECK_EQ(FB_E_CONNECT, fb_conn_tick(&r.conn, &r.io));
    rig_close(&r);
    (void)close(first);
    (void)close(listener);
    (void)unlink(path);
    (void)rmdir(folder);
}

/* Kept replies hold the bytes of their inference, those of its neighbours apart. */
static void test_keeps_reply_bytes(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.stream.pipeline = 3;
    r.load.config.requests = 3;
    r.load.config.captures = 3;
    r.load.config.capture_bytes = 32;
    REQUIRE(rig_run(&r));
    answer_ok(&r, "+first\r\n$6\r\nmid", 1);
    answer_ok(&r, "dle\r\n+third\r\n", 3);
    const char *expected[] = {"+first\r\n", "$6\r\nmiddle\r\n", "+third\r\n"};
    for (int i = 0; i < 3; i++) {
        const fb_capture *c = &r.lane.captures[i];
        CHECK(c->whole);
        CHECK_EQ(strlen(expected[i]), c->len);
        CHECK_EQ(0, memcmp(expected[i], c->bytes, c->len));
    }
    rig_close(&r);
}

/* Closed at the end: what was sent is unfinished, what was not is never sent. */
static void test_close_accounts_for_all(void)
{
    rig r;
    REQUIRE(rig_init(&r));
    r.load.stream.pipeline = 2;
    REQUIRE(rig_run(&r));
    answer_ok(&r, OK_REPLY, 1);
    fb_conn_close(&r.conn, fb_now_ns());
    CHECK_EQ(2, r.lane.counts.unfinished);
    CHECK_EQ(0, r.lane.counts.never_sent);
    rig_close(&r);
}

/* ---- a peer that closes after its reply (HTTP) ---------------------------------------------- */

#define HTTP_GET "GET / HTTP\r\n\r\n" /* as long as PING; the test's peer does not look at it */
#define HTTP_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define HTTP_LAST "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
#define HTTP_TO_END "HTTP/1.1 200 OK\r\n\r\nhi"

static bool rig_http(rig *r)
{
    if (!rig_init(r)) {
        return false;
    }
    r->load.part = load_text(HTTP_GET);
    r->load.stream.protocol = FB_PROTOCOL_HTTP;
    return true;
}

/* What the peer had not read when it closed goes out again over a new connection, once in the
 * books; what had timed out does not. */
static void test_last_reply_opens_again(void)
{
    rig r;
    REQUIRE(rig_http(&r));
    r.load.stream.pipeline = 3;
    r.load.config.requests = 4;
    REQUIRE(rig_run(&r));
    answer(&r, HTTP_LAST);
    while (r.conn.link.fd >= 0 && r.lane.counts.ok == 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(FB_CONN_CONNECTING, r.conn.state);
    CHECK_EQ(3, r.conn.flight.unsent);
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    receive(&r, 3 * PING_BYTES);
    CHECK_EQ(4, r.lane.counts.sent);
    answer_ok(&r, HTTP_OK HTTP_OK HTTP_OK, 4);
    CHECK_EQ(0, r.lane.counts.lost);
    CHECK_EQ(0, r.lane.breaks);
    CHECK_EQ(1, r.lane.reconnects);
    CHECK_EQ(0, r.lane.down_since_ns);
    rig_close(&r);
}

/* Sockets of this host with that port at their other end, from FIN_WAIT1 to TIME_WAIT. */
static int ports_kept(uint16_t server_port)
{
    enum { FIN_WAIT1 = 4, FIN_WAIT2 = 5, TIME_WAIT = 6 };
    FILE *file = fopen("/proc/net/tcp", "r");
    char line[256];
    int kept = file ? 0 : -1;
    while (file && fgets(line, sizeof line, file)) {
        unsigned port = 0;
        unsigned state = 0;
        kept += sscanf(line, "%*d: %*[0-9A-F]:%*x %*[0-9A-F]:%x %x", &port, &state) == 2 &&
                port == server_port && state >= FIN_WAIT1 && state <= TIME_WAIT;
    }
    if (file) {
        (void)fclose(file);
    }
    return kept;
}

/* Where the server closes after each reply, no port of ours is kept: a minute of that would leave
 * none. */
static void test_last_replies_free_their_ports(void)
{
    enum { REPLIES = 20 };
    rig r;
    REQUIRE(rig_http(&r));
    r.load.config.requests = REPLIES + 1;
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    REQUIRE(getsockname(r.listener, (struct sockaddr *)&address, &len) == 0);
    const int others = ports_kept(ntohs(address.sin_port)); /* by who had that port before us */
    REQUIRE(rig_run(&r));
    for (int i = 1; i <= REPLIES; i++) {
        answer_ok(&r, HTTP_LAST, (uint64_t)i);
        REQUIRE(rig_accept(&r)); /* which closes the one before, after the client did */
        step_to(&r, FB_CONN_READY);
        receive(&r, PING_BYTES);
    }
    CHECK(ports_kept(ntohs(address.sin_port)) <= others);
    CHECK_EQ(REPLIES, r.lane.reconnects);
    CHECK_EQ(0, r.lane.counts.lost);
    rig_close(&r);
}

/* The run ends before they went out again: they were sent once, and their replies never came. */
static void test_sent_before_is_unfinished(void)
{
    rig r;
    REQUIRE(rig_http(&r));
    r.load.stream.pipeline = 3;
    r.load.config.requests = 4;
    REQUIRE(rig_run(&r));
    answer(&r, HTTP_LAST);
    while (r.conn.link.fd >= 0 && r.lane.counts.ok == 0 && step(&r) == FB_OK) {
    }
    fb_conn_close(&r.conn, fb_now_ns());
    CHECK_EQ(3, r.lane.counts.sent);
    CHECK_EQ(2, r.lane.counts.unfinished);
    CHECK_EQ(1, r.lane.counts.never_sent);
    CHECK_EQ(4, r.lane.counts.intended);
    rig_close(&r);
}

/* An inference that had timed out is not sent again: its outcome stands. */
static void test_last_reply_after_a_time_out(void)
{
    rig r;
    REQUIRE(rig_http(&r));
    r.load.stream.pipeline = 2;
    r.load.config.requests = 2;
    REQUIRE(rig_run(&r));
    r.io.now_ns = fb_now_ns() + r.load.config.timeout_ns + MS;
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(2, r.lane.counts.timeouts);
    answer(&r, HTTP_LAST);
    while (r.lane.late == 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(0, r.conn.flight.used);
    CHECK_EQ(0, r.lane.counts.lost);
    rig_close(&r);
}

/* A reply that ends with the connection is whole, and kept whole; one that was cut off is lost. */
static void test_reply_to_the_end_of_the_connection(void)
{
    rig r;
    REQUIRE(rig_http(&r));
    r.load.config.captures = 1;
    r.load.config.capture_bytes = sizeof HTTP_TO_END;
    r.load.config.requests = 2;
    REQUIRE(rig_run(&r));
    answer(&r, HTTP_TO_END);
    CHECK_EQ(FB_OK, step(&r));
    CHECK_EQ(0, r.lane.counts.ok);
    rig_hang_up(&r);
    while (r.lane.counts.ok == 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(1, r.lane.counts.ok);
    CHECK(r.lane.captures[0].whole);
    CHECK_EQ(sizeof HTTP_TO_END - 1, r.lane.captures[0].len);
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    answer(&r, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi");
    CHECK_EQ(FB_OK, step(&r));
    rig_hang_up(&r);
    while (r.conn.link.fd >= 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(1, r.lane.counts.lost);
    CHECK_EQ(1, r.lane.breaks);
    rig_close(&r);
}

/* In an open loop what is to be sent again may be taken elsewhere: it stays sent in the books. */
static void test_sent_again_elsewhere(void)
{
    rig r;
    REQUIRE(rig_http(&r));
    r.load.stream.pipeline = 2;
    r.load.stream.schedule = (fb_schedule){.arrivals = FB_ARRIVALS_RECORDED};
    r.load.stream.max_outstanding = 4;
    REQUIRE(rig_run(&r));
    answer(&r, HTTP_LAST);
    while (r.lane.counts.ok == 0 && step(&r) == FB_OK) {
    }
    fb_slot slot;
    REQUIRE(fb_conn_take_back(&r.conn, &slot));
    CHECK(slot.flags & FB_SLOT_SENT);
    REQUIRE(rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    const uint64_t first_sent_ns = slot.sent_ns;
    fb_conn_take(&r.conn, &slot);
    CHECK_EQ(FB_OK, fb_conn_send(&r.conn, &r.io));
    CHECK_EQ(2, r.lane.counts.sent);
    CHECK_EQ(first_sent_ns, r.conn.flight.slots[r.conn.flight.head].sent_ns);
    answer_ok(&r, HTTP_OK, 2);
    rig_close(&r);
}

/* An open loop may put what was sent elsewhere before behind what was sent later: its time is over
 * all the same, and then it is not sent again. */
static void test_time_outs_in_any_order(void)
{
    rig r;
    fb_slot old;
    fb_slot young;
    REQUIRE(rig_http(&r));
    r.load.stream.pipeline = 3;
    r.load.stream.schedule = (fb_schedule){.arrivals = FB_ARRIVALS_RECORDED};
    r.load.stream.max_outstanding = 4;
    REQUIRE(rig_open(&r) && rig_accept(&r));
    step_to(&r, FB_CONN_READY);
    r.io.now_ns = fb_now_ns();
    fb_lane_begin(&r.lane, r.io.now_ns);
    REQUIRE(fb_lane_admit(&r.lane, r.io.now_ns, &old));
    old.sent_ns = r.io.now_ns;
    old.flags |= FB_SLOT_SENT;
    fb_lane_sent(&r.lane, &old);
    for (int i = 0; i < 2; i++) {
        REQUIRE(fb_lane_admit(&r.lane, r.io.now_ns, &young));
        fb_conn_take(&r.conn, &young);
    }
    fb_conn_take(&r.conn, &old);
    CHECK_EQ(FB_OK, fb_conn_send(&r.conn, &r.io));
    receive(&r, 3 * PING_BYTES);
    r.io.now_ns = old.sent_ns + r.load.config.timeout_ns;
    REQUIRE(r.conn.flight.slots[0].sent_ns > old.sent_ns);
    CHECK_EQ(FB_OK, fb_conn_tick(&r.conn, &r.io));
    CHECK_EQ(1, r.lane.counts.timeouts);
    answer(&r, HTTP_LAST);
    while (r.lane.counts.ok == 0 && step(&r) == FB_OK) {
    }
    CHECK_EQ(1, r.conn.flight.unsent);
    CHECK_EQ(1, r.conn.flight.used);
    CHECK_EQ(0, r.lane.counts.lost);
    rig_close(&r);
}

/* TLS may know that the first bytes of a record left only when all of it has: what begins in it
 * left then, what was queued later did not. */
static void test_begun_before_it_is_known(void)
{
    rig r;
    fb_slot slot;
    REQUIRE(rig_init(&r));
    r.load.stream.pipeline = 2;
    r.load.stream.schedule = (fb_schedule){.arrivals = FB_ARRIVALS_RECORDED};
    r.load.stream.max_outstanding = 4;
    REQUIRE(rig_open(&r) && rig_accept(&r));
    r.conn.link.begun_ns = 1; /* a record of the opening, which is over then */
    r.conn.link.begun = UINT64_MAX;
    step_to(&r, FB_CONN_READY);
    CHECK_EQ(0, r.conn.link.begun_ns);
    r.io.now_ns = fb_now_ns();
    fb_lane_begin(&r.lane, r.io.now_ns);
    REQUIRE(fb_lane_admit(&r.lane, r.io.now_ns, &slot));
    fb_conn_take(&r.conn, &slot);
    const uint64_t begun_ns = fb_now_ns();
    r.conn.link.begun = r.conn.link.out.pushed;
    r.conn.link.begun_ns = begun_ns;
    REQUIRE(fb_lane_admit(&r.lane, begun_ns, &slot));
    fb_conn_take(&r.conn, &slot);
    const uint64_t later_ns = fb_now_ns();
    CHECK_EQ(FB_OK, fb_conn_send(&r.conn, &r.io));
    CHECK_EQ(begun_ns, r.conn.flight.slots[0].sent_ns);
    CHECK(r.conn.flight.slots[1].sent_ns >= later_ns);
    CHECK_EQ(0, r.conn.link.begun_ns);
    rig_close(&r);
}

int main(void)
{
    RUN(test_becomes_ready);
    RUN(test_opens_step_by_step);
    RUN(test_bytes_of_measure);
    RUN(test_window_slides);
    RUN(test_reply_byte_by_byte);
    RUN(test_long_reply_lets_others_have_their_turn);
    RUN(test_greeting_that_comes_with_the_connection);
    RUN(test_hang_up_that_comes_with_the_connection);
    RUN(test_breaks_before_load_are_fatal);
    RUN(test_break_costs_what_was_in_flight);
    RUN(test_unsent_inferences_survive_a_break);
    RUN(test_reply_longer_than_the_buffer);
    RUN(test_reply_before_its_request);
    RUN(test_unasked_reply);
    RUN(test_time_out_keeps_step);
    RUN(test_silent_peer_is_dead);
    RUN(test_backs_off);
    RUN(test_backs_off_until_something_is_answered);
    RUN(test_down_until_something_is_answered);
    RUN(test_full_backlog);
    RUN(test_keeps_reply_bytes);
    RUN(test_close_accounts_for_all);
    RUN(test_last_reply_opens_again);
    RUN(test_last_replies_free_their_ports);
    RUN(test_sent_before_is_unfinished);
    RUN(test_last_reply_after_a_time_out);
    RUN(test_reply_to_the_end_of_the_connection);
    RUN(test_sent_again_elsewhere);
    RUN(test_time_outs_in_any_order);
    RUN(test_begun_before_it_is_known);
    return check_result();
}
