/* A null server's connection: every reply, every way of cutting, big bodies and slow readers. */
#include "check.h"
#include "talk.h"

#include <stdio.h>

#define ECHO_LIMIT (64 * 1024)

#define HELLO_2                                                                        \
    "*14\r\n$6\r\nserver\r\n$14\r\nfastbench-null\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n" \
    "$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"       \
    "$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
#define HELLO_3                                                                       \
    "%7\r\n$6\r\nserver\r\n$14\r\nfastbench-null\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n" \
    "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"      \
    "$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
#define BULK "$4\r\n\0\0\0\0\r\n"
#define BYTES(literal) (literal), sizeof(literal) - 1

typedef struct sample {
    const char *request;
    const char *reply;
    size_t reply_len;
} sample;

static const sample SAMPLES[] = {
    {"PING\r\n", BYTES("+PONG\r\n")},
    {"*2\r\n$4\r\nping\r\n$2\r\nhi\r\n", BYTES("$2\r\nhi\r\n")},
    {"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", BYTES("$0\r\n\r\n")},
    {"*2\r\n$4\r\nECHO\r\n$5\r\na\r\nbc\r\n", BYTES("$5\r\na\r\nbc\r\n")},
    {"*1\r\n$4\r\nECHO\r\n", BYTES("+OK\r\n")},
    {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nGET\r\n", BYTES("+OK\r\n")},
    {"AUTH a b\r\nSELECT 1\r\nCLIENT SETNAME x\r\nFLUSHALL\r\nNONSENSE\r\n",
     BYTES("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n")},
    {"GET k\r\nai.tensorget k BLOB\r\n", BYTES(BULK BULK)},
    {"AI.TENSORSET k FLOAT 1 BLOB abcd\r\nAI.MODELEXECUTE m INPUTS 1 a OUTPUTS 1 b\r\n"
     "AI.TENSORGET b BLOB\r\n",
     BYTES("+OK\r\n+OK\r\n" BULK)},
    {"AI.DAGRUN |> AI.TENSORSET x |> AI.MODELRUN m |> AI.TENSORGET y\r\n",
     BYTES("*3\r\n+OK\r\n+OK\r\n" BULK)},
    {"AI.DAGEXECUTE LOAD 1 a |> AI.TENSORGET a |> AI.SCRIPTEXECUTE s |> ai.tensorget a |> "
     "AI.TENSORGET b\r\n",
     BYTES("*4\r\n" BULK "+OK\r\n" BULK BULK)},
    {"AI.DAGEXECUTE_RO ROUTING x\r\n", BYTES("*0\r\n")},
    {"AI.DAGRUN_RO |> AI.TENSORGET y\r\nPING\r\n", BYTES("*1\r\n" BULK "+PONG\r\n")},
    {"HELLO\r\nHELLO 3\r\nHELLO\r\nHELLO 2\r\nHELLO\r\n",
     BYTES(HELLO_2 HELLO_3 HELLO_3 HELLO_2 HELLO_2)},
    {"HELLO 4\r\nHELLO x\r\n", BYTES("-NOPROTO unsupported protocol version\r\n"
                                     "-NOPROTO unsupported protocol version\r\n")},
    {"COMMAND DOCS\r\n", BYTES("*0\r\n")},
    {"INFO\r\n", BYTES("$79\r\n# Server\r\nredis_version:7.0.0\r\nfastbench_null_server:1\r\n"
                       "redis_mode:standalone\r\n\r\n")},
    {"\r\n\r\n*0\r\n", BYTES("")},
};

#define N_SAMPLES (sizeof SAMPLES / sizeof *SAMPLES)

/* Every command gets its reply, given whole and byte by byte. */
static void test_replies(void)
{
    for (size_t i = 0; i < 2 * N_SAMPLES; i++) {
        const sample *s = &SAMPLES[i / 2];
        talk t;
        REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, false, 1 << 16));
        say(&t, s->request, strlen(s->request), i % 2 == 0 ? SIZE_MAX : 1, true);
        hear(&t, s->reply_len);
        serve(&t);
        (void)read_replies(&t);
        check_replies(&t, s->reply, s->reply_len);
        CHECK_EQ(FB_NULLCONN_READS, t.state);
        CHECK_EQ(strlen(s->request), t.space.bytes);
        talk_close(&t);
    }
}

/* All commands of all samples many times over one connection, cut at odd places, are answered in
 * order. */
static void test_pipeline(void)
{
    static const size_t cuts[] = {1, 7, 100, 4096, 70000, SIZE_MAX};
    for (size_t cut = 0; cut < sizeof cuts / sizeof *cuts; cut++) {
        char *requests = malloc(1 << 20);
        uint8_t *replies = malloc(1 << 20);
        size_t request_len = 0;
        size_t reply_len = 0;
        for (int round = 0; round < 100; round++) {
            for (size_t i = 0; i < N_SAMPLES; i++) {
                const sample *s = &SAMPLES[i];
                memcpy(requests + request_len, s->request, strlen(s->request));
                request_len += strlen(s->request);
                memcpy(replies + reply_len, s->reply, s->reply_len);
                reply_len += s->reply_len;
            }
        }
        talk t;
        REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, cut % 2 == 0, 1 << 20));
        say(&t, requests, request_len, cuts[cut], true);
        hear(&t, reply_len);
        check_replies(&t, replies, reply_len);
        talk_close(&t);
        free(requests);
        free(replies);
    }
}

/* A text is echoed up to 64 KiB; a longer one is only acknowledged. */
static void echo_of(size_t len, size_t cut)
{
    const size_t n_echoes = 9; /* more than the connection has memory for at a time */
    char *request = malloc(len + 64);
    uint8_t *expected = malloc(n_echoes * (len + 64));
    size_t request_len = (size_t)snprintf(request, 64, "*2\r\n$4\r\nECHO\r\n$%zu\r\n", len);
    char head[32];
    const size_t head_len = (size_t)snprintf(head, sizeof head, "$%zu\r\n", len);
    size_t expected_len = 0;
    for (size_t i = 0; i < len; i++) {
        request[request_len + i] = (char)(i * 31 % 251);
    }
    for (size_t i = 0; i < n_echoes; i++) {
        if (len > ECHO_LIMIT) {
            memcpy(expected + expected_len, "+OK\r\n", 5);
            expected_len += 5;
            continue;
        }
        memcpy(expected + expected_len, head, head_len);
        memcpy(expected + expected_len + head_len, request + request_len, len);
        memcpy(expected + expected_len + head_len + len, "\r\n", 2);
        expected_len += head_len + len + 2;
    }
    memcpy(request + request_len + len, "\r\n", 2);
    request_len += len + 2;
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, false, expected_len + 1));
    for (size_t i = 0; i < n_echoes; i++) {
        say(&t, request, request_len, cut, true);
    }
    hear(&t, expected_len);
    check_replies(&t, expected, expected_len);
    talk_close(&t);
    free(request);
    free(expected);
}

static void test_echo(void)
{
    static const size_t lengths[] = {1, 23, 24, 1000, ECHO_LIMIT, ECHO_LIMIT + 1, 300000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        echo_of(lengths[i], SIZE_MAX);
        echo_of(lengths[i], 1234);
    }
}

/* Long bodies pass over TCP and unix sockets, also in small pieces, and what follows is read. */
static void big_body(bool tcp, size_t cut)
{
    const size_t len = 3000000;
    char *request = malloc(len + 64);
    size_t request_len =
        (size_t)snprintf(request, 64, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", len);
    memset(request + request_len, 'x', len);
    request_len += len;
    memcpy(request + request_len, "\r\nPING\r\n", 8);
    request_len += 8;
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, tcp, 1 << 10));
    for (int i = 0; i < 3; i++) {
        say(&t, request, request_len, cut, true);
    }
    hear(&t, 36);
    check_replies(&t, "+OK\r\n+PONG\r\n+OK\r\n+PONG\r\n+OK\r\n+PONG\r\n", 36);
    CHECK_EQ(6, t.space.requests);
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

/* A client that does not take its replies is not read any further; once it does, every reply
 * comes, in order. */
static void test_backpressure(void)
{
    const size_t reply_bytes = 100000;
    const size_t reply_len = reply_bytes + 11;
    const size_t n = 100;
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, reply_bytes, false, n * (reply_len + 7) + 1));
    for (size_t i = 0; i < n; i++) {
        say(&t, "GET k\r\nPING\r\n", 13, SIZE_MAX, false);
    }
    CHECK_EQ(FB_NULLCONN_BLOCKED, t.state);
    CHECK(t.space.requests < 2 * n);
    const uint64_t read_before = t.space.bytes;
    serve(&t);
    CHECK_EQ(read_before, t.space.bytes);
    hear(&t, n * (reply_len + 7));
    CHECK_EQ(n * (reply_len + 7), t.received_len);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *reply = t.received + i * (reply_len + 7);
        CHECK(memcmp(reply, "$100000\r\n\0", 10) == 0);
        CHECK(memcmp(reply + reply_len - 2, "\r\n+PONG\r\n", 9) == 0);
    }
    talk_close(&t);
}

/* Every command may be answered by a value, except those that redis answers in its own way. */
static void test_always_bulk(void)
{
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 3, true, 100));
    t.replies.always_bulk = true;
    say(&t, "SET k v\r\nLPUSH l x\r\nPING\r\nGET k\r\n", 33, SIZE_MAX, false);
    hear(&t, 9 + 9 + 7 + 9);
    CHECK_EQ(9 + 9 + 7 + 9, t.received_len);
    CHECK(memcmp(t.received, "$3\r\n\0\0\0\r\n$3\r\n\0\0\0\r\n+PONG\r\n$3\r\n\0\0\0\r\n", 34) == 0);
    talk_close(&t);
}

/* A whole read full of commands whose replies are many pieces waits its turn and is answered. */
static void test_more_than_room(void)
{
    const size_t n = 20000;
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 1, true, n * 14 + 1));
    char *requests = malloc(n * 13);
    for (size_t i = 0; i < n; i++) {
        memcpy(requests + 13 * i, "GET k\r\nPING\r\n", 13);
    }
    say(&t, requests, n * 13, SIZE_MAX, true);
    hear(&t, n * 14);
    for (size_t i = 0; i < n; i++) {
        CHECK(memcmp(t.received + 14 * i, "$1\r\n\0\r\n+PONG\r\n", 14) == 0);
    }
    CHECK_EQ(n * 14, t.received_len);
    free(requests);
    talk_close(&t);
}

/* What is no request is answered with redis' error, after the replies before it, and ends the
 * connection. */
static void test_protocol_error(void)
{
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, true, 1 << 10));
    const char request[] = "PING\r\nSET a b\r\n*1\r\n:1\r\nPING\r\n";
    const char reply[] = "+PONG\r\n+OK\r\n-ERR Protocol error: expected '$', got ':'\r\n";
    say(&t, request, sizeof request - 1, SIZE_MAX, true);
    hear(&t, sizeof reply - 1);
    check_replies(&t, reply, sizeof reply - 1);
    CHECK_EQ(FB_NULLCONN_GONE, t.state);
    talk_close(&t);
}

/* QUIT is answered and ends the connection; commands after it are not. */
static void test_quit(void)
{
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, false, 1 << 10));
    say(&t, "PING\r\nQUIT\r\nPING\r\n", 18, SIZE_MAX, true);
    hear(&t, 12);
    check_replies(&t, "+PONG\r\n+OK\r\n", 12);
    CHECK_EQ(FB_NULLCONN_GONE, t.state);
    talk_close(&t);
}

/* A client that closes, or closes its side only, is gone after what it had sent is answered. */
static void test_client_ends(void)
{
    talk t;
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, false, 1 << 10));
    CHECK_EQ(6, send(t.client, "PING\r\n", 6, 0));
    CHECK_EQ(0, shutdown(t.client, SHUT_WR));
    CHECK_EQ(FB_NULLCONN_GONE, fb_nullconn_serve(t.conn, true));
    hear(&t, 7);
    check_replies(&t, "+PONG\r\n", 7);
    talk_close(&t);
    REQUIRE(talk_open(&t, FB_PROTOCOL_RESP, 4, false, 1 << 10));
    CHECK_EQ(9, send(t.client, "GET k\r\nGE", 9, 0));
    (void)close(t.client);
    CHECK_EQ(FB_NULLCONN_GONE, fb_nullconn_serve(t.conn, true));
    t.client = -1;
    talk_close(&t);
}

int main(void)
{
    RUN(test_replies);
    RUN(test_pipeline);
    RUN(test_echo);
    RUN(test_big_bodies);
    RUN(test_backpressure);
    RUN(test_always_bulk);
    RUN(test_more_than_room);
    RUN(test_protocol_error);
    RUN(test_quit);
    RUN(test_client_ends);
    return check_result();
}
