/* A null server's connection that speaks gRPC: calls of every size, cut in every way, many at
 * once, behind windows, and what is no gRPC. */
#include "h2_client.h"
#include "nullgrpc.h"
#include "nullserver.h"
#include "talk.h"

#include <pthread.h>

#define ROOM (1 << 22)
#define PATH "/s.S/M"
#define CUSTOMERS 4
#define CALLS 100

static h2_client client;

/* Carries bytes both ways until `ended` calls have, or nothing moves for a very long time. */
static void carry(talk *t, uint32_t ended)
{
    const uint8_t *bytes = NULL;
    while (h2_ended(&client) < ended && t->state != FB_NULLCONN_GONE) {
        const ssize_t n = nghttp2_session_mem_send(client.session, &bytes);
        REQUIRE(n >= 0);
        if (n > 0) {
            say(t, bytes, (size_t)n, SIZE_MAX, true);
        } else {
            hear(t, 1);
        }
        REQUIRE(nghttp2_session_mem_recv(client.session, t->received, t->received_len) ==
                (ssize_t)t->received_len);
        t->received_len = 0;
    }
}

static void check_answer(const h2_answer *a, uint64_t message_len)
{
    CHECK(strcmp(a->http_status, "200") == 0);
    CHECK(strcmp(a->content_type, "application/grpc") == 0);
    CHECK(strcmp(a->grpc_status, "0") == 0);
    CHECK(a->ended);
    CHECK_EQ(0, a->reset);
    CHECK_EQ(5 + message_len, a->body_len);
    CHECK_EQ(0, a->nonzero);
    CHECK_EQ(0, a->first[0]);
    CHECK_EQ(message_len, (uint32_t)a->first[1] << 24 | (uint32_t)a->first[2] << 16 |
                              (uint32_t)a->first[3] << 8 | a->first[4]);
}

/* The bytes of two calls as a client first sends them. */
static void two_calls(uint8_t *wire, size_t room, size_t *len)
{
    const uint8_t *bytes = NULL;
    *len = 0;
    REQUIRE(h2_open(&client));
    client.message_len = 40;
    (void)h2_call_path(&client, PATH);
    client.message_len = 0; /* its head ends it */
    (void)h2_call_path(&client, PATH);
    client.message_len = 40;
    for (ssize_t n; (n = nghttp2_session_mem_send(client.session, &bytes)) > 0;) {
        REQUIRE(*len + (size_t)n <= room);
        memcpy(wire + *len, bytes, (size_t)n);
        *len += (size_t)n;
    }
}

/* Calls get their replies wherever they are cut in two, on both kinds of socket. */
static void test_every_cut(void)
{
    uint8_t wire[1024];
    for (size_t cut = 1, len = 2; cut < len; cut++) {
        talk t;
        two_calls(wire, sizeof wire, &len);
        REQUIRE(talk_open(&t, FB_PROTOCOL_GRPC, 12, cut % 2 == 0, ROOM));
        say(&t, wire, cut, SIZE_MAX, true);
        say(&t, wire + cut, len - cut, SIZE_MAX, true);
        carry(&t, 2);
        check_answer(&client.answers[0], 12);
        check_answer(&client.answers[1], 12);
        CHECK_EQ(2, t.space.requests);
        CHECK(t.state == FB_NULLCONN_READS);
        h2_close(&client);
        talk_close(&t);
    }
}

/* Wide windows and long frames are allowed, and very many calls at once. */
static void test_what_it_announces(void)
{
    talk t;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 0, true, ROOM));
    (void)h2_call_path(&client, PATH);
    carry(&t, 1);
    check_answer(&client.answers[0], 0);
    CHECK_EQ(FB_NULLGRPC_WINDOW, client.window_max);
    CHECK_EQ(FB_NULLGRPC_WINDOW, client.frame_max_announced);
    CHECK_EQ(FB_NULLGRPC_STREAMS, client.streams_max);
    h2_close(&client);
    talk_close(&t);
}

/* Messages longer than any window arrive, whatever frames they come in; the bytes are counted. */
static void big_messages(bool tcp, size_t frame_max, size_t pad)
{
    const size_t len = 10000000;
    talk t;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 4, tcp, ROOM));
    client.message_len = len;
    client.frame_max = frame_max;
    client.pad = pad;
    for (int i = 0; i < 3; i++) {
        (void)h2_call_path(&client, PATH);
    }
    carry(&t, 3);
    for (int i = 0; i < 3; i++) {
        check_answer(&client.answers[i], 4);
    }
    CHECK_EQ(3, t.space.requests);
    CHECK(t.space.bytes > 3 * len && t.space.bytes < 3 * len + len / 50);
    h2_close(&client);
    talk_close(&t);
}

static void test_big_messages(void)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        big_messages(tcp == 1, 16384, 0);
        big_messages(tcp == 1, 100001, 0);
        big_messages(tcp == 1, 1 << 22, 0);
        big_messages(tcp == 1, 16384, 200);
    }
}

/* Many calls at once, with replies that are longer together than the windows of the client. */
static void test_many_calls(void)
{
    talk t;
    const uint32_t n = 1500;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 3000, true, ROOM));
    client.message_len = 10;
    carry(&t, 0);
    for (uint32_t i = 0; i < n; i++) {
        (void)h2_call_path(&client, PATH);
    }
    carry(&t, n);
    for (uint32_t i = 0; i < n; i++) {
        check_answer(&client.answers[i], 3000);
    }
    CHECK_EQ(n, t.space.requests);
    h2_close(&client);
    talk_close(&t);
}

/* A long reply goes out as the client's windows open. */
static void test_long_reply(void)
{
    talk t;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 5000000, false, ROOM));
    (void)h2_call_path(&client, PATH);
    carry(&t, 1);
    check_answer(&client.answers[0], 5000000);
    h2_close(&client);
    talk_close(&t);
}

/* A client that does not take its replies is not read any further; then every one comes. */
static void test_backpressure(void)
{
    const uint8_t *bytes = NULL;
    talk t;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 60000, false, ROOM));
    REQUIRE(nghttp2_session_set_local_window_size(client.session, NGHTTP2_FLAG_NONE, 0, 1 << 30) ==
            0);
    for (int i = 0; i < 50; i++) {
        (void)h2_call_path(&client, PATH);
    }
    for (ssize_t n; (n = nghttp2_session_mem_send(client.session, &bytes)) > 0;) {
        say(&t, bytes, (size_t)n, SIZE_MAX, false);
    }
    CHECK_EQ(FB_NULLCONN_BLOCKED, t.state);
    carry(&t, 50);
    for (int i = 0; i < 50; i++) {
        check_answer(&client.answers[i], 60000);
    }
    h2_close(&client);
    talk_close(&t);
}

/* What the caller wants said at a path is said there, the usual everywhere else. */
static void test_answers_by_path(void)
{
    const fb_nullanswer answers[] = {
        {.path = "/a", .body = (const uint8_t *)"hello", .body_len = 5},
        {.path = "/ab", .body_len = 0},
    };
    const fb_nullreplies_config replies = {
        .protocol = FB_PROTOCOL_GRPC, .reply_bytes = 2, .n_answers = 2, .answers = answers};
    talk t;
    REQUIRE(h2_open(&client) && talk_open_with(&t, &replies, true, ROOM));
    (void)h2_call_path(&client, "/a");
    (void)h2_call_path(&client, "/ab");
    (void)h2_call_path(&client, "/abc");
    carry(&t, 3);
    CHECK_EQ(10, client.answers[0].body_len);
    CHECK(memcmp(client.answers[0].first, "\0\0\0\0\5hello", 10) == 0);
    check_answer(&client.answers[1], 0);
    check_answer(&client.answers[2], 2);
    h2_close(&client);
    talk_close(&t);
}

/* A call that the client gives up is forgotten, and others are answered. */
static void test_given_up(void)
{
    const uint8_t *bytes = NULL;
    talk t;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 100000, true, ROOM));
    const h2_answer *a = h2_call_path(&client, PATH);
    while (client.answers[0].body_len == 0) {
        const ssize_t n = nghttp2_session_mem_send(client.session, &bytes);
        say(&t, bytes, (size_t)n, SIZE_MAX, true);
        (void)nghttp2_session_mem_recv(client.session, t.received, t.received_len);
        t.received_len = 0;
    }
    (void)nghttp2_submit_rst_stream(client.session, NGHTTP2_FLAG_NONE, a->id, NGHTTP2_CANCEL);
    (void)h2_call_path(&client, PATH);
    carry(&t, 1);
    check_answer(&client.answers[1], 100000);
    CHECK(!client.answers[0].ended);
    h2_close(&client);
    talk_close(&t);
}

/* Says all that the client has to say now; what comes meanwhile it does not look at. */
static void say_all(talk *t)
{
    const uint8_t *bytes = NULL;
    for (ssize_t n; (n = nghttp2_session_mem_send(client.session, &bytes)) > 0;) {
        say(t, bytes, (size_t)n, SIZE_MAX, true);
    }
}

/* A client that says it leaves while replies wait for its window gets every one; with the last the
 * connection ends, though the client says nothing more. */
static void test_goaway(void)
{
    talk t;
    const uint32_t n = 1500;
    REQUIRE(h2_open(&client) && talk_open(&t, FB_PROTOCOL_GRPC, 3000, true, ROOM));
    (void)h2_call_path(&client, PATH);
    carry(&t, 1); /* it knows how many calls it may make at once */
    for (uint32_t i = 1; i < n; i++) {
        (void)h2_call_path(&client, PATH);
    }
    say_all(&t);
    CHECK_EQ(n, t.space.requests);
    CHECK_EQ(
        0, nghttp2_submit_goaway(client.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0));
    say_all(&t);
    CHECK_EQ(FB_NULLCONN_READS, t.state);
    CHECK_EQ(0,
             nghttp2_session_set_local_window_size(client.session, NGHTTP2_FLAG_NONE, 0, 1 << 30));
    say_all(&t);
    while (h2_ended(&client) < n) {
        hear(&t, 1);
        REQUIRE(nghttp2_session_mem_recv(client.session, t.received, t.received_len) ==
                (ssize_t)t.received_len);
        t.received_len = 0;
    }
    CHECK_EQ(FB_NULLCONN_GONE, t.state);
    for (uint32_t i = 0; i < n; i++) {
        check_answer(&client.answers[i], 3000);
    }
    h2_close(&client);
    talk_close(&t);
}

/* What is not HTTP/2 ends the connection, and so does a frame that may not be. */
static void test_no_grpc(void)
{
    static const char *const said[] = {
        "GET / HTTP/1.1\r\n\r\n............",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\1\0\1\0\0\0\0x", /* DATA on no stream */
    };
    static const size_t lens[] = {30, 34};
    for (int i = 0; i < 2; i++) {
        talk t;
        REQUIRE(talk_open(&t, FB_PROTOCOL_GRPC, 2, i == 0, ROOM));
        say(&t, said[i], lens[i], SIZE_MAX, true);
        while (t.state != FB_NULLCONN_GONE) {
            serve(&t);
            (void)read_replies(&t);
        }
        CHECK_EQ(0, t.space.requests);
        talk_close(&t);
    }
}

/* One client of test_threads: calls with a tensor each, several at once. */
static void *customer(void *argument)
{
    const fb_address *address = argument;
    uint8_t received[65536];
    const uint8_t *bytes = NULL;
    h2_client *c = malloc(sizeof *c);
    const int fd = fb_net_connect(address, NULL);
    bool ok = c != NULL && h2_open(c) && sockets_wait(fd, POLLOUT);
    for (int i = 0; i < CALLS && ok; i++) {
        c->message_len = 200000;
        (void)h2_call_path(c, PATH);
    }
    while (ok && h2_ended(c) < CALLS) {
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        for (ssize_t sent; n > 0; n -= sent, bytes += sent) {
            sent = send(fd, bytes, (size_t)n, MSG_NOSIGNAL);
            sent = sent > 0 ? sent : 0;
            ok = ok && (sent > 0 || (errno == EAGAIN && sockets_wait(fd, POLLOUT)));
            n = ok ? n : 0;
        }
        while (ok && (n = recv(fd, received, sizeof received, 0)) > 0) {
            ok = nghttp2_session_mem_recv(c->session, received, (size_t)n) == n;
        }
        ok = ok && n < 0 && errno == EAGAIN &&
             (nghttp2_session_want_write(c->session) || h2_ended(c) == CALLS ||
              sockets_wait(fd, POLLIN));
    }
    (void)close(fd);
    h2_close(c);
    free(c);
    return ok ? argument : NULL;
}

/* Several clients at once, on two threads of a server. */
static void test_threads(void)
{
    const fb_nullserver_config config = {
        .host = "127.0.0.1",
        .threads = 2,
        .replies = {.protocol = FB_PROTOCOL_GRPC, .reply_bytes = 4004},
    };
    fb_nullserver *server = fb_nullserver_new(&config, NULL);
    REQUIRE(server != NULL && fb_nullserver_start(server, NULL) == FB_OK);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    pthread_t customers[CUSTOMERS];
    for (int i = 0; i < CUSTOMERS; i++) {
        REQUIRE(pthread_create(&customers[i], NULL, customer, &address) == 0);
    }
    for (int i = 0; i < CUSTOMERS; i++) {
        void *result = NULL;
        CHECK_EQ(0, pthread_join(customers[i], &result));
        CHECK(result != NULL);
    }
    uint64_t requests = 0;
    for (uint32_t i = 0; i < 2; i++) {
        fb_nullserver_usage usage;
        fb_nullserver_stats(server, i, &usage);
        requests += usage.requests;
    }
    CHECK_EQ(CUSTOMERS * CALLS, requests);
    fb_nullserver_free(server);
}

int main(void)
{
    RUN(test_every_cut);
    RUN(test_what_it_announces);
    RUN(test_big_messages);
    RUN(test_many_calls);
    RUN(test_long_reply);
    RUN(test_backpressure);
    RUN(test_answers_by_path);
    RUN(test_given_up);
    RUN(test_goaway);
    RUN(test_no_grpc);
    RUN(test_threads);
    return check_result();
}
