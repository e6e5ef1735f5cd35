#include "tls.h"

#include "selfsigned.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH
#define MAX_ALPN 15 /* bytes of a protocol's name, of which RFC 7301 allows 255 */

struct fb_tls {
    SSL_CTX *ctx;
    char *server_name;
    bool is_address;            /* server_name is an IP address: never sent, only compared */
    bool serves;                /* sessions are the server's side */
    uint8_t alpn[1 + MAX_ALPN]; /* what the server must choose, after its length; 0 = anything */
};

struct fb_tls_session {
    SSL *ssl;
    const uint8_t *alpn; /* of the context */
    bool open;           /* the handshake is done and nothing has failed since */
    bool doubtful;       /* we showed no certificate, and the server has not answered yet */
    bool corked;         /* the kernel collects records into long segments */
    bool in_kernel;      /* kernel TLS encrypts: files go by sendfile */
    bool begun;          /* a record waits, and a part of it has left */
};

/* ---- what went wrong, and what to do ------------------------------------------------------------
 */

typedef struct advice {
    int cause;
    const char *text;
} advice;

#define GIVE_CA "; give the CA's certificate by --tls-ca"

/* By what the check of the server's certificate found. */
static const advice on_verifying[] = {
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, GIVE_CA},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, GIVE_CA},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, GIVE_CA},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, GIVE_CA},
    {X509_V_ERR_CERT_HAS_EXPIRED, "; renew it, or set this machine's clock"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "; set this machine's clock"},
    {X509_V_ERR_HOSTNAME_MISMATCH, "; give the name that it holds by --tls-server-name"},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, "; give the name that it holds by --tls-server-name"},
};

#define GIVE_CERTIFICATE "; it may want a client certificate: --tls-cert and --tls-key"
#define OTHER_VERSION "; the server speaks other versions of TLS: see --tls-min-version"

/* By OpenSSL's reason. */
static const advice on_talking[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "; what listens there does not speak TLS"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, GIVE_CERTIFICATE},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, GIVE_CERTIFICATE},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "; it does not accept the client certificate"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "; it does not accept the client certificate"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, OTHER_VERSION},
    {SSL_R_UNSUPPORTED_PROTOCOL, OTHER_VERSION},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "; does it speak the target's protocol there?"},
};

static const char *advise(const advice *table, size_t n, int cause)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].cause == cause) {
            return table[i].text;
        }
    }
    return "";
}

#define ADVISE(table, cause) advise((table), sizeof(table) / sizeof *(table), (int)(cause))

/* What OpenSSL says of its oldest error, which is the most telling one. */
static const char *reason(void)
{
    const unsigned long e = ERR_peek_error();
    const char *text =
        ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);
    return text ? text : "unknown error";
}

/* The connection ended without a word of TLS. With TLS 1.3 a server may refuse a client that is
 * done with its handshake, and its reason be lost with the connection. */
static int ended(fb_tls_session *s, int cause, fb_error *err)
{
    const char *when = s->open ? "" : " during the TLS handshake";
    const char *hint = s->open && s->doubtful ? GIVE_CERTIFICATE : "";
    s->open = false;
    return cause == 0 ? fb_error_set(err, FB_E_CLOSED, 0, "the server closed the connection%s%s",
                                     when, hint)
                      : fb_error_set(err, FB_E_CLOSED, cause, "connection lost%s: %s%s", when,
                                     strerror(cause), hint);
}

static int failed(fb_tls_session *s, fb_error *err)
{
    const int why = ERR_GET_REASON(ERR_peek_error());
    if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        const int rc = ended(s, 0, err);
        err->sys_errno = EPROTO; /* it may have been cut off: RFC 9112, 9.8 */
        return rc;
    }
    s->open = false;
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        const long found = SSL_get_verify_result(s->ssl);
        return fb_error_set(err, FB_E_CONNECT, 0, "the server's certificate is not good: %s%s",
                            X509_verify_cert_error_string(found), ADVISE(on_verifying, found));
    }
    return fb_error_set(err, FB_E_CONNECT, 0, "TLS failed: %s%s", reason(),
                        ADVISE(on_talking, why));
}

/* What a call that did not succeed means: 0 = again, or a code. */
static int outcome(fb_tls_session *s, int rc, fb_error *err)
{
    const int cause = errno;
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_SYSCALL:
        return ended(s, cause, err);
    case SSL_ERROR_ZERO_RETURN: /* it said good-bye */
        return fb_error_set(err, FB_E_CLOSED, 0, "the server closed the connection");
    default:
        return failed(s, err);
    }
}

/* ---- contexts
 * ------------------------------------------------------------------------------------- */

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *wanted)
{
    (void)buffer;
    (void)size;
    (void)writing;
    *(bool *)wanted = true;
    return -1;
}

static int bad_file(const char *what, const char *path, fb_error *err)
{
    return fb_error_set(err, FB_E_INVAL, 0, "cannot use the %s in %s: %s", what, path, reason());
}

static int trust(SSL_CTX *ctx, const fb_tls_config *config, fb_error *err)
{
    if (config->insecure) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return FB_OK;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (config->ca_file == NULL) {
        return SSL_CTX_set_default_verify_paths(ctx)
                   ? FB_OK
                   : fb_error_set(err, FB_E_INVAL, 0, "cannot read the system's CA certificates");
    }
    return SSL_CTX_load_verify_file(ctx, config->ca_file)
               ? FB_OK
               : bad_file("CA certificates", config->ca_file, err);
}

static int identify(SSL_CTX *ctx, const fb_tls_config *config, fb_error *err)
{
    bool encrypted = false;
    ERR_clear_error();
    if (config->cert_file == NULL) {
        return FB_OK;
    }
    if (!SSL_CTX_use_certificate_chain_file(ctx, config->cert_file)) {
        return bad_file("certificate", config->cert_file, err);
    }
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &encrypted);
    const int rc = SSL_CTX_use_PrivateKey_file(ctx, config->key_file, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (encrypted) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "the key in %s is encrypted: pass phrases are not supported, write it "
                            "without one by 'openssl pkey'",
                            config->key_file);
    }
    return rc ? FB_OK : bad_file("key", config->key_file, err);
}

static int init_name(fb_tls *tls, const fb_tls_config *config, fb_error *err)
{
    X509_VERIFY_PARAM *wanted = SSL_CTX_get0_param(tls->ctx);
    tls->server_name = strdup(config->server_name);
    tls->is_address = X509_VERIFY_PARAM_set1_ip_asc(wanted, config->server_name) == 1;
    if (tls->server_name == NULL ||
        (!tls->is_address && !X509_VERIFY_PARAM_set1_host(wanted, config->server_name, 0))) {
        return fb_error_set(err, FB_E_INVAL, 0, "not a server name: \"%s\"", config->server_name);
    }
    return FB_OK;
}

static int no_memory(fb_error *err)
{
    return fb_error_set(err, FB_E_NOMEM, 0, "no memory for TLS");
}

static int init_alpn(fb_tls *tls, const fb_tls_config *config, fb_error *err)
{
    const size_t len = config->alpn ? strlen(config->alpn) : 0;
    if (len > MAX_ALPN) {
        return fb_error_set(err, FB_E_INVAL, 0, "too long a name for ALPN: \"%s\"", config->alpn);
    }
    if (len > 0) {
        tls->alpn[0] = (uint8_t)len;
        memcpy(tls->alpn + 1, config->alpn, len);
        if (SSL_CTX_set_alpn_protos(tls->ctx, tls->alpn, (unsigned)len + 1) != 0) {
            return no_memory(err);
        }
    }
    return FB_OK;
}

/* What both sides want of their sessions. */
static fb_tls *make_context(const SSL_METHOD *side, fb_error *err)
{
    fb_tls *tls = calloc(1, sizeof *tls);
    ERR_clear_error();
    SSL_CTX *ctx = tls != NULL ? SSL_CTX_new(side) : NULL;
    if (ctx == NULL) {
        free(tls);
        (void)no_memory(err);
        return NULL;
    }
    /* A write gives back how far it came, as the queue's positions need; and a record that waits
     * for the socket may come again from another address, since the queue keeps its bytes. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_ENABLE_KTLS);
    SSL_CTX_set_read_ahead(ctx, 1); /* else each record costs two system calls */
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    tls->ctx = ctx;
    return tls;
}

/* The context where all went well. */
static fb_tls *finished(fb_tls *tls, int rc)
{
    ERR_clear_error();
    if (rc != FB_OK) {
        fb_tls_free(tls);
        return NULL;
    }
    return tls;
}

fb_tls *fb_tls_new(const fb_tls_config *config, fb_error *err)
{
    fb_tls *tls = make_context(TLS_client_method(), err);
    if (tls == NULL) {
        return NULL;
    }
    if (config->min_version == FB_TLS_1_3) {
        SSL_CTX_set_min_proto_version(tls->ctx, TLS1_3_VERSION);
    }
    int rc = trust(tls->ctx, config, err);
    rc = rc == FB_OK ? identify(tls->ctx, config, err) : rc;
    rc = rc == FB_OK ? init_name(tls, config, err) : rc;
    return finished(tls, rc == FB_OK ? init_alpn(tls, config, err) : rc);
}

/* Of all that the client offers, what it named first. */
static int choose_first(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned in_len, void *unused)
{
    (void)ssl;
    (void)in_len;
    (void)unused;
    *out_len = in[0];
    *out = in + 1;
    return SSL_TLSEXT_ERR_OK;
}

static int offer_only(SSL_CTX *ctx, const char *suite, fb_error *err)
{
    static const char of_1_3[] = "TLS_";
    const bool is_1_3 = strncmp(suite, of_1_3, sizeof of_1_3 - 1) == 0;
    SSL_CTX_set_min_proto_version(ctx, is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    return (is_1_3 ? SSL_CTX_set_ciphersuites(ctx, suite) : SSL_CTX_set_cipher_list(ctx, suite))
               ? FB_OK
               : fb_error_set(err, FB_E_INVAL, 0, "no cipher of OpenSSL's is called %s", suite);
}

fb_tls *fb_tls_new_server(const char *suite, fb_error *err)
{
    fb_tls *tls = make_context(TLS_server_method(), err);
    if (tls == NULL) {
        return NULL;
    }
    tls->serves = true;
    SSL_CTX_set_alpn_select_cb(tls->ctx, choose_first, NULL);
    const int rc = suite != NULL ? offer_only(tls->ctx, suite, err) : FB_OK;
    return finished(tls, rc == FB_OK ? fb_selfsigned_use(tls->ctx, err) : rc);
}

void fb_tls_free(fb_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->ctx);
        free(tls->server_name);
        free(tls);
    }
}

/* ---- sessions
 * --------------------------------------------------------------------------------------- */

/* Takes its side, and as a client says whom it wants. */
static bool take_side(const fb_tls *tls, SSL *ssl)
{
    if (tls->serves) {
        SSL_set_accept_state(ssl);
        return true;
    }
    SSL_set_connect_state(ssl);
    return tls->is_address || SSL_set_tlsext_host_name(ssl, tls->server_name);
}

fb_tls_session *fb_tls_session_new(const fb_tls *tls, int socket_fd, fb_error *err)
{
    fb_tls_session *s = calloc(1, sizeof *s);
    SSL *ssl = SSL_new(tls->ctx);
    if (s == NULL || ssl == NULL || !SSL_set_fd(ssl, socket_fd) || !take_side(tls, ssl)) {
        SSL_free(ssl);
        free(s);
        ERR_clear_error();
        (void)fb_error_set(err, FB_E_NOMEM, 0, "no memory for a TLS session");
        return NULL;
    }
    s->ssl = ssl;
    s->alpn = tls->alpn;
    s->doubtful = SSL_CTX_get0_certificate(tls->ctx) == NULL;
    return s;
}

void fb_tls_session_free(fb_tls_session *session)
{
    if (session == NULL) {
        return;
    }
    if (session->open) {
        (void)SSL_shutdown(session->ssl);
    }
    ERR_clear_error(); /* the queue of errors is the thread's: the next session starts clean */
    SSL_free(session->ssl);
    free(session);
}

/* The server has chosen the protocol that it must. */
static bool is_chosen(const fb_tls_session *s)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(s->ssl, &name, &len);
    return s->alpn[0] == 0 || (len == s->alpn[0] && memcmp(name, s->alpn + 1, len) == 0);
}

int fb_tls_handshake(fb_tls_session *session, fb_error *err)
{
    ERR_clear_error();
    errno = 0;
    const int rc = SSL_do_handshake(session->ssl);
    if (rc != 1) {
        return outcome(session, rc, err);
    }
    session->open = true;
    if (!is_chosen(session)) {
        return fb_error_set(err, FB_E_CONNECT, 0,
                            "the server does not choose %.*s in the TLS handshake (ALPN)",
                            session->alpn[0], (const char *)session->alpn + 1);
    }
    session->in_kernel = BIO_get_ktls_send(SSL_get_wbio(session->ssl)) > 0;
    return 1;
}

static bool goes_by_sendfile(const fb_tls_session *s, const fb_piece *piece)
{
    return s->in_kernel && piece->fd >= 0 && piece->length >= FB_OUTQ_ZEROCOPY_MIN;
}

static int truncated(const fb_piece *piece, fb_error *err)
{
    return fb_error_set(err, FB_E_DATA, 0, "the dataset file ends before byte %lld",
                        (long long)piece->offset + (long long)piece->length);
}

/* A read, not a copy from the mapping: beyond the end of a truncated file that would be a SIGBUS.
 */
static int read_file(const fb_piece *piece, uint8_t *into, size_t len, fb_error *err)
{
    const ssize_t n = pread(piece->fd, into, len, piece->offset);
    if (FB_UNLIKELY(n < 0)) {
        return fb_error_set(err, FB_E_DATA, errno, "cannot read the dataset file: %s",
                            strerror(errno));
    }
    return (size_t)n == len ? FB_OK : truncated(piece, err);
}

/* Fills record from as many pieces as it takes; memory that fills it alone stays where it is.
 * *bytes and *len: what to encrypt. */
static int gather(const fb_tls_session *s, const fb_outq *q, uint8_t *record, const uint8_t **bytes,
                  size_t *len, fb_error *err)
{
    const fb_piece *first = &q->ring[q->head & q->mask];
    *bytes = first->bytes;
    *len = first->length;
    if (first->fd < 0 && (first->length >= RECORD_BYTES || q->tail - q->head == 1)) {
        return FB_OK;
    }
    *bytes = record;
    *len = 0;
    int rc = FB_OK;
    for (uint32_t i = q->head; rc == FB_OK && i != q->tail && *len < RECORD_BYTES; i++) {
        const fb_piece *piece = &q->ring[i & q->mask];
        if (goes_by_sendfile(s, piece)) {
            break;
        }
        const size_t room = RECORD_BYTES - *len;
        const size_t n = piece->length < room ? piece->length : room;
        if (piece->fd >= 0) {
            rc = read_file(piece, record + *len, n, err);
        } else {
            memcpy(record + *len, piece->bytes, n);
        }
        *len += n;
    }
    return rc;
}

static long send_record(fb_tls_session *s, fb_outq *q, fb_error *err)
{
    uint8_t record[RECORD_BYTES];
    const uint8_t *bytes = NULL;
    size_t len = 0;
    size_t n = 0;
    const int rc = gather(s, q, record, &bytes, &len, err);
    if (FB_UNLIKELY(rc != FB_OK)) {
        return rc;
    }
    errno = 0;
    const uint64_t before = BIO_number_written(SSL_get_wbio(s->ssl));
    const int ok = SSL_write_ex(s->ssl, bytes, len, &n);
    if (ok != 1) {
        s->begun |= BIO_number_written(SSL_get_wbio(s->ssl)) > before;
        return outcome(s, ok, err);
    }
    s->begun = false;
    fb_outq_advance(q, n);
    return (long)n;
}

static long send_file(fb_tls_session *s, fb_outq *q, fb_error *err)
{
    const fb_piece *piece = &q->ring[q->head & q->mask];
    errno = 0;
    const ossl_ssize_t n = SSL_sendfile(s->ssl, piece->fd, piece->offset, piece->length, 0);
    if (n < 0) {
        return outcome(s, (int)n, err);
    }
    if (n == 0) {
        return truncated(piece, err);
    }
    fb_outq_advance(q, (uint64_t)n);
    return (long)n;
}

/* Several records in a row cost a fifth less when they leave in segments longer than a record. */
static void cork(fb_tls_session *s, bool wanted)
{
    const int value = wanted;
    if (s->corked != wanted) {
        (void)setsockopt(SSL_get_fd(s->ssl), IPPROTO_TCP, TCP_CORK, &value, sizeof value);
        s->corked = wanted;
    }
}

long fb_tls_step(fb_tls_session *session, fb_outq *q, fb_error *err)
{
    if (fb_outq_empty(q)) {
        return 0;
    }
    if (q->pushed - q->sent > RECORD_BYTES) {
        cork(session, true);
    }
    ERR_clear_error();
    const long n = goes_by_sendfile(session, &q->ring[q->head & q->mask])
                       ? send_file(session, q, err)
                       : send_record(session, q, err);
    if (fb_outq_empty(q)) {
        cork(session, false);
    }
    return n;
}

bool fb_tls_has_begun(const fb_tls_session *session)
{
    return session->begun;
}

long fb_tls_recv(fb_tls_session *session, void *buffer, size_t len, fb_error *err)
{
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    const int ok = SSL_read_ex(session->ssl, buffer, len, &n);
    if (ok != 1) {
        return outcome(session, ok, err);
    }
    session->doubtful = false;
    return (long)n;
}

bool fb_tls_has_rest(const fb_tls_session *session)
{
    return SSL_has_pending(session->ssl);
}
