#include "resp_body.h"

#include <stdio.h>
#include <string.h>

/* How many of the next bytes the reader is to get: the string and its end, or one line. */
static size_t next_piece(const fb_resp_reader *r, fb_body *body, const uint8_t *bytes, size_t len)
{
    const int64_t left = fb_resp_body_left(r);
    if (left < 0) {
        const uint8_t *end = memchr(bytes, '\n', len);
        return end ? (size_t)(end - bytes) + 1 : len;
    }
    const size_t here = len < (uint64_t)left ? len : (size_t)left;
    fb_body_add(body, bytes, here);
    return len - here < 2 ? len : here + 2;
}

/* The reply is whole, and no error: it must have been a string. */
static void judge(fb_resp_reader *r, const fb_body *body, fb_reply *reply)
{
    if (body->found || reply->outcome != FB_OUTCOME_OK) {
        return;
    }
    const bool nil = r->elements_seen == 1 && (r->type == '$' || r->type == '_');
    (void)snprintf(r->found.error_class, sizeof r->found.error_class, "%s",
                   nil ? "NIL" : "UNEXPECTED");
    (void)snprintf(r->found.error_text, sizeof r->found.error_text, "%s",
                   nil ? "NIL: there is no such value" : "UNEXPECTED reply: it is not a string");
    reply->outcome = FB_OUTCOME_ERROR;
    reply->error_class = r->found.error_class; /* the shortest replies name none */
    reply->error_text = r->found.error_text;
}

long fb_resp_body_feed(fb_resp_reader *r, const fb_resp_spec *spec, fb_body *body,
                       const uint8_t *bytes, size_t len, fb_reply *reply)
{
    size_t at = 0;
    reply->done = false;
    if (r->fresh) {
        r->type = '\0'; /* the shortest replies leave it as it is */
    }
    while (at < len && !reply->done) {
        const size_t n = next_piece(r, body, bytes + at, len - at);
        const long used = fb_resp_feed(r, spec, bytes + at, n, reply);
        if (used < 0) {
            return used;
        }
        at += (size_t)used;
    }
    if (reply->done) {
        judge(r, body, reply);
    }
    return (long)at;
}
