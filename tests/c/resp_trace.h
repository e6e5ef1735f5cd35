/* Feeds bytes to a RESP reader in given pieces and writes down all that it says. */
#ifndef FB_RESP_TRACE_H
#define FB_RESP_TRACE_H

#include "reader_trace.h"
#include "resp.h"

#include <inttypes.h>

/* Each inference is "<end offset> <outcome> <class>|<text>". */
/* Feeds one piece; returns false after a protocol error. */
static inline bool resp_trace_piece(reader_trace *t, fb_resp_reader *r, const fb_resp_spec *spec,
                                    const uint8_t *bytes, size_t len)
{
    uint8_t *const piece = reader_trace_copy(bytes, len);
    if (piece == NULL)
        return false;
    long n = 0;
    for (size_t at = 0; at < len && n >= 0; at += (size_t)n) {
        fb_reply reply;
        n = fb_resp_feed(r, spec, piece + at, len - at, &reply);
        if (n < 0)
            reader_trace_add(t, "broken at %" PRIu64 ": %s", r->offset, r->found.error_text);
        n = reader_trace_count(t, n, len - at, n > 0 && reply.done);
        if (n > 0 && reply.done) {
            reader_trace_add(t, "%" PRIu64 " %d %s|%s;", r->offset, (int)reply.outcome,
                             reply.error_class, reply.error_text);
        }
    }
    free(piece);
    return n >= 0;
}

/* Traces bytes cut into pieces of the given sizes, over and over; a zero size ends the list. */
static inline void resp_trace_run(reader_trace *t, const fb_resp_spec *spec, const uint8_t *bytes,
                                  size_t len, const size_t *sizes)
{
    reader_trace_clear(t);
    fb_resp_reader r;
    fb_resp_init(&r);
    const size_t *size = sizes;
    for (size_t at = 0; at < len;) {
        const size_t piece = *size < len - at ? *size : len - at;
        if (!resp_trace_piece(t, &r, spec, bytes + at, piece))
            return;
        at += piece;
        size = size[1] != 0 ? size + 1 : sizes;
    }
    reader_trace_add(t, "more at %" PRIu64, r.offset);
}

#endif
