/* One client of the null server: reads requests from a socket and answers them at once, in RESP,
 * HTTP/1.1 or gRPC, as the replies that it is lent are.
 *
 * A connection owns its socket and its memory; the replies, which stand ready as bytes, and the
 * workspace that the connections of one thread share are lent by the server. One thread serves a
 * connection; the replies are read-only and shared by all. No allocation after fb_nullconn_new, but
 * for what libnghttp2 makes of each call of gRPC. */
#ifndef FB_NULLCONN_H
#define FB_NULLCONN_H

#include "base.h"
#include "nullreplies.h"
#include "tls.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What the connections of one thread share: a buffer, and a way out for bytes that say nothing. */
typedef struct fb_nullspace {
    uint8_t *received;
    int drain[2]; /* a pipe */
    int null_fd;  /* /dev/null */
    /* Written by the thread alone, read by any: each number is true by itself. */
    _Atomic uint64_t requests;
    _Atomic uint64_t bytes; /* received */
} fb_nullspace;

/* FB_E_NOMEM, FB_E_SYS; fini is due even then. */
int fb_nullspace_init(fb_nullspace *space, fb_error *err);
void fb_nullspace_fini(fb_nullspace *space);

/* What a connection waits for after it was served. */
typedef enum fb_nullconn_state {
    FB_NULLCONN_READS,   /* more bytes */
    FB_NULLCONN_BLOCKED, /* the client to take its replies; it is not read before */
    FB_NULLCONN_READY,   /* nothing: it had its share for now */
    FB_NULLCONN_GONE,    /* it ended, or sent what is no request and was told so */
} fb_nullconn_state;

typedef struct fb_nullconn fb_nullconn;

/* Takes over fd, a connected non-blocking stream socket. `tls`: a server's context, lent; NULL = in
 * plain text. NULL without memory; fd is then still the caller's. */
fb_nullconn *fb_nullconn_new(int fd, const fb_nullreplies *replies, const fb_tls *tls,
                             fb_nullspace *space);

/* Sends, reads and answers what there is, within limits. `ends` says that the client closed its
 * side, so that the end of the stream must be read, too. Made for edge-triggered polling: after
 * READS only new bytes or an end need a new call. */
fb_nullconn_state fb_nullconn_serve(fb_nullconn *c, bool ends);

int fb_nullconn_fd(const fb_nullconn *c);

/* Closes the socket. Accepts NULL. */
void fb_nullconn_free(fb_nullconn *c);

#endif
