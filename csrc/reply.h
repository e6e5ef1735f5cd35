/* What a reply reader says about one inference, whatever the protocol.
 *
 * Strings point into the reader and hold until its next call. Worker only. */
#ifndef FB_REPLY_H
#define FB_REPLY_H

#include "base.h"

#include <stdbool.h>
#include <string.h>

typedef enum fb_outcome {
    FB_OUTCOME_OK,
    FB_OUTCOME_ERROR,
    FB_OUTCOME_TIMEDOUT, /* the server says that it gave up in time ("+TIMEDOUT") */
} fb_outcome;

#define FB_ERROR_CLASS_MAX 32
#define FB_ERROR_TEXT_MAX 160

typedef struct fb_reply {
    bool done; /* the last byte of the inference's last reply was consumed */
    fb_outcome outcome;
    const char *error_class; /* first word of the first error, "NA", "UNEXPECTED" or, of HTTP, e.g.
                              * "HTTP 404"; "" if none */
    const char *error_text;  /* first line of that error, cut to fit; "" if none */
    bool out_of_step; /* the server may reply once more than it was asked: only a new connection
                       * tells which reply belongs to what */
    bool last;        /* the peer closes the connection after it, and reads no more */
} fb_reply;

/* The value of one reply, kept for later: memory of whoever wants it. */
typedef struct fb_body {
    uint8_t *bytes;
    uint32_t room;
    bool found;   /* the reply has a value, perhaps an empty one */
    uint64_t len; /* of the value, of which `bytes` holds what has room */
} fb_body;

/* Adds the next bytes of a value. */
static inline void fb_body_add(fb_body *body, const uint8_t *bytes, size_t len)
{
    const size_t room = body->len < body->room ? body->room - (size_t)body->len : 0;
    if (room > 0 && len > 0) {
        memcpy(body->bytes + body->len, bytes, len < room ? len : room);
    }
    body->found = true;
    body->len += len;
}

#endif
