/* In place of tls.c where OpenSSL was not there at build time. */
#include "tls.h"

static int absent(fb_error *err)
{
    return fb_error_set(err, FB_E_INVAL, 0,
                        "fastbench was built without OpenSSL and cannot speak TLS: install "
                        "libssl-dev and build it again");
}

fb_tls *fb_tls_new(const fb_tls_config *config, fb_error *err)
{
    (void)config;
    (void)absent(err);
    return NULL;
}

fb_tls *fb_tls_new_server(const char *suite, fb_error *err)
{
    (void)suite;
    (void)absent(err);
    return NULL;
}

void fb_tls_free(fb_tls *tls)
{
    (void)tls;
}

fb_tls_session *fb_tls_session_new(const fb_tls *tls, int socket_fd, fb_error *err)
{
    (void)tls;
    (void)socket_fd;
    (void)absent(err);
    return NULL;
}

void fb_tls_session_free(fb_tls_session *session)
{
    (void)session;
}

int fb_tls_handshake(fb_tls_session *session, fb_error *err)
{
    (void)session;
    return absent(err);
}

long fb_tls_step(fb_tls_session *session, fb_outq *q, fb_error *err)
{
    (void)session;
    (void)q;
    return absent(err);
}

bool fb_tls_has_begun(const fb_tls_session *session)
{
    (void)session;
    return false;
}

long fb_tls_recv(fb_tls_session *session, void *buffer, size_t len, fb_error *err)
{
    (void)session;
    (void)buffer;
    (void)len;
    return absent(err);
}

bool fb_tls_has_rest(const fb_tls_session *session)
{
    (void)session;
    return false;
}
