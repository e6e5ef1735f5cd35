/* What the request reader says about some bytes, as text: "4 PING 2 e=hi;more at 18". */
#ifndef FB_REQUEST_TRACE_H
#define FB_REQUEST_TRACE_H

#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_TRACE_ECHO 16

typedef struct request_trace {
    char text[1 << 16];
    size_t len;
} request_trace;

#define REQUEST_TRACE_ADD(t, ...) \
    ((t)->len += (size_t)snprintf((t)->text + (t)->len, sizeof(t)->text - (t)->len, __VA_ARGS__))

/* One command: where it ended, its kind and what its reply depends on. */
static inline void request_trace_command(request_trace *t, const fb_request_reader *r, size_t at)
{
    static const char *const names[] = {"OK",    "BULK", "DAG",     "PING", "ECHO",
                                        "HELLO", "INFO", "COMMAND", "QUIT"};
    REQUEST_TRACE_ADD(t, "%zu %s %u", at, names[r->kind], r->args);
    if (r->kind == FB_REQUEST_DAG) {
        REQUEST_TRACE_ADD(t, " ");
        for (uint32_t i = 0; i < r->ops; i++) {
            REQUEST_TRACE_ADD(t, "%c", r->op_is_bulk[i / 64] >> (i % 64) & 1 ? '$' : '+');
        }
    }
    if ((r->kind == FB_REQUEST_PING || r->kind == FB_REQUEST_ECHO) && r->args > 1) {
        const uint64_t kept = r->echo_len < r->echo_room ? r->echo_len : r->echo_room;
        REQUEST_TRACE_ADD(t, " %" PRIu64 "=%.*s", r->echo_len, (int)kept, (const char *)r->echo);
    }
    if (r->kind == FB_REQUEST_HELLO && r->args > 1) {
        REQUEST_TRACE_ADD(t, " %" PRId64, r->version);
    }
    REQUEST_TRACE_ADD(t, ";");
}

/* Feeds bytes in pieces of at most `cut` (cycling through cuts, which end with 0). Where `skips`,
 * bytes that say nothing are passed over unseen. Stops when the text is nearly full. */
static inline void request_trace_run(request_trace *t, const uint8_t *bytes, size_t len,
                                     const size_t *cuts, bool skips)
{
    uint8_t echo[REQUEST_TRACE_ECHO];
    fb_request_reader r;
    fb_request_init(&r);
    r.echo = echo;
    r.echo_room = sizeof echo;
    t->len = 0;
    t->text[0] = '\0';
    size_t at = 0;
    for (size_t cut = 0; at < len && t->len < sizeof t->text - 1024;) {
        if (cuts[cut] == 0) {
            cut = 0;
        }
        size_t piece = cuts[cut++];
        piece = piece < len - at ? piece : len - at;
        const uint64_t skippable = fb_request_skippable(&r);
        if (skips && skippable > 0) {
            piece = piece < skippable ? piece : (size_t)skippable;
            fb_request_skip(&r, piece);
            at += piece;
            continue;
        }
        for (const size_t end = at + piece; at < end;) {
            const long n = fb_request_feed(&r, bytes + at, end - at);
            if (n <= 0) {
                REQUEST_TRACE_ADD(t, "%ld %s", n, r.error_text);
                return;
            }
            at += (size_t)n;
            if (r.complete) {
                request_trace_command(t, &r, at);
            }
        }
    }
    REQUEST_TRACE_ADD(t, "more at %zu", at);
}

#endif
