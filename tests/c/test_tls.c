/* fb_tls against a server of OpenSSL's in this process, at the other end of a pair of sockets. */
#include "tls.h"

#include "check.h"
#include "sockets.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/mman.h>

#define NAME "server.example"
#define PATIENCE 100000 /* rounds of one call on each side */
#define DAY 86400

/* ---- the other side -------------------------------------------------------------------------- */

typedef struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char cert_path[32];
    char key_path[32];
} identity;

static void add_extension(X509 *cert, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static FILE *open_new(char *path)
{
    strcpy(path, "/tmp/fb-tls-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

/* A self-signed certificate for NAME and 127.0.0.1, and the files of both. */
static bool identity_init(identity *id, long days_left, const char *passphrase)
{
    id->key = EVP_EC_gen("P-256");
    id->cert = X509_new();
    if (!id->key || !id->cert) {
        return false;
    }
    X509_set_version(id->cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id->cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(id->cert), -30L * DAY);
    X509_gmtime_adj(X509_getm_notAfter(id->cert), days_left * DAY);
    X509_NAME *name = X509_get_subject_name(id->cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)NAME, -1, -1, 0);
    X509_set_issuer_name(id->cert, name);
    X509_set_pubkey(id->cert, id->key);
    add_extension(id->cert, NID_subject_alt_name, "DNS:" NAME ",IP:127.0.0.1");
    add_extension(id->cert, NID_basic_constraints, "critical,CA:TRUE");
    FILE *file = open_new(id->cert_path);
    const bool signed_ =
        X509_sign(id->cert, id->key, EVP_sha256()) > 0 && file && PEM_write_X509(file, id->cert);
    (void)(file && fclose(file));
    file = open_new(id->key_path);
    const bool kept =
        file && PEM_write_PrivateKey(file, id->key, passphrase ? EVP_aes_128_cbc() : NULL,
                                     (const unsigned char *)passphrase,
                                     passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
    (void)(file && fclose(file));
    return signed_ && kept;
}

static void identity_fini(identity *id)
{
    (void)unlink(id->cert_path);
    (void)unlink(id->key_path);
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
}

typedef struct both {
    identity id;
    SSL_CTX *ctx;
    fb_tls *tls;
    fb_tls_session *client;
    SSL *server;
    int fds[2]; /* client's, server's */
    fb_error err;
} both;

/* Both ends, before the handshake; `config` may leave ca_file and server_name to this function. */
static bool both_init(both *b, fb_tls_config config, long days_left)
{
    *b = (both){.fds = {-1, -1}};
    if (!identity_init(&b->id, days_left, NULL) || !sockets_unix_pair(b->fds)) {
        return false;
    }
    config.ca_file = config.ca_file || config.insecure ? config.ca_file : b->id.cert_path;
    config.server_name = config.server_name ? config.server_name : NAME;
    config.min_version = config.min_version ? config.min_version : FB_TLS_1_2;
    b->tls = fb_tls_new(&config, &b->err);
    b->client = b->tls ? fb_tls_session_new(b->tls, b->fds[0], &b->err) : NULL;
    b->ctx = SSL_CTX_new(TLS_server_method());
    if (!b->client || !b->ctx || !SSL_CTX_use_certificate(b->ctx, b->id.cert) ||
        !SSL_CTX_use_PrivateKey(b->ctx, b->id.key)) {
        return false;
    }
    b->server = SSL_new(b->ctx);
    SSL_set_accept_state(b->server);
    return SSL_set_fd(b->server, b->fds[1]) == 1;
}

static void both_fini(both *b)
{
    fb_tls_session_free(b->client);
    fb_tls_free(b->tls);
    SSL_free(b->server);
    SSL_CTX_free(b->ctx);
    sockets_close(b->fds);
    identity_fini(&b->id);
    ERR_clear_error();
}

/* The client's last word: 1, or a code with b->err. */
static int shake(both *b)
{
    bool server_done = false;
    int rc = 0;
    for (int i = 0; i < PATIENCE && (rc == 0 || (rc == 1 && !server_done)); i++) {
        rc = rc == 0 ? fb_tls_handshake(b->client, &b->err) : rc;
        ERR_clear_error();
        server_done = server_done || SSL_do_handshake(b->server) == 1;
    }
    return rc;
}

/* What the server has read until len bytes are there or it has nothing more. */
static size_t server_read(both *b, uint8_t *into, size_t len)
{
    size_t have = 0;
    size_t n = 0;
    ERR_clear_error();
    while (have < len && SSL_read_ex(b->server, into + have, len - have, &n)) {
        have += n;
    }
    return have;
}

/* ---- handshakes --------------------------------------------------------------------------------
 */

static void test_handshake_of_either_version(void)
{
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        both b;
        REQUIRE(both_init(&b, (fb_tls_config){0}, 30));
        SSL_set_max_proto_version(b.server, versions[i]);
        CHECK_EQ(1, shake(&b));
        CHECK_EQ(versions[i], SSL_version(b.server));
        CHECK_STR(NAME, SSL_get_servername(b.server, TLSEXT_NAMETYPE_host_name));
        both_fini(&b);
    }
}

static void test_ip_address_is_checked_and_not_sent(void)
{
    both b;
    REQUIRE(both_init(&b, (fb_tls_config){.server_name = "127.0.0.1"}, 30));
    CHECK_EQ(1, shake(&b));
    CHECK(SSL_get_servername(b.server, TLSEXT_NAMETYPE_host_name) == NULL);
    both_fini(&b);
}

/* A server that knows the one protocol `arg` by ALPN, and goes on without where another is offered.
 */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    const size_t len = strlen(arg);
    (void)ssl;
    if (in_len != len + 1 || in[0] != len || memcmp(in + 1, arg, len) != 0) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = in + 1;
    *out_len = in[0];
    return SSL_TLSEXT_ERR_OK;
}

/* What a client that wants h2 makes of a server that knows one protocol, or NULL = no ALPN. */
static int shake_by_alpn(both *b, char *server_knows)
{
    if (!both_init(b, (fb_tls_config){.alpn = "h2"}, 30)) {
        return FB_E_NOMEM;
    }
    if (server_knows) {
        SSL_CTX_set_alpn_select_cb(b->ctx, choose, server_knows);
    }
    return shake(b);
}

static void test_server_must_choose_the_protocol(void)
{
    char h2[] = "h2";
    char http1[] = "http/1.1";
    both b;
    CHECK_EQ(1, shake_by_alpn(&b, h2));
    both_fini(&b);
    char *others[] = {http1, NULL};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(FB_E_CONNECT, shake_by_alpn(&b, others[i]));
        CHECK(strstr(b.err.text, "does not choose h2") != NULL);
        both_fini(&b);
    }
    fb_error err = {0};
    const fb_tls_config config = {.server_name = NAME,
                                  .min_version = FB_TLS_1_2,
                                  .insecure = true,
                                  .alpn = "sixteen-letters!"};
    CHECK(fb_tls_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
}

/* The handshake fails, and the text holds both words. */
static void check_refused(fb_tls_config config, long days_left, int server_max, const char *what,
                          const char *advice)
{
    both b;
    REQUIRE(both_init(&b, config, days_left));
    if (server_max) {
        SSL_set_max_proto_version(b.server, server_max);
    }
    CHECK_EQ(FB_E_CONNECT, shake(&b));
    CHECK_EQ(FB_E_CONNECT, b.err.code);
    if (!strstr(b.err.text, what) || !strstr(b.err.text, advice)) {
        CHECK_STR(what, b.err.text);
    }
    both_fini(&b);
}

static void test_refusals_say_what_and_what_to_do(void)
{
    identity other;
    REQUIRE(identity_init(&other, 30, NULL));
    check_refused((fb_tls_config){.ca_file = other.cert_path}, 30, 0, "self-signed", "--tls-ca");
    check_refused((fb_tls_config){.server_name = "a.example"}, 30, 0, "ostname",
                  "--tls-server-name");
    check_refused((fb_tls_config){.server_name = "::1"}, 30, 0, "IP address", "--tls-server-name");
    check_refused((fb_tls_config){0}, -1, 0, "expired", "renew");
    check_refused((fb_tls_config){.min_version = FB_TLS_1_3}, 30, TLS1_2_VERSION, "version",
                  "--tls-min-version");
    identity_fini(&other);
}

static void test_insecure_takes_any_certificate(void)
{
    both b;
    REQUIRE(both_init(&b, (fb_tls_config){.insecure = true, .server_name = "a.example"}, -1));
    CHECK_EQ(1, shake(&b));
    both_fini(&b);
}

static void test_peer_without_tls(void)
{
    both b;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30));
    CHECK_EQ(0, fb_tls_handshake(b.client, &b.err));
    REQUIRE(write(b.fds[1], "-ERR Protocol error\r\n", 21) == 21);
    CHECK_EQ(FB_E_CONNECT, fb_tls_handshake(b.client, &b.err));
    CHECK(strstr(b.err.text, "does not speak TLS") != NULL);
    both_fini(&b);
}

static void test_peer_that_hangs_up(void)
{
    both b;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30));
    CHECK_EQ(0, fb_tls_handshake(b.client, &b.err));
    REQUIRE(shutdown(b.fds[1], SHUT_RDWR) == 0);
    const int rc = fb_tls_handshake(b.client, &b.err);
    CHECK_EQ(FB_E_CLOSED, rc);
    both_fini(&b);
}

static void test_client_certificate(void)
{
    both b;
    identity mine;
    REQUIRE(identity_init(&mine, 30, NULL));
    const fb_tls_config config = {.cert_file = mine.cert_path, .key_file = mine.key_path};
    REQUIRE(both_init(&b, config, 30));
    X509_STORE_add_cert(SSL_CTX_get_cert_store(b.ctx), mine.cert);
    SSL_set_verify(b.server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    CHECK_EQ(1, shake(&b));
    X509 *shown = SSL_get1_peer_certificate(b.server);
    CHECK(shown != NULL && X509_cmp(shown, mine.cert) == 0);
    X509_free(shown);
    both_fini(&b);
    identity_fini(&mine);
}

static void test_missing_client_certificate_is_named(void)
{
    both b;
    uint8_t byte;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30));
    SSL_set_verify(b.server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    CHECK_EQ(1, shake(&b)); /* with TLS 1.3 the server's no comes after the client is done */
    CHECK_EQ(FB_E_CONNECT, fb_tls_recv(b.client, &byte, 1, &b.err));
    CHECK(strstr(b.err.text, "--tls-cert") != NULL);
    both_fini(&b);
}

/* ---- files
 * --------------------------------------------------------------------------------------- */

static void check_unusable(fb_tls_config config, const char *path, const char *why)
{
    fb_error err = {0};
    config.server_name = NAME;
    config.min_version = FB_TLS_1_2;
    fb_tls *tls = fb_tls_new(&config, &err);
    CHECK(tls == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    if (!strstr(err.text, path) || !strstr(err.text, why)) {
        CHECK_STR(why, err.text);
    }
    fb_tls_free(tls);
}

static void test_unusable_files_are_named(void)
{
    identity a;
    identity b;
    REQUIRE(identity_init(&a, 30, NULL) && identity_init(&b, 30, "secret"));
    check_unusable((fb_tls_config){.ca_file = "/nonexistent"}, "/nonexistent", "No such file");
    check_unusable((fb_tls_config){.ca_file = a.key_path}, a.key_path, "no certificate");
    check_unusable((fb_tls_config){.cert_file = "/nonexistent", .key_file = a.key_path},
                   "/nonexistent", "No such file");
    check_unusable((fb_tls_config){.cert_file = a.cert_path, .key_file = "/nonexistent"},
                   "/nonexistent", "No such file");
    check_unusable((fb_tls_config){.cert_file = b.cert_path, .key_file = a.key_path}, a.key_path,
                   "mismatch");
    check_unusable((fb_tls_config){.cert_file = b.cert_path, .key_file = b.key_path}, b.key_path,
                   "pass phrases are not supported");
    identity_fini(&a);
    identity_fini(&b);
}

/* ---- bytes
 * ----------------------------------------------------------------------------------------- */

#define FILE_BYTES (300 * 1000)

/* Pieces of memory and of the file, short and long, odd lengths; what they make goes to `all`. */
static size_t push_pieces(fb_outq *q, int fd, const uint8_t *mapped, uint8_t *all)
{
    static const size_t lengths[] = {1, 37, 16384, 16383, 16385, 5, 0, 90001, 2, 70000, 3};
    size_t total = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const uint8_t *from = mapped + 1000 * i;
        if (i % 2) {
            (void)fb_outq_push_file(q, fd, (int64_t)(1000 * i), from, lengths[i]);
        } else {
            (void)fb_outq_push_mem(q, from, lengths[i]);
        }
        memcpy(all + total, from, lengths[i]);
        total += lengths[i];
    }
    return total;
}

static int make_file(const uint8_t **mapped)
{
    const int fd = memfd_create("test_tls", MFD_CLOEXEC);
    uint8_t *bytes = malloc(FILE_BYTES);
    for (size_t i = 0; bytes && i < FILE_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    const bool kept = bytes && write(fd, bytes, FILE_BYTES) == FILE_BYTES;
    free(bytes);
    *mapped = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    return kept && *mapped != MAP_FAILED ? fd : -1;
}

/* A slow reader behind a small buffer: the socket fills in the middle of records, the queue grows
 * meanwhile, and still every byte arrives once and in order. */
static void test_every_byte_arrives(void)
{
    both b;
    fb_outq q;
    const uint8_t *mapped;
    const int fd = make_file(&mapped);
    uint8_t *expected = malloc(2 * FILE_BYTES);
    uint8_t *arrived = malloc(2 * FILE_BYTES);
    REQUIRE(fd >= 0 && expected && arrived && both_init(&b, (fb_tls_config){0}, 30));
    const int small = 4096;
    (void)setsockopt(b.fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    REQUIRE(fb_outq_init(&q, 64, NULL) == FB_OK && shake(&b) == 1);
    size_t total = push_pieces(&q, fd, mapped, expected);
    size_t have = 0;
    long waits = 0;
    for (int i = 0; i < PATIENCE && have < total; i++) {
        const uint64_t before = q.sent;
        const long n = fb_tls_step(b.client, &q, &b.err);
        REQUIRE(n >= 0);
        CHECK_EQ(n, q.sent - before);
        if (n == 0 && ++waits == 3) {
            total += push_pieces(&q, fd, mapped, expected + total);
        }
        if (n == 0) {
            have += server_read(&b, arrived + have, 1 + (size_t)i % 5000);
        }
    }
    CHECK(waits > 3);
    CHECK_EQ(total, have);
    CHECK_EQ(total, q.sent);
    CHECK(fb_outq_empty(&q));
    CHECK(memcmp(expected, arrived, total) == 0);
    fb_outq_fini(&q);
    both_fini(&b);
    (void)munmap((void *)(uintptr_t)mapped, FILE_BYTES);
    (void)close(fd);
    free(expected);
    free(arrived);
}

/* A record that waits has begun to leave when the socket took a part of it, and only then. */
static void test_knows_what_has_begun(void)
{
    for (int full = 0; full < 2; full++) {
        both b;
        fb_outq q;
        static const uint8_t bytes[16 * 1024];
        const int small = 4096;
        REQUIRE(both_init(&b, (fb_tls_config){0}, 30) && fb_outq_init(&q, 8, NULL) == FB_OK);
        (void)setsockopt(b.fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        REQUIRE(shake(&b) == 1);
        while (full && send(b.fds[0], bytes, 1, MSG_DONTWAIT) > 0) {
        }
        (void)fb_outq_push_mem(&q, bytes, sizeof bytes);
        CHECK(!fb_tls_has_begun(b.client));
        CHECK_EQ(0, fb_tls_step(b.client, &q, &b.err));
        CHECK_EQ(!full, fb_tls_has_begun(b.client));
        uint8_t got[8192];
        while (recv(b.fds[1], got, sizeof got, MSG_DONTWAIT) > 0) {
        }
        long n = 0;
        for (int i = 0; i < PATIENCE && n == 0; i++) {
            n = fb_tls_step(b.client, &q, &b.err);
            CHECK_EQ(n == 0, fb_tls_has_begun(b.client));
            while (recv(b.fds[1], got, sizeof got, MSG_DONTWAIT) > 0) {
            }
        }
        CHECK_EQ(sizeof bytes, n);
        fb_outq_fini(&q);
        both_fini(&b);
    }
}

static void test_short_pieces_share_a_record(void)
{
    both b;
    fb_outq q;
    uint8_t record[100];
    size_t n = 0;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30) && fb_outq_init(&q, 8, NULL) == FB_OK);
    REQUIRE(shake(&b) == 1);
    static const char text[] = "abcdefghi";
    (void)fb_outq_push_mem(&q, text, 3);
    (void)fb_outq_push_mem(&q, text + 6, 3);
    (void)fb_outq_push_mem(&q, text + 3, 3);
    CHECK_EQ(9, fb_tls_step(b.client, &q, &b.err));
    CHECK_EQ(0, fb_tls_step(b.client, &q, &b.err)); /* nothing is queued */
    CHECK_EQ(1, SSL_read_ex(b.server, record, sizeof record, &n));
    CHECK_EQ(9, n);
    CHECK(memcmp(record, "abcghidef", 9) == 0);
    fb_outq_fini(&q);
    both_fini(&b);
}

/* The mapping may not be touched beyond the end of the file: that would be a SIGBUS. */
static void test_truncated_file_is_an_error(void)
{
    const uint64_t lengths[] = {100, 100000};
    for (int i = 0; i < 2; i++) {
        both b;
        fb_outq q;
        const uint8_t *mapped;
        const int fd = make_file(&mapped);
        REQUIRE(fd >= 0 && both_init(&b, (fb_tls_config){0}, 30));
        REQUIRE(fb_outq_init(&q, 8, NULL) == FB_OK && shake(&b) == 1);
        (void)fb_outq_push_file(&q, fd, 8192, mapped + 8192, lengths[i]);
        REQUIRE(ftruncate(fd, 8200) == 0);
        CHECK_EQ(FB_E_DATA, fb_tls_step(b.client, &q, &b.err));
        CHECK(strstr(b.err.text, "dataset file ends") != NULL);
        CHECK_EQ(0, q.sent);
        fb_outq_fini(&q);
        both_fini(&b);
        (void)munmap((void *)(uintptr_t)mapped, FILE_BYTES);
        (void)close(fd);
    }
}

static void test_receives_all_that_came_then_says_again(void)
{
    both b;
    uint8_t sent[40000];
    uint8_t got[sizeof sent];
    size_t n = 0;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30) && shake(&b) == 1);
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (uint8_t)(i % 251);
    }
    REQUIRE(SSL_write_ex(b.server, sent, 5, &n) && SSL_write_ex(b.server, sent + 5, 1, &n));
    REQUIRE(SSL_write_ex(b.server, sent + 6, sizeof sent - 6, &n));
    size_t have = 0;
    long rc = 1;
    while (rc > 0) {
        rc = fb_tls_recv(b.client, got + have,
                         7000 < sizeof got - have ? 7000 : sizeof got - have + 1, &b.err);
        have += rc > 0 ? (size_t)rc : 0;
        REQUIRE(have <= sizeof got);
        if (have == sizeof got) {
            rc = fb_tls_recv(b.client, got, 1, &b.err);
            CHECK_EQ(0, rc);
            break;
        }
    }
    CHECK_EQ(sizeof sent, have);
    CHECK(memcmp(sent, got, sizeof sent) == 0);
    both_fini(&b);
}

static void test_both_kinds_of_end_are_told(void)
{
    for (int polite = 0; polite < 2; polite++) {
        both b;
        fb_outq q;
        uint8_t byte;
        REQUIRE(both_init(&b, (fb_tls_config){0}, 30) && shake(&b) == 1);
        size_t n = 0;
        REQUIRE(SSL_write_ex(b.server, "+", 1, &n));
        CHECK_EQ(1, fb_tls_recv(b.client, &byte, 1, &b.err));
        CHECK_EQ(0, fb_tls_recv(b.client, &byte, 1, &b.err));
        if (polite) {
            (void)SSL_shutdown(b.server);
        }
        REQUIRE(shutdown(b.fds[1], SHUT_RDWR) == 0);
        CHECK_EQ(FB_E_CLOSED, fb_tls_recv(b.client, &byte, 1, &b.err));
        CHECK_STR("the server closed the connection", b.err.text);
        CHECK((b.err.sys_errno == 0) == (polite != 0)); /* else it may have been cut off */
        REQUIRE(fb_outq_init(&q, 8, NULL) == FB_OK);
        (void)fb_outq_push_mem(&q, "x", 1);
        CHECK(fb_tls_step(b.client, &q, &b.err) < 0);
        fb_outq_fini(&q);
        both_fini(&b);
    }
}

static void test_end_before_the_first_answer_has_a_hint(void)
{
    both b;
    uint8_t byte;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30) && shake(&b) == 1);
    REQUIRE(shutdown(b.fds[1], SHUT_RDWR) == 0);
    CHECK_EQ(FB_E_CLOSED, fb_tls_recv(b.client, &byte, 1, &b.err));
    CHECK(strstr(b.err.text, "--tls-cert and --tls-key") != NULL);
    both_fini(&b);
}

static void test_farewell_reaches_the_server(void)
{
    both b;
    uint8_t byte;
    size_t n = 0;
    REQUIRE(both_init(&b, (fb_tls_config){0}, 30) && shake(&b) == 1);
    fb_tls_session_free(b.client);
    b.client = NULL;
    ERR_clear_error();
    const int rc = SSL_read_ex(b.server, &byte, 1, &n);
    CHECK_EQ(SSL_ERROR_ZERO_RETURN, SSL_get_error(b.server, rc));
    both_fini(&b);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as a worker blocks it */
    RUN(test_handshake_of_either_version);
    RUN(test_ip_address_is_checked_and_not_sent);
    RUN(test_server_must_choose_the_protocol);
    RUN(test_refusals_say_what_and_what_to_do);
    RUN(test_insecure_takes_any_certificate);
    RUN(test_peer_without_tls);
    RUN(test_peer_that_hangs_up);
    RUN(test_client_certificate);
    RUN(test_missing_client_certificate_is_named);
    RUN(test_unusable_files_are_named);
    RUN(test_every_byte_arrives);
    RUN(test_knows_what_has_begun);
    RUN(test_short_pieces_share_a_record);
    RUN(test_truncated_file_is_an_error);
    RUN(test_receives_all_that_came_then_says_again);
    RUN(test_both_kinds_of_end_are_told);
    RUN(test_end_before_the_first_answer_has_a_hint);
    RUN(test_farewell_reaches_the_server);
    return check_result();
}
