/* Feeds bytes to an HTTP reader in given pieces and writes down all that it says. */
#ifndef FB_HTTP_TRACE_H
#define FB_HTTP_TRACE_H

#include "http.h"
#include "reader_trace.h"

#include <inttypes.h>

/* Each reply is "<end offset> <outcome> <class>|<text>[ last][ head]". */
static inline void http_trace_reply(reader_trace *t, const fb_http_reader *r, const fb_reply *reply)
{
    reader_trace_add(t, "%" PRIu64 " %d %s|%s%s%s;", r->offset, (int)reply->outcome,
                     reply->error_class, reply->error_text, reply->last ? " last" : "",
                     r->asked == FB_HTTP_HEAD ? " head" : "");
}

/* Feeds one piece; returns false after a protocol error. */
static inline bool http_trace_piece(reader_trace *t, fb_http_reader *r, fb_http_method method,
                                    const uint8_t *bytes, size_t len)
{
    uint8_t *const piece = reader_trace_copy(bytes, len);
    if (piece == NULL)
        return false;
    long n = 0;
    for (size_t at = 0; at < len && n >= 0; at += (size_t)n) {
        fb_reply reply;
        n = fb_http_feed(r, method, piece + at, len - at, &reply);
        if (n < 0)
            reader_trace_add(t, "broken at %" PRIu64 ": %s", r->offset, r->error_text);
        n = reader_trace_count(t, n, len - at, n > 0 && reply.done);
        if (n > 0 && reply.done)
            http_trace_reply(t, r, &reply);
    }
    free(piece);
    return n >= 0;
}

/* Traces bytes cut into pieces of the given sizes, over and over; a zero size ends the list. Then
 * the connection ends. */
static inline void http_trace_run(reader_trace *t, fb_http_method method, const uint8_t *bytes,
                                  size_t len, const size_t *sizes)
{
    reader_trace_clear(t);
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
        reader_trace_add(t, "more at %" PRIu64, r.offset);
}

/* Traces bytes one by one, but for those that may be passed over unseen. */
static inline void http_trace_skipping(reader_trace *t, fb_http_method method, const uint8_t *bytes,
                                       size_t len)
{
    *t = (reader_trace){0};
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
        reader_trace_add(t, "more at %" PRIu64, r.offset);
}

#endif
