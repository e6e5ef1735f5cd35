/* The two ends of `fastbench net` against each other, and each against strangers. */

#include "netprobe.h"
#include "netserve.h"

#include "check.h"
#include "clock.h"
#include "sockets.h"

#include <pthread.h>

#define PATIENCE_NS (60 * FB_NS_PER_S)

static fb_netserve *start_server(void)
{
    fb_netserve *server = fb_netserve_new("127.0.0.1", 0, NULL);
    CHECK(server != NULL && fb_netserve_start(server, NULL) == FB_OK);
    return server;
}

static int connect_to(uint16_t port)
{
    fb_address address;
    CHECK_EQ(FB_OK, fb_address_tcp(&address, "127.0.0.1", port, NULL));
    const int fd = fb_net_connect(&address, NULL);
    CHECK(fd >= 0 && sockets_wait(fd, POLLOUT));
    fb_netwire_block(fd, PATIENCE_NS);
    return fd;
}

/* Reads until the peer closes; returns how many bytes came. */
static size_t read_all(int fd, uint8_t *into, size_t room)
{
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, into + len, room - len, 0)) > 0) {
        len += (size_t)n;
    }
    return len;
}

static void check_books(const fb_netprobe_result *r)
{
    CHECK_EQ(r->client.sent_bytes, r->server.received_bytes);
    CHECK_EQ(r->client.received_bytes, r->server.sent_bytes);
    CHECK_EQ(r->client.transactions, r->server.transactions);
    CHECK_STR("reno", r->client.socket.congestion);
    CHECK_STR("reno", r->server.socket.congestion);
    CHECK_EQ(1, r->server.socket.nodelay);
    CHECK(r->client.elapsed_ns > 0 && r->server.elapsed_ns > 0);
}

/* Transactions of several sizes: exactly as many bytes as they should have, each timed. */
static void test_rr(void)
{
    static const uint64_t sizes[][2] = {{1, 1}, {602112, 100}, {100, 602112}, {3000001, 1500001}};
    fb_netserve *server = start_server();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const fb_nettest test = {FB_NETWIRE_RR, sizes[i][0], sizes[i][1], 20 * FB_NS_PER_MS,
                                 50 * FB_NS_PER_MS};
        fb_error err = {0};
        fb_netprobe *p =
            fb_netprobe_new("127.0.0.1", fb_netserve_port(server), &test, PATIENCE_NS, &err);
        REQUIRE(p != NULL);
        CHECK_EQ(FB_OK, fb_netprobe_run(p, &err));
        CHECK_STR("", err.text);
        const fb_netprobe_result *r = fb_netprobe_outcome(p);
        check_books(r);
        CHECK(r->measured >= 1 && r->measured <= r->client.transactions);
        CHECK_EQ(r->measured, r->latency.total + r->latency.clipped);
        CHECK_EQ(r->client.transactions * sizes[i][0], r->client.sent_bytes);
        CHECK_EQ(r->client.transactions * sizes[i][1], r->client.received_bytes);
        CHECK(r->measured_ns >= r->latency.max_ns);
        CHECK((double)r->measured_ns >= r->latency.sum_ns);
        fb_netprobe_free(p);
    }
    fb_netserve_stats stats;
    fb_netserve_stop(server);
    fb_netserve_count(server, &stats);
    CHECK_EQ(4, stats.served);
    CHECK_EQ(0, stats.refused + stats.broken);
    fb_netserve_free(server);
}

/* Streams either way: every byte arrives, and the receiver has a window of the time asked for. */
static void test_streams(void)
{
    fb_netserve *server = start_server();
    for (uint64_t kind = FB_NETWIRE_STREAM; kind <= FB_NETWIRE_MAERTS; kind++) {
        const fb_nettest test = {kind, 65536 + 7, 1, 20 * FB_NS_PER_MS, 100 * FB_NS_PER_MS};
        fb_error err = {0};
        fb_netprobe *p =
            fb_netprobe_new("127.0.0.1", fb_netserve_port(server), &test, PATIENCE_NS, &err);
        REQUIRE(p != NULL);
        CHECK_EQ(FB_OK, fb_netprobe_run(p, &err));
        CHECK_STR("", err.text);
        const fb_netprobe_result *r = fb_netprobe_outcome(p);
        const bool up = kind == FB_NETWIRE_STREAM;
        const fb_netcounts *receiver = up ? &r->server : &r->client;
        check_books(r);
        CHECK_EQ(0, (up ? r->client.sent_bytes : r->server.sent_bytes) % test.request_bytes);
        CHECK_EQ(0, up ? r->server.sent_bytes : r->client.sent_bytes);
        CHECK(receiver->window_bytes > 0 && receiver->window_bytes <= receiver->received_bytes);
        CHECK(receiver->window_ns > 0);
        fb_netprobe_free(p);
    }
    fb_netserve_free(server);
}

/* A probe that finds something else, or nothing, says so. */
static void expect_failure(uint16_t port, int code, const char *says)
{
    const fb_nettest test = {FB_NETWIRE_RR, 1, 1, 0, FB_NS_PER_MS};
    fb_error err = {0};
    fb_netprobe *p = fb_netprobe_new("127.0.0.1", port, &test, 200 * FB_NS_PER_MS, &err);
    REQUIRE(p != NULL);
    CHECK_EQ(code, fb_netprobe_run(p, &err));
    CHECK(strstr(err.text, says) != NULL);
    CHECK_EQ(code, err.code);
    fb_netprobe_free(p);
}

typedef struct stranger {
    const uint8_t *says; /* NULL = nothing */
    size_t len;
    int listener;
} stranger;

static void *run_stranger(void *argument)
{
    const stranger *s = argument;
    uint8_t hello[FB_NETWIRE_HELLO_LEN];
    CHECK(sockets_wait(s->listener, POLLIN));
    const int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK_EQ(sizeof hello, recv(fd, hello, sizeof hello, MSG_WAITALL));
    if (s->says != NULL) {
        CHECK_EQ(s->len, send(fd, s->says, s->len, MSG_NOSIGNAL));
    }
    while (recv(fd, hello, sizeof hello, 0) > 0) {
        /* until the probe gives up */
    }
    (void)close(fd);
    return NULL;
}

static void meet_stranger(const uint8_t *says, size_t len, int code, const char *text)
{
    uint16_t port = 0;
    stranger s = {says, len, fb_net_listen_tcp("127.0.0.1", &port, NULL)};
    pthread_t thread;
    REQUIRE(s.listener >= 0 && pthread_create(&thread, NULL, run_stranger, &s) == 0);
    expect_failure(port, code, text);
    (void)pthread_join(thread, NULL);
    (void)close(s.listener);
}

static void test_wrong_servers(void)
{
    static const char redis[] = "-ERR unknown command\r\n";
    static const char http[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    meet_stranger((const uint8_t *)redis, sizeof redis - 1, FB_E_PROTOCOL, "no `fastbench net");
    meet_stranger((const uint8_t *)http, sizeof http - 1, FB_E_PROTOCOL, "no `fastbench net");
    meet_stranger(NULL, 0, FB_E_CONNECT, "nothing came for 0.2 s");

    uint8_t answer[FB_NETWIRE_ANSWER_LEN];
    fb_netwire_write_answer(answer, FB_NETWIRE_BUSY);
    meet_stranger(answer, sizeof answer, FB_E_REPLY, "no room");
    fb_netwire_write_answer(answer, FB_NETWIRE_LIMITS);
    meet_stranger(answer, sizeof answer, FB_E_REPLY, "refuses");
    fb_netwire_write_answer(answer, FB_NETWIRE_VERSION_DIFFERS);
    answer[15] = 42;
    meet_stranger(answer, sizeof answer, FB_E_REPLY, "version 42");
    fb_netwire_write_answer(answer, FB_NETWIRE_ACCEPTED);
    meet_stranger(answer, sizeof answer, FB_E_CONNECT, "in the middle of a transaction");
}

static void test_nobody_listens(void)
{
    uint16_t port = 0;
    const int listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    (void)close(listener);
    expect_failure(port, FB_E_CONNECT, "net serve` running");
}

/* A server that is not started yet accepts nobody: the greeting does not come. */
static void test_no_greeting(void)
{
    fb_netserve *server = fb_netserve_new("127.0.0.1", 0, NULL);
    REQUIRE(server != NULL);
    expect_failure(fb_netserve_port(server), FB_E_CONNECT, "greeting");
    fb_netserve_free(server);
}

/* A stray client reads one line that says what this is, and is gone. */
static void test_stray_client(void)
{
    static const char *strays[] = {"GET / HTTP/1.1\r\n\r\n", "*1\r\n$4\r\nPING\r\n",
                                   "\0\0\0\0\0\0\0\0"};
    fb_netserve *server = start_server();
    for (size_t i = 0; i < 3; i++) {
        const int fd = connect_to(fb_netserve_port(server));
        uint8_t got[256] = {0};
        CHECK_EQ(8, send(fd, strays[i], 8, MSG_NOSIGNAL));
        const size_t len = read_all(fd, got, sizeof got - 1);
        CHECK(len > 2 && got[len - 1] == '\n');
        CHECK(strstr((const char *)got, "fastbench net serve") != NULL);
        (void)close(fd);
    }
    fb_netserve_stats stats;
    fb_netserve_stop(server);
    fb_netserve_count(server, &stats);
    CHECK_EQ(3, stats.refused);
    CHECK_EQ(0, stats.served + stats.broken);
    fb_netserve_free(server);
}

/* A hello beyond the limits, or of another version, is answered by why not. */
static void test_hello_refused(void)
{
    const fb_nettest huge = {FB_NETWIRE_RR, UINT64_MAX, UINT64_MAX, 0, UINT64_MAX};
    fb_netserve *server = start_server();
    for (int i = 0; i < 2; i++) {
        uint8_t hello[FB_NETWIRE_HELLO_LEN];
        uint8_t got[64];
        uint64_t version = 0;
        uint64_t status = 0;
        fb_netwire_write_hello(hello, &huge);
        hello[15] = (uint8_t)(FB_NETWIRE_VERSION + i);
        const int fd = connect_to(fb_netserve_port(server));
        CHECK_EQ(sizeof hello, send(fd, hello, sizeof hello, MSG_NOSIGNAL));
        CHECK_EQ(FB_NETWIRE_ANSWER_LEN, read_all(fd, got, sizeof got));
        CHECK_EQ(FB_OK, fb_netwire_read_answer(got, &version, &status));
        CHECK_EQ(i == 0 ? FB_NETWIRE_LIMITS : FB_NETWIRE_VERSION_DIFFERS, status);
        (void)close(fd);
    }
    fb_netserve_free(server);
}

/* One client more than there is room for is told so; once they have gone there is room again. */
static void test_full_house(void)
{
    const fb_nettest test = {FB_NETWIRE_RR, 1, 1, 0, FB_NS_PER_MS};
    fb_netserve *server = start_server();
    int clients[FB_NETSERVE_MAX_CLIENTS];
    uint8_t hello[FB_NETWIRE_HELLO_LEN];
    uint8_t answer[FB_NETWIRE_ANSWER_LEN];
    uint64_t version;
    uint64_t status = 99;
    fb_netwire_write_hello(hello, &test);
    for (int i = 0; i < FB_NETSERVE_MAX_CLIENTS; i++) {
        clients[i] = connect_to(fb_netserve_port(server));
        CHECK_EQ(sizeof hello, send(clients[i], hello, sizeof hello, MSG_NOSIGNAL));
        CHECK_EQ(sizeof answer, recv(clients[i], answer, sizeof answer, MSG_WAITALL));
    }
    const int fd = connect_to(fb_netserve_port(server));
    CHECK_EQ(FB_NETWIRE_ANSWER_LEN, recv(fd, answer, sizeof answer, MSG_WAITALL));
    CHECK_EQ(FB_OK, fb_netwire_read_answer(answer, &version, &status));
    CHECK_EQ(FB_NETWIRE_BUSY, status);
    (void)close(fd);
    uint8_t report[FB_NETWIRE_REPORT_LEN + 1];
    for (int i = 0; i < FB_NETSERVE_MAX_CLIENTS; i++) {
        (void)shutdown(clients[i], SHUT_WR);
        CHECK_EQ(FB_NETWIRE_REPORT_LEN, read_all(clients[i], report, sizeof report));
        (void)close(clients[i]);
    }
    fb_netserve_free(server);
}

static void *run_probe(void *argument)
{
    fb_error err = {0};
    CHECK_EQ(FB_E_CLOSED, fb_netprobe_run(argument, &err));
    CHECK_STR("stopped", err.text);
    return NULL;
}

/* A test that would go on for an hour ends when it is told to; so does its server. */
static void test_stop(void)
{
    fb_netserve *server = start_server();
    for (uint64_t kind = FB_NETWIRE_RR; kind <= FB_NETWIRE_MAERTS; kind++) {
        const fb_nettest test = {kind, 1000, 1000, 0, FB_NETWIRE_MAX_NS};
        fb_netprobe *p =
            fb_netprobe_new("127.0.0.1", fb_netserve_port(server), &test, PATIENCE_NS, NULL);
        pthread_t thread;
        REQUIRE(p != NULL && pthread_create(&thread, NULL, run_probe, p) == 0);
        (void)poll(NULL, 0, 20); /* it may have got anywhere by then */
        fb_netprobe_stop(p);
        (void)pthread_join(thread, NULL);
        fb_netprobe_free(p);
    }
    const int silent = connect_to(fb_netserve_port(server)); /* and says nothing */
    fb_netserve_free(server);
    uint8_t byte;
    CHECK(recv(silent, &byte, 1, 0) <= 0);
    (void)close(silent);
}

static void test_bad_arguments(void)
{
    const fb_nettest test = {FB_NETWIRE_RR, 0, 1, 0, 1};
    const fb_nettest fine = {FB_NETWIRE_RR, 1, 1, 0, 1};
    fb_error err = {0};
    CHECK(fb_netprobe_new("127.0.0.1", 1, &test, 1, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    CHECK(fb_netprobe_new("localhost", 1, &fine, 1, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    CHECK(fb_netserve_new("no address", 0, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    fb_netprobe_free(NULL);
    fb_netserve_free(NULL);
}

int main(void)
{
    RUN(test_rr);
    RUN(test_streams);
    RUN(test_wrong_servers);
    RUN(test_nobody_listens);
    RUN(test_no_greeting);
    RUN(test_stray_client);
    RUN(test_hello_refused);
    RUN(test_full_house);
    RUN(test_stop);
    RUN(test_bad_arguments);
    return check_result();
}
