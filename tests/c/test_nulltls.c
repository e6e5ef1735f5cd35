/* The null server over TLS, as a client of OpenSSL's own sees it. */
#include "check.h"
#include "nullserver.h"
#include "sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#define TENSOR 200000
#define BIG_REPLY (3 << 20)

typedef struct rig {
    fb_nullserver *server;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
} rig;

static fb_nullserver_config tls_config(const char *suite)
{
    return (fb_nullserver_config){
        .host = "127.0.0.1",
        .threads = 1,
        .tls = true,
        .tls_suite = suite,
        .replies = {.protocol = FB_PROTOCOL_RESP, .reply_bytes = 2},
    };
}

/* A blocking socket that gives up after a very long wait. */
static int connected(const fb_nullserver *server)
{
    const struct timeval patience = {.tv_sec = 60};
    fb_address address;
    if (fb_address_tcp(&address, "127.0.0.1", fb_nullserver_port(server), NULL) != FB_OK) {
        return -1;
    }
    const int fd = fb_net_connect(&address, NULL);
    if (fd < 0 || !sockets_wait(fd, POLLOUT) || fb_net_connect_result(fd) != 0) {
        return -1;
    }
    (void)fcntl(fd, F_SETFL, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* A server that runs, and a client before its handshake. */
static bool rig_init(rig *r, const fb_nullserver_config *config)
{
    *r = (rig){.server = fb_nullserver_new(config, NULL), .fd = -1};
    if (r->server == NULL || fb_nullserver_start(r->server, NULL) != FB_OK) {
        return false;
    }
    r->fd = connected(r->server);
    r->ctx = SSL_CTX_new(TLS_client_method());
    r->ssl = SSL_new(r->ctx);
    return r->fd >= 0 && SSL_set_fd(r->ssl, r->fd) == 1;
}

static void rig_fini(rig *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    (void)close(r->fd);
    fb_nullserver_free(r->server);
    ERR_clear_error();
}

static bool tell(rig *r, const void *bytes, size_t len)
{
    size_t n = 0;
    return SSL_write_ex(r->ssl, bytes, len, &n) == 1 && n == len;
}

static bool hear(rig *r, void *into, size_t len)
{
    for (size_t have = 0, n = 0; have < len; have += n) {
        if (SSL_read_ex(r->ssl, (char *)into + have, len - have, &n) != 1) {
            return false;
        }
    }
    return true;
}

static bool hears(rig *r, const char *reply)
{
    char got[128];
    const size_t len = strlen(reply);
    return hear(r, got, len) && memcmp(got, reply, len) == 0;
}

/* With the one cipher it was given: a tensor of many records and short commands, all counted. */
static void test_commands_by_the_cipher_wanted(void)
{
    static const char tensor[TENSOR];
    static const char head[] = "*3\r\n$12\r\nAI.TENSORSET\r\n$1\r\nx\r\n$200000\r\n";
    static const char tail[] = "\r\nAI.MODELRUN m\r\nAI.TENSORGET y\r\n";
    const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
                                  "ECDHE-ECDSA-AES128-GCM-SHA256"};
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        const fb_nullserver_config config = tls_config(suites[i]);
        rig r;
        REQUIRE(rig_init(&r, &config));
        CHECK_EQ(1, SSL_connect(r.ssl));
        CHECK_STR(suites[i], SSL_get_cipher_name(r.ssl));
        for (int round = 0; round < 20; round++) {
            CHECK(tell(&r, head, strlen(head)) && tell(&r, tensor, sizeof tensor) &&
                  tell(&r, tail, strlen(tail)));
            CHECK(hears(&r, "+OK\r\n+OK\r\n$2\r\n"));
            char value[4];
            CHECK(hear(&r, value, sizeof value));
        }
        fb_nullserver_usage usage;
        fb_nullserver_stats(r.server, 0, &usage);
        CHECK_EQ(60, usage.requests);
        CHECK_EQ(20 * (strlen(head) + sizeof tensor + strlen(tail)), usage.bytes);
        rig_fini(&r);
    }
}

/* Many records that arrive at once make one event, and each of them is answered. */
static void test_what_came_together_is_all_answered(void)
{
    enum { RECORDS = 1000 };
    const fb_nullserver_config config = tls_config(NULL);
    rig r;
    REQUIRE(rig_init(&r, &config));
    CHECK_EQ(1, SSL_connect(r.ssl));
    SSL_set_read_ahead(r.ssl, 1);
    const int on = 1;
    (void)setsockopt(r.fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    for (int i = 0; i < RECORDS; i++)
        CHECK(tell(&r, "PING\r\n", 6));
    const int off = 0;
    (void)setsockopt(r.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    for (int i = 0; i < RECORDS; i++)
        CHECK(hears(&r, "+PONG\r\n"));
    rig_fini(&r);
}

/* Replies larger than the socket's buffers, to a client that does not read yet, come whole. */
static void test_slow_reader(void)
{
    static char got[BIG_REPLY + 12];
    fb_nullserver_config config = tls_config(NULL);
    config.replies.reply_bytes = BIG_REPLY;
    rig r;
    REQUIRE(rig_init(&r, &config));
    CHECK_EQ(1, SSL_connect(r.ssl));
    for (int i = 0; i < 5; i++)
        CHECK(tell(&r, "GET k\r\n", 7));
    for (int i = 0; i < 5; i++) {
        CHECK(hear(&r, got, 10 + BIG_REPLY + 2));
        CHECK(memcmp(got, "$3145728\r\n", 10) == 0);
        CHECK(memcmp(got + 10 + BIG_REPLY, "\r\n", 2) == 0);
    }
    rig_fini(&r);
}

/* It takes the client's first protocol, and ends a connection with TLS' good-bye. */
static void test_http(void)
{
    static const unsigned char offer[] = "\x08http/1.1\x02h2";
    fb_nullserver_config config = tls_config(NULL);
    config.replies.protocol = FB_PROTOCOL_HTTP;
    rig r;
    REQUIRE(rig_init(&r, &config));
    CHECK_EQ(0, SSL_set_alpn_protos(r.ssl, offer, sizeof offer - 1));
    CHECK_EQ(1, SSL_connect(r.ssl));
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(r.ssl, &chosen, &len);
    CHECK(len == 8 && memcmp(chosen, "http/1.1", 8) == 0);
    CHECK(tell(&r, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 37));
    CHECK(hears(&r, "HTTP/1.1 200 OK\r\n"));
    char bytes[256];
    int n = 1;
    while (n > 0)
        n = SSL_read(r.ssl, bytes, sizeof bytes);
    CHECK_EQ(SSL_ERROR_ZERO_RETURN, SSL_get_error(r.ssl, n));
    rig_fini(&r);
}

/* Who does not speak TLS is hung up on; the server goes on. */
static void test_plain_text_is_refused(void)
{
    const fb_nullserver_config config = tls_config(NULL);
    rig r;
    REQUIRE(rig_init(&r, &config));
    const int plain = connected(r.server);
    CHECK(plain >= 0);
    CHECK_EQ(6, send(plain, "PING\r\n", 6, MSG_NOSIGNAL));
    char bytes[64];
    ssize_t n = 1;
    while (n > 0)
        n = recv(plain, bytes, sizeof bytes, 0);
    CHECK(n == 0 || errno == ECONNRESET);
    CHECK_EQ(1, SSL_connect(r.ssl));
    CHECK(tell(&r, "PING\r\n", 6) && hears(&r, "+PONG\r\n"));
    (void)close(plain);
    rig_fini(&r);
}

static void test_unknown_cipher_is_named(void)
{
    const char *const suites[] = {"TLS_NONE", "nonsense"};
    for (int i = 0; i < 2; i++) {
        const fb_nullserver_config config = tls_config(suites[i]);
        fb_error err = {0};
        CHECK(fb_nullserver_new(&config, &err) == NULL);
        CHECK_EQ(FB_E_INVAL, err.code);
        CHECK(strstr(err.text, suites[i]) != NULL);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL's own client writes as it likes */
    RUN(test_commands_by_the_cipher_wanted);
    RUN(test_what_came_together_is_all_answered);
    RUN(test_slow_reader);
    RUN(test_http);
    RUN(test_plain_text_is_refused);
    RUN(test_unknown_cipher_is_named);
    return check_result();
}
