/* The null server as its clients see it: many connections, threads, figures, and its end. */
#include "check.h"
#include "clock.h"
#include "http.h"
#include "nullserver.h"
#include "sockets.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#define CLIENTS 8
#define ROUNDS 200

static fb_nullserver *started(const fb_nullserver_config *config)
{
    fb_error err = {0};
    fb_nullserver *server = fb_nullserver_new(config, &err);
    if (server == NULL || fb_nullserver_start(server, &err) != FB_OK) {
        fprintf(stderr, "%s\n", err.text);
        fb_nullserver_free(server);
        return NULL;
    }
    return server;
}

static fb_nullserver_config tcp_config(uint32_t threads)
{
    return (fb_nullserver_config){
        .host = "127.0.0.1",
        .threads = threads,
        .replies = {.protocol = FB_PROTOCOL_RESP, .reply_bytes = FB_NULLSERVER_REPLY_BYTES},
    };
}

/* A connected client; blocking, with patience. -1 when there is none. */
static int connected(const fb_address *address)
{
    const int fd = fb_net_connect(address, NULL);
    if (fd < 0 || !sockets_wait(fd, POLLOUT) || fb_net_connect_result(fd) != 0) {
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && (errno != EAGAIN || !sockets_wait(fd, POLLOUT))) {
            return false;
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Receives exactly len bytes; false at an end or after a very long wait. */
static bool receive_all(int fd, char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t n = recv(fd, bytes, len, 0);
        if (n == 0 || (n < 0 && (errno != EAGAIN || !sockets_wait(fd, POLLIN)))) {
            return false;
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool asks(int fd, const char *request, const char *reply)
{
    char got[64];
    const size_t len = strlen(reply);
    return send_all(fd, request, strlen(request)) && receive_all(fd, got, len) &&
           memcmp(got, reply, len) == 0;
}

/* True when the other end closed the connection, whatever was still on the way. */
static bool ended(int fd)
{
    char bytes[256];
    for (;;) {
        const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return true;
        }
        if (n < 0 && (errno != EAGAIN || !sockets_wait(fd, POLLIN))) {
            return false;
        }
    }
}

/* One client of test_many_clients: a tensor and three commands, again and again. */
static void *client(void *argument)
{
    static const char tensor[200000];
    static const char tail[] = "\r\nAI.MODELRUN m\r\nAI.TENSORGET y\r\n";
    const fb_address *address = argument;
    char replies[5 + 5 + 4004 + 9];
    const int fd = connected(address);
    bool ok = fd >= 0;
    for (int i = 0; i < ROUNDS && ok; i++) {
        char head[64];
        const int n = snprintf(head, sizeof head,
                               "*3\r\n$12\r\nAI.TENSORSET\r\n$1\r\nx\r\n$%zu\r\n", sizeof tensor);
        ok = send_all(fd, head, (size_t)n) && send_all(fd, tensor, sizeof tensor) &&
             send_all(fd, tail, strlen(tail)) && receive_all(fd, replies, sizeof replies) &&
             memcmp(replies, "+OK\r\n+OK\r\n$4004\r\n", 17) == 0;
    }
    (void)close(fd);
    return ok ? argument : NULL;
}

static fb_nullserver_usage total(const fb_nullserver *server, uint32_t threads)
{
    fb_nullserver_usage sum = {0};
    for (uint32_t i = 0; i < threads; i++) {
        fb_nullserver_usage usage;
        fb_nullserver_stats(server, i, &usage);
        sum.requests += usage.requests;
        sum.bytes += usage.bytes;
        sum.cpu_ns += usage.cpu_ns;
        CHECK(usage.cpu_ns <= usage.elapsed_ns + FB_NS_PER_S);
        CHECK(usage.elapsed_ns > 0);
    }
    return sum;
}

/* Many clients at once on two threads: every reply right, every request and byte counted. */
static void test_many_clients(void)
{
    const fb_nullserver_config config = tcp_config(2);
    fb_nullserver *server = started(&config);
    REQUIRE(server != NULL);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    pthread_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        REQUIRE(pthread_create(&clients[i], NULL, client, &address) == 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        void *result = NULL;
        CHECK_EQ(0, pthread_join(clients[i], &result));
        CHECK(result != NULL);
    }
    fb_nullserver_usage sum = total(server, 2);
    CHECK_EQ(3 * CLIENTS * ROUNDS, sum.requests);
    CHECK(sum.bytes > (uint64_t)CLIENTS * ROUNDS * 200000);
    CHECK(sum.cpu_ns > 0);
    fb_nullserver_stop(server);
    CHECK_EQ(3 * CLIENTS * ROUNDS, total(server, 2).requests);
    CHECK(total(server, 2).cpu_ns >= sum.cpu_ns);
    fb_nullserver_free(server);
}

/* Connections that are open at the same time are spread evenly over the threads. */
static void test_balance(void)
{
    const fb_nullserver_config config = tcp_config(3);
    fb_nullserver *server = started(&config);
    REQUIRE(server != NULL);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    int fds[9];
    for (int i = 0; i < 9; i++) {
        fds[i] = connected(&address);
        CHECK(asks(fds[i], "PING\r\n", "+PONG\r\n"));
    }
    for (uint32_t i = 0; i < 3; i++) {
        fb_nullserver_usage usage;
        fb_nullserver_stats(server, i, &usage);
        CHECK_EQ(3, usage.requests);
    }
    for (int i = 0; i < 9; i++) {
        (void)close(fds[i]);
    }
    fb_nullserver_free(server);
}

/* A client that gets stuck behind its own replies does not hold up the others of its thread, and
 * gets the rest once it reads. */
static void test_slow_reader(void)
{
    fb_nullserver_config config = tcp_config(1);
    config.replies.reply_bytes = 1 << 20;
    fb_nullserver *server = started(&config);
    REQUIRE(server != NULL);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    const int slow = connected(&address);
    const int other = connected(&address);
    for (int i = 0; i < 50; i++) {
        CHECK(send_all(slow, "GET k\r\n", 7));
    }
    CHECK(asks(other, "PING\r\n", "+PONG\r\n"));
    const size_t reply_len = (1 << 20) + 12;
    char *replies = malloc(reply_len);
    for (int i = 0; i < 50; i++) {
        CHECK(receive_all(slow, replies, reply_len));
        CHECK(memcmp(replies, "$1048576\r\n\0", 11) == 0);
        CHECK(memcmp(replies + reply_len - 3, "\0\r\n", 3) == 0);
    }
    CHECK(asks(slow, "PING\r\n", "+PONG\r\n"));
    free(replies);
    (void)close(slow);
    (void)close(other);
    fb_nullserver_free(server);
}

/* On a unix socket it serves the same, and takes its file away when it stops. */
static void test_unix_socket(void)
{
    char folder[] = "/tmp/fastbench-test-XXXXXX";
    char path[64];
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    fb_nullserver_config config = tcp_config(2);
    config.unix_path = path;
    fb_nullserver *server = started(&config);
    REQUIRE(server != NULL);
    CHECK_EQ(0, fb_nullserver_port(server));
    fb_address address;
    REQUIRE(fb_address_unix(&address, path, NULL) == FB_OK);
    const int fd = connected(&address);
    CHECK(asks(fd, "*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n", "$2\r\nhi\r\n"));
    CHECK(client(&address) != NULL);
    fb_nullserver_stop(server);
    CHECK(ended(fd));
    struct stat found;
    CHECK(stat(path, &found) != 0);
    (void)close(fd);
    fb_nullserver_free(server);
    CHECK_EQ(0, rmdir(folder));
}

/* Asked to, it speaks HTTP: any request is answered alike, and connections are kept. */
static void test_http(void)
{
    fb_nullserver_config config = tcp_config(2);
    config.replies.protocol = FB_PROTOCOL_HTTP;
    config.replies.reply_bytes = 2;
    fb_nullserver *server = started(&config);
    REQUIRE(server != NULL);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    const char reply[] = "HTTP/1.1 200 OK\r\nServer: fastbench-null\r\n"
                         "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\n\0";
    char got[sizeof reply];
    const int fd = connected(&address);
    for (int i = 0; i < 3; i++) {
        CHECK(send_all(fd, "PUT /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 39));
        CHECK(receive_all(fd, got, sizeof got));
        CHECK(memcmp(got, reply, sizeof got) == 0);
    }
    CHECK_EQ(3, total(server, 2).requests);
    CHECK(asks(fd, "PING\r\n", "HTTP/1.1 400 Bad Request\r\n"));
    CHECK(ended(fd));
    (void)close(fd);
    fb_nullserver_free(server);
}

/* QUIT and bytes that are no request end a connection; the server goes on. */
static void test_hang_up(void)
{
    const fb_nullserver_config config = tcp_config(1);
    fb_nullserver *server = started(&config);
    REQUIRE(server != NULL);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    const int quits = connected(&address);
    CHECK(asks(quits, "QUIT\r\n", "+OK\r\n"));
    CHECK(ended(quits));
    const int errs = connected(&address);
    CHECK(asks(errs, "*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"));
    CHECK(ended(errs));
    const int fine = connected(&address);
    CHECK(asks(fine, "PING\r\n", "+PONG\r\n"));
    (void)close(quits);
    (void)close(errs);
    (void)close(fine);
    fb_nullserver_free(server);
}

/* Before start it listens but does not answer; stop may be called before start, and twice. */
static void test_life(void)
{
    const fb_nullserver_config config = tcp_config(1);
    fb_nullserver *server = fb_nullserver_new(&config, NULL);
    REQUIRE(server != NULL);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) == FB_OK);
    const int early = connected(&address);
    CHECK(early >= 0);
    fb_nullserver_usage usage;
    fb_nullserver_stats(server, 0, &usage);
    CHECK_EQ(0, usage.elapsed_ns + usage.cpu_ns + usage.requests + usage.bytes);
    CHECK_EQ(FB_OK, fb_nullserver_start(server, NULL));
    CHECK(asks(early, "PING\r\n", "+PONG\r\n"));
    fb_nullserver_stop(server);
    CHECK(ended(early));
    fb_nullserver_stats(server, 0, &usage);
    const uint64_t elapsed_ns = usage.elapsed_ns;
    fb_nullserver_stop(server);
    fb_nullserver_stats(server, 0, &usage);
    CHECK_EQ(elapsed_ns, usage.elapsed_ns);
    (void)close(early);
    fb_nullserver_free(server);
    server = fb_nullserver_new(&config, NULL);
    fb_nullserver_stop(server);
    fb_nullserver_free(server);
    fb_nullserver_free(NULL);
}

/* What cannot be is refused with one line, and leaves nothing running or behind. */
static void test_bad_configurations(void)
{
    fb_error err;
    fb_nullserver_config config = tcp_config(0);
    CHECK(fb_nullserver_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    config = tcp_config(FB_NULLSERVER_MAX_THREADS + 1);
    CHECK(fb_nullserver_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    config = tcp_config(1);
    config.replies.reply_bytes = (uint64_t)FB_NULLSERVER_MAX_REPLY + 1;
    CHECK(fb_nullserver_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    for (int past = 0; past < 2; past++) {
        config = tcp_config(1);
        config.replies.protocol = past ? FB_PROTOCOL_GRPC + 1 : 0;
        CHECK(fb_nullserver_new(&config, &err) == NULL);
        CHECK_EQ(FB_E_INVAL, err.code);
        CHECK(strstr(err.text, "no protocol number") != NULL);
    }
    config = tcp_config(1);
    config.host = "localhost";
    CHECK(fb_nullserver_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    config.unix_path = "/nonexistent/folder/socket";
    CHECK(fb_nullserver_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_SYS, err.code);
    CHECK(strstr(err.text, "/nonexistent/folder/socket") != NULL);

    const int cpus[] = {-1, 1 << 19};
    config = tcp_config(2);
    config.cpus = cpus;
    fb_nullserver *server = fb_nullserver_new(&config, &err);
    REQUIRE(server != NULL);
    CHECK_EQ(FB_E_INVAL, fb_nullserver_start(server, &err));
    fb_nullserver_free(server);
}

/* An answer that could never be given, or is too long, is refused. */
static void test_unusable_answers(void)
{
    static char longer[FB_HTTP_PATH + 2];
    memset(longer, 'a', sizeof longer - 1);
    const fb_nullanswer answers[] = {
        {.path = NULL},
        {.path = ""},
        {.path = longer},
        {.path = "/a", .body_len = (size_t)FB_NULLSERVER_MAX_REPLY + 1},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        fb_nullserver_config config = {.host = "127.0.0.1", .threads = 1};
        config.replies = (fb_nullreplies_config){
            .protocol = FB_PROTOCOL_HTTP, .answers = &answers[i], .n_answers = 1};
        fb_error err = {0};
        CHECK(fb_nullserver_new(&config, &err) == NULL);
        CHECK_EQ(FB_E_INVAL, err.code);
        CHECK(strstr(err.text, "path of 1 to") != NULL);
    }
}

int main(void)
{
    RUN(test_unusable_answers);
    RUN(test_many_clients);
    RUN(test_balance);
    RUN(test_slow_reader);
    RUN(test_unix_socket);
    RUN(test_http);
    RUN(test_hang_up);
    RUN(test_life);
    RUN(test_bad_configurations);
    return check_result();
}
