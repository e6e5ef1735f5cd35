/* Feeds bytes to an HTTP reader in given pieces and writes down all that it says, as text.
 *
 * Two ways of cutting the same bytes are right when their traces are equal. */
#ifndef FB_HTTP_TRACE_H
#define FB_HTTP_TRACE_H

#include "http.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct http_trace {
    char text[8192]; /* "<end offset> <outcome> <class>|<text>[ last][ head];" each, then the end */
    size_t len;
    bool wrong_count; /* the reader returned a number of bytes that it must not */
} http_trace;

__attribute__((format(printf, 2, 3))) static inline void http_trace_add(http_trace *t,
                                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const size_t room = sizeof t->text - t->len;
    const int n = vsnprintf(t->text + t->len, room, format, args);
    va_end(args);
    t->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static inline void http_trace_reply(http_trace *t, const fb_http_reader *r, const fb_reply *reply)
{
    http_trace_add(t, "%" PRIu64 " %d %s|%s%s%s;", r->offset, (int)reply->outcome,
                   reply->error_class, reply->error_text, reply->last ? " last" : "",
                   r->asked == FB_HTTP_HEAD ? " head" : "");
}

/* Feeds one piece, which is copied so that AddressSanitizer sees its exact bounds.
 * Returns false after a protocol error. */
static inline bool http_trace_piece(http_trace *t, fb_http_reader *r, fb_http_method method,
                                    const uint8_t *bytes, size_t len)
{
    uint8_t *const piece = malloc(len > 0 ? len : 1);
    if (piece == NULL)
        return false;
    memcpy(piece, bytes, len);
    long n = 0;
    for (size_t at = 0; at < len && n >= 0; at += (size_t)n) {
        fb_reply reply;
        n = fb_http_feed(r, method, piece + at, len - at, &reply);
        if (n == 0 || n > (long)(len - at) || (n > 0 && !reply.done && n != (long)(len - at))) {
            t->wrong_count = true;
            n = -1;
        } else if (n < 0) {
            http_trace_add(t, "broken at %" PRIu64 ": %s", r->offset, r->error_text);
        } else if (reply.done) {
            http_trace_reply(t, r, &reply);
        }
    }
    free(piece);
    return n >= 0;
}

/* Traces bytes cut into pieces of the given sizes, over and over; a zero size ends the list. Then
 * the connection ends. */
static inline void http_trace_run(http_trace *t, fb_http_method method, const uint8_t *bytes,
                                  size_t len, const size_t *sizes)
{
    t->len = 0;
    t->wrong_count = false;
    t->text[0] = '\0';
    fb_http_reader r;
    fb_http_init(&r);
    const size_t *size = sizes;
    for (size_t at = 0; at < len;) {
        const size_t piece = *size < len - at ? *size : len - at;
        if (!http_trace_piece(t, &r, method, bytes + at, piece))
            return;
        at += piece;
        size = size[1] != 0 ? size + 1 : sizes;
    }
    fb_reply reply;
    if (fb_http_end(&r, &reply))
        http_trace_reply(t, &r, &reply);
    else
        http_trace_add(t, "more at %" PRIu64, r.offset);
}

/* Traces bytes one by one, but for those that may be passed over unseen. */
static inline void http_trace_skipping(http_trace *t, fb_http_method method, const uint8_t *bytes,
                                       size_t len)
{
    *t = (http_trace){0};
    fb_http_reader r;
    fb_http_init(&r);
    for (size_t at = 0; at < len;) {
        const uint64_t left = len - at;
        const uint64_t due = fb_http_skippable(&r);
        const uint64_t n = due < left ? due : left;
        fb_http_skip(&r, n);
        at += n;
        if (at < len && !http_trace_piece(t, &r, method, bytes + at++, 1))
            return;
    }
    fb_reply reply;
    if (fb_http_end(&r, &reply))
        http_trace_reply(t, &r, &reply);
    else
        http_trace_add(t, "more at %" PRIu64, r.offset);
}

#endif
