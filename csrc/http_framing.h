/* What the fields of a head say about its body and its connection (RFC 9112, 6 and 9).
 *
 * Owned by whoever reads the head; all zero = nothing was said. Text has no NUL behind it. Any
 * thread. */
#ifndef FB_HTTP_FRAMING_H
#define FB_HTTP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FB_HTTP_MAX_BODY (INT64_C(1) << 40) /* bytes of a body, or of one chunk */

typedef struct fb_http_framing {
    uint64_t length;  /* Content-Length, */
    bool has_length;  /* which was given */
    bool chunked;     /* the last transfer coding is chunked */
    bool coded;       /* there is a transfer coding */
    bool close, keep; /* the connection's options */
} fb_http_framing;

/* Bytes of the token that the text begins with (RFC 9110, 5.6.2): a method, the name of a field. */
size_t fb_http_token(const char *text, size_t len);

/* Takes up what a field's line says, whose name has `name` bytes and a colon behind it. *frames
 * tells whether it is one of the few that say anything. NULL, or what is wrong with it. */
const char *fb_http_framing_take(fb_http_framing *f, const char *field, size_t len, size_t name,
                                 bool *frames);

#endif
