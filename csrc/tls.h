/* TLS between a connection and its socket, by OpenSSL.
 *
 * A context is what one stream wants, or the null server has: certificates, versions, whom to
 * trust. It is made before start and then only read, by all threads. A session is one connection's;
 * it is made when the socket stands and freed before the socket is closed. Whoever makes one frees
 * it; sockets and queues stay the caller's. Sessions: worker only, with SIGPIPE blocked. Built
 * without OpenSSL (tls_none.c), fb_tls_new fails and says so, and no session is ever made. */
#ifndef FB_TLS_H
#define FB_TLS_H

#include "outq.h"

enum { FB_TLS_1_2 = 2, FB_TLS_1_3 = 3 };

/* Files are PEM. */
typedef struct fb_tls_config {
    const char *ca_file;     /* who may sign the server's certificate; NULL = the system's list */
    const char *cert_file;   /* our own certificate with its chain; NULL = none */
    const char *key_file;    /* of cert_file, not encrypted */
    const char *server_name; /* host name or IP address that the certificate must name */
    const char *alpn;        /* the protocol that the server must choose (ALPN); NULL = any */
    int min_version;         /* FB_TLS_1_2 or FB_TLS_1_3 */
    bool insecure;           /* take any certificate */
} fb_tls_config;

typedef struct fb_tls fb_tls;
typedef struct fb_tls_session fb_tls_session;

/* NULL when a file cannot be used (FB_E_INVAL) or memory ran out (FB_E_NOMEM). Before start. */
fb_tls *fb_tls_new(const fb_tls_config *config, fb_error *err);
/* A server's, for clients that take any certificate (selfsigned.h): it chooses what a client asks
 * for first by ALPN, and of ciphers the one named `suite` as OpenSSL calls it: TLS_... is
 * TLS 1.3's, any other TLS 1.2's; NULL = whichever OpenSSL prefers. NULL: FB_E_INVAL for a suite
 * that it cannot offer, FB_E_NOMEM. Before start. */
fb_tls *fb_tls_new_server(const char *suite, fb_error *err);
/* Accepts NULL. After the last session of the context is gone. */
void fb_tls_free(fb_tls *tls);

/* A session on a connected, non-blocking socket, of the context's side. NULL: FB_E_NOMEM. */
fb_tls_session *fb_tls_session_new(const fb_tls *tls, int socket_fd, fb_error *err);
/* Says good-bye to a peer that is still there; never waits. Accepts NULL. */
void fb_tls_session_free(fb_tls_session *session);

/* Goes on with the handshake. > 0 = done; 0 = call again when the socket is readable or writable;
 * FB_E_CONNECT = refused by one side, the text says by whom and why; FB_E_CLOSED. */
int fb_tls_handshake(fb_tls_session *session, fb_error *err);

/* Like fb_outq_step, encrypted: hands over at most one record (16 KiB) or, by kernel TLS, one
 * sendfile. Memory that fills a record is encrypted where it lies; shorter pieces are
 * gathered, and those of a file are read, since its mapping ends when the file is truncated.
 * > 0 bytes of q that left; 0 = call again when the socket is readable or writable, or q is
 * empty; FB_E_CLOSED, FB_E_DATA as there. After 0 the queue may grow but must not be reset. */
long fb_tls_step(fb_tls_session *session, fb_outq *q, fb_error *err);

/* After fb_tls_step returned 0: the socket took a part of the record that waits. */
bool fb_tls_has_begun(const fb_tls_session *session);

/* > 0 bytes received, at most a record's; 0 = none now, everything that came was given out;
 * FB_E_CLOSED = the peer closed, or the connection broke. */
long fb_tls_recv(fb_tls_session *session, void *buffer, size_t len, fb_error *err);

/* Bytes from the socket wait in the session, of which epoll knows nothing. */
bool fb_tls_has_rest(const fb_tls_session *session);

#endif
