/* A null server's connection that speaks HTTP: every reply, every way of cutting, big bodies. */
#include "talk.h"

#include <stdio.h>

#define HEAD                                        \
    "HTTP/1.1 200 OK\r\nServer: fastbench-null\r\n" \
    "Content-Type: application/octet-stream\r\n"
#define OK HEAD "Content-Length: 4\r\n\r\n\0\0\0\0"
#define LAST_HEAD HEAD "Connection: close\r\nContent-Length: 4\r\n\r\n"
#define BYTES(literal) (literal), sizeof(literal) - 1

typedef struct sample {
    const char *requests;
    const char *replies;
    size_t replies_len;
    bool closes; /* the connection, after the replies */
} sample;

static const sample SAMPLES[] = {
    {"GET / HTTP/1.1\r\n\r\n", BYTES(OK), false},
    {"POST /v1/x?y HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /PUT / HTTP/1.1\r\n\r\n",
     BYTES(OK OK), false},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", BYTES(OK),
     false},
    {"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", BYTES(HEAD "Content-Length: 4\r\n\r\n" OK),
     false},
    {"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
     BYTES(OK LAST_HEAD "\0\0\0\0"), true},
    /* A client of HTTP/1.0 must not take the connection for kept. */
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", BYTES(LAST_HEAD "\0\0\0\0"), true},
    {"HEAD / HTTP/1.0\r\n\r\n", BYTES(LAST_HEAD), true},
    {"GET / HTTP/1.1\r\n\r\nPING\r\n",
     BYTES(OK "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
              "Content-Length: 35\r\n\r\nnot a request line of HTTP/1: PING\n"),
     true},
};

#define N_SAMPLES (sizeof SAMPLES / sizeof *SAMPLES)

/* Every request gets its reply, cut in two at every place, on both kinds of socket. */
static void test_every_cut(void)
{
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const sample *const s = &SAMPLES[i];
        const size_t len = strlen(s->requests);
        for (size_t cut = 1; cut <= len; cut++) {
            talk t;
            REQUIRE(talk_open(&t, FB_PROTOCOL_HTTP, 4, cut % 2 == 0, 1 << 12));
            say(&t, s->requests, cut, SIZE_MAX, true);
            say(&t, s->requests + cut, len - cut, SIZE_MAX, true);
            hear(&t, s->replies_len);
            check_replies(&t, s->replies, s->replies_len);
            CHECK_EQ(s->closes ? FB_NULLCONN_GONE : FB_NULLCONN_READS, t.state);
            talk_close(&t);
        }
    }
}

/* What a client sends after its last request is not answered. */
static void test_nothing_after_the_last(void)
{
    const char requests[] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_HTTP, 4, false, 1 << 12));
    say(&t, requests, sizeof requests - 1, SIZE_MAX, true);
    hear(&t, sizeof(LAST_HEAD) - 1 + 4);
    CHECK_EQ(1, t.space.requests);
    CHECK_EQ(FB_NULLCONN_GONE, t.state);
    talk_close(&t);
}

/* Long bodies pass over TCP and unix sockets, also in small pieces, and what follows is read. */
static void big_body(bool tcp, size_t cut)
{
    const size_t len = 3000000;
    char *request = malloc(len + 128);
    size_t request_len =
        (size_t)snprintf(request, 128, "POST / HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", len);
    memset(request + request_len, '\r', len);
    request_len += len;
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_HTTP, 4, tcp, 1 << 12));
    for (int i = 0; i < 3; i++) {
        say(&t, request, request_len, cut, true);
    }
    hear(&t, 3 * (sizeof(OK) - 1));
    check_replies(&t, BYTES(OK OK OK));
    CHECK_EQ(3, t.space.requests);
    CHECK_EQ(3 * request_len, t.space.bytes);
    talk_close(&t);
    free(request);
}

static void test_big_bodies(void)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        big_body(tcp == 1, SIZE_MAX);
        big_body(tcp == 1, 50001);
    }
}

/* Many requests in one write, more than there is room for replies, are all answered in order;
 * an empty body is one too. */
static void test_pipeline(void)
{
    static const char request[] = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
    static const char reply[] = HEAD "Content-Length: 0\r\n\r\n";
    const size_t n = 5000;
    const size_t request_len = sizeof request - 1;
    const size_t reply_len = sizeof reply - 1;
    char *requests = malloc(n * request_len);
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_HTTP, 0, true, n * reply_len + 1));
    for (size_t i = 0; i < n; i++) {
        memcpy(requests + i * request_len, request, request_len);
    }
    say(&t, requests, n * request_len, 70001, true);
    hear(&t, n * reply_len);
    for (size_t i = 0; i < n; i++) {
        CHECK(memcmp(t.received + i * reply_len, reply, reply_len) == 0);
    }
    CHECK_EQ(n, t.space.requests);
    free(requests);
    talk_close(&t);
}

/* A client that does not take its replies is not read any further; then every one comes. */
static void test_backpressure(void)
{
    const size_t body = 1000000;
    const size_t reply_len =
        sizeof(HEAD) - 1 + sizeof("Content-Length: 1000000\r\n\r\n") - 1 + body;
    const size_t n = 20;
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_HTTP, body, false, n * reply_len + 1));
    for (size_t i = 0; i < n; i++) {
        say(&t, "GET / HTTP/1.1\r\n\r\n", 18, SIZE_MAX, false);
    }
    CHECK_EQ(FB_NULLCONN_BLOCKED, t.state);
    hear(&t, n * reply_len);
    CHECK_EQ(n * reply_len, t.received_len);
    for (size_t i = 0; i < n; i++) {
        CHECK(memcmp(t.received + i * reply_len, "HTTP/1.1 200 OK\r\n", 17) == 0);
    }
    talk_close(&t);
}

int main(void)
{
    RUN(test_every_cut);
    RUN(test_nothing_after_the_last);
    RUN(test_big_bodies);
    RUN(test_pipeline);
    RUN(test_backpressure);
    return check_result();
}
