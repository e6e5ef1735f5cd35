#include "http.h"

#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum state {
    STATE_STATUS, /* in the lines: status, a field, a chunk's size, its end, a trailer's field */
    STATE_FIELD,
    STATE_SIZE,
    STATE_CHUNK_END,
    STATE_TRAILER,
    STATE_BODY, /* in the bodies: of known length, a chunk, up to the end of the connection */
    STATE_CHUNK,
    STATE_TO_END,
    STATE_BROKEN, /* after a protocol error */
};

/* What a reading step returns besides FB_E_PROTOCOL. */
enum progress { GO_ON, COMPLETE };

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *const end;
    const uint8_t *const begin;
} cursor;

/* A line without its end; `len` bytes of it were kept, `whole` says that these are all. */
typedef struct line {
    const char *text;
    size_t len;
    bool whole;
} line;

static_assert(FB_ERROR_TEXT_MAX <= UINT8_MAX,
              "fb_http_reader counts the bytes of a text in 8 bits");
static_assert(FB_HTTP_KEPT > FB_ERROR_TEXT_MAX, "a line in pieces must keep an error's text");

/* ---- life -------------------------------------------------------------------------------- */

static void begin_line(fb_http_reader *r, uint8_t state, uint64_t offset)
{
    r->state = state;
    r->line_at = offset;
    r->line_len = 0;
    r->cr_pending = false;
}

/* Forgets the head of an interim reply; the head's limit holds for all of them together. */
static void begin_head(fb_http_reader *r, uint64_t offset)
{
    r->body_left = 0;
    r->said = (fb_http_framing){0};
    r->framing = r->any_field = r->old = r->closes = false;
    begin_line(r, STATE_STATUS, offset);
}

static void begin_reply(fb_http_reader *r, uint64_t offset)
{
    r->fresh = false;
    r->head_len = 0;
    r->kept_for = 0;
    r->path_len = 0;
    r->error_class[0] = '\0';
    r->error_text[0] = '\0';
    begin_head(r, offset);
}

void fb_http_init(fb_http_reader *r)
{
    memset(r, 0, sizeof *r);
    begin_reply(r, 0);
}

/* ---- failures and findings --------------------------------------------------------------- */

__attribute__((format(printf, 3, 4), cold)) static int fail(fb_http_reader *r, uint64_t offset,
                                                            const char *format, ...)
{
    char text[sizeof r->error_text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fb_text_copy(r->error_text, sizeof r->error_text, text, strlen(text));
    r->offset = offset;
    r->state = STATE_BROKEN;
    return FB_E_PROTOCOL;
}

__attribute__((cold)) static int fail_line(fb_http_reader *r, const char *what, const line *l)
{
    char text[64];
    (void)fb_text_copy(text, sizeof text, l->text, l->len);
    return fail(r, r->line_at, "%s: %s", what, text);
}

/* Any final status but 2xx: its text is the line's from the number on. */
__attribute__((cold)) static void found_error(fb_http_reader *r, const char *text, size_t len)
{
    (void)snprintf(r->error_class, sizeof r->error_class, "HTTP %u", r->status);
    r->error_len = (uint8_t)fb_text_copy(r->error_text, sizeof r->error_text, text, len);
    const size_t room = sizeof r->error_text - 1 - r->error_len;
    r->kept_for = room > 2 ? (uint8_t)(room - 2) : 0; /* for the body, after ": " */
}

/* An error's body says more than its status: its first line is kept. */
__attribute__((cold)) static void keep_text(fb_http_reader *r, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && r->kept_for > 0; i++) {
        const bool blank = bytes[i] <= ' ' || bytes[i] == 0x7f;
        const bool begun = r->error_text[r->error_len] != '\0';
        if ((bytes[i] == '\r' || bytes[i] == '\n') && begun) {
            r->kept_for = 0;
        } else if (begun || !blank) {
            if (!begun) { /* a marker behind the status line's text says that the body's began */
                memcpy(r->error_text + r->error_len, ": ", 3);
            }
            const size_t at = strlen(r->error_text);
            r->error_text[at] = blank ? ' ' : (char)bytes[i];
            r->error_text[at + 1] = '\0';
            r->kept_for--;
        }
    }
}

static int complete(fb_http_reader *r, fb_reply *reply)
{
    const bool ok = r->error_class[0] == '\0';
    r->fresh = true;
    *reply = (fb_reply){.done = true,
                        .outcome = ok ? FB_OUTCOME_OK : FB_OUTCOME_ERROR,
                        .error_class = r->error_class,
                        .error_text = r->error_text,
                        .last = r->closes};
    return COMPLETE;
}

/* ---- fields ------------------------------------------------------------------------------ */

static int folded(fb_http_reader *r, const line *l, bool in_head)
{
    if (!r->any_field || (in_head && r->framing)) {
        return fail_line(r, "a line that begins with a blank", l);
    }
    return GO_ON;
}

static int field(fb_http_reader *r, const line *l, bool in_head)
{
    if (fb_is_blank(l->text[0])) {
        return folded(r, l, in_head);
    }
    const size_t name = fb_http_token(l->text, l->len);
    if (name == 0 || name == l->len || l->text[name] != ':') {
        return fail_line(r, "not a field", l);
    }
    r->any_field = true;
    r->framing = false;
    if (!in_head) {
        return GO_ON;
    }
    const char *const wrong = fb_http_framing_take(&r->said, l->text, l->len, name, &r->framing);
    if (wrong != NULL) {
        return fail_line(r, wrong, l);
    }
    return r->framing && !l->whole ? fail_line(r, "field is too long", l) : GO_ON;
}

/* ---- lines ------------------------------------------------------------------------------- */

/* HTTP/1.x, a blank, three digits, and perhaps a blank and a text. */
static int status_line(fb_http_reader *r, const line *l)
{
    const char *t = l->text;
    const bool good = l->len >= 12 && memcmp(t, "HTTP/1.", 7) == 0 && fb_is_digit(t[7]) &&
                      t[8] == ' ' && fb_is_digit(t[9]) && fb_is_digit(t[10]) &&
                      fb_is_digit(t[11]) && (l->len == 12 || t[12] == ' ');
    if (!good) {
        return fail_line(r, "not a status line of HTTP/1", l);
    }
    r->status = (uint16_t)((t[9] - '0') * 100 + (t[10] - '0') * 10 + (t[11] - '0'));
    if (r->status < 100 || r->status == 101) {
        return fail_line(r, "a status that was not asked for", l);
    }
    r->old = t[7] == '0';
    if (r->status >= 200 && r->status / 100 != 2) {
        found_error(r, t + 9, l->len - 9);
    }
    return GO_ON;
}

static void keep_path(fb_http_reader *r, const char *path, size_t len)
{
    r->path_len = len <= sizeof r->path ? (uint8_t)len : 0;
    memcpy(r->path, path, r->path_len);
}

/* A method, a blank, what is asked for, a blank and HTTP/1.x, which a line that is too long to be
 * kept does not show. */
static int request_line(fb_http_reader *r, const line *l)
{
    static const char version[] = " HTTP/1.";
    const char *const t = l->text;
    const size_t method = fb_http_token(t, l->len);
    bool good = method > 0 && l->len > method + 1 + sizeof version && t[method] == ' ';
    if (good && l->whole) {
        const char *const end = t + l->len - sizeof version;
        good = memchr(t + method + 1, ' ', l->len - method - 1) == end &&
               memcmp(end, version, sizeof version - 1) == 0 && fb_is_digit(t[l->len - 1]);
        keep_path(r, t + method + 1, (size_t)(end - (t + method + 1)));
    }
    if (!good) {
        return fail_line(r, "not a request line of HTTP/1", l);
    }
    r->status = 200; /* nothing in it is an error */
    r->old = l->whole && t[l->len - 1] == '0';
    r->asked = method == 4 && memcmp(t, "HEAD", 4) == 0 ? FB_HTTP_HEAD : FB_HTTP_OTHER;
    return GO_ON;
}

static void begin_body(fb_http_reader *r, uint8_t state, uint64_t length)
{
    r->body_left = length;
    r->state = state;
}

static bool has_no_body(const fb_http_reader *r, fb_http_method method)
{
    const fb_http_framing *said = &r->said;
    const bool framed = said->has_length || said->coded;
    return method == FB_HTTP_HEAD || r->status == 204 || r->status == 304 ||
           (said->has_length && said->length == 0) || (method == FB_HTTP_REQUEST && !framed);
}

/* The head is read: RFC 9112 6.3 says how long the body is. */
static int head_end(fb_http_reader *r, fb_http_method method, uint64_t next, fb_reply *reply)
{
    if (r->status < 200) {
        begin_head(r, next);
        return GO_ON;
    }
    const fb_http_framing *said = &r->said;
    r->closes = said->close || (r->old && !said->keep);
    if (said->has_length && said->coded) {
        return fail(r, r->line_at, "both Content-Length and Transfer-Encoding");
    }
    if (has_no_body(r, method)) {
        return complete(r, reply);
    }
    if (said->has_length) {
        begin_body(r, STATE_BODY, said->length);
    } else if (said->chunked) {
        begin_line(r, STATE_SIZE, next);
    } else if (method == FB_HTTP_REQUEST) {
        return fail(r, r->line_at, "a request whose body has no end");
    } else {
        r->closes = true;
        begin_body(r, STATE_TO_END, UINT64_MAX);
    }
    return GO_ON;
}

/* Hexadecimal digits, then perhaps blanks and extensions, which say nothing to us. */
static int size_line(fb_http_reader *r, const line *l, uint64_t next)
{
    uint64_t size = 0;
    size_t n = 0;
    for (; n < l->len && fb_hex_digit(l->text[n]) >= 0 && size <= (uint64_t)FB_HTTP_MAX_BODY; n++) {
        size = size * 16 + (uint64_t)fb_hex_digit(l->text[n]);
    }
    size_t after = n;
    while (after < l->len && fb_is_blank(l->text[after])) {
        after++;
    }
    if (size > (uint64_t)FB_HTTP_MAX_BODY) {
        return fail_line(r, "chunk is too long", l);
    }
    if (n == 0 || (after < l->len && l->text[after] != ';')) {
        return fail_line(r, "not the size of a chunk", l);
    }
    if (size == 0) {
        r->any_field = false;
        begin_line(r, STATE_TRAILER, next);
    } else {
        begin_body(r, STATE_CHUNK, size);
    }
    return GO_ON;
}

static int chunk_end(fb_http_reader *r, const line *l, uint64_t next)
{
    if (l->len > 0) {
        return fail_line(r, "a chunk is longer than it says", l);
    }
    begin_line(r, STATE_SIZE, next);
    return GO_ON;
}

/* What a whole line means; `next`: the offset behind it. */
static int end_line(fb_http_reader *r, fb_http_method method, const line *l, uint64_t next,
                    fb_reply *reply)
{
    const uint8_t state = r->state;
    int rc = GO_ON;
    switch (state) {
    case STATE_SIZE:
        return size_line(r, l, next);
    case STATE_CHUNK_END:
        return chunk_end(r, l, next);
    case STATE_STATUS:
        rc = method == FB_HTTP_REQUEST ? request_line(r, l) : status_line(r, l);
        break;
    default:
        if (l->len == 0) {
            return state == STATE_FIELD ? head_end(r, method, next, reply) : complete(r, reply);
        }
        rc = field(r, l, state == STATE_FIELD);
        break;
    }
    if (rc == GO_ON) {
        begin_line(r, state == STATE_TRAILER ? STATE_TRAILER : STATE_FIELD, next);
    }
    return rc;
}

static bool is_text(uint8_t byte)
{
    return byte >= 0x20 ? byte != 0x7f : byte == '\t';
}

/* The line goes on in the next piece: its first bytes are kept. */
static void keep_line(fb_http_reader *r, const uint8_t *bytes, size_t len)
{
    if (r->line_len < sizeof r->line) {
        const size_t room = sizeof r->line - r->line_len;
        memcpy(r->line + r->line_len, bytes, len < room ? len : room);
    }
    r->line_len += (uint32_t)len;
}

/* A chunk's own lines are no head: a long reply may have any number of them. */
static bool in_head(const fb_http_reader *r)
{
    return r->state != STATE_SIZE && r->state != STATE_CHUNK_END;
}

/* How many more bytes the line may have. */
static size_t line_room(const fb_http_reader *r)
{
    const size_t line_left = FB_HTTP_MAX_LINE - r->line_len;
    const size_t head_left = in_head(r) ? FB_HTTP_MAX_HEAD - r->head_len : line_left;
    return head_left < line_left ? head_left : line_left;
}

__attribute__((cold)) static int too_long(fb_http_reader *r, size_t n)
{
    return r->line_len + n == FB_HTTP_MAX_LINE
               ? fail(r, r->line_at, "line is longer than %d bytes", FB_HTTP_MAX_LINE)
               : fail(r, r->line_at, "head is longer than %d bytes", FB_HTTP_MAX_HEAD);
}

static int bad_byte(fb_http_reader *r, const cursor *c)
{
    return fail(r, r->offset + (uint64_t)(c->at - c->begin), "byte 0x%02x in a line", *c->at);
}

/* The line whose text ends at c->at, with its first bytes wherever they are. */
static line text_of(const fb_http_reader *r, const uint8_t *from, size_t n)
{
    if (r->line_len > n) { /* it began in an earlier piece, which was kept */
        const size_t kept = r->line_len < sizeof r->line ? r->line_len : sizeof r->line;
        return (line){r->line, kept, r->line_len <= sizeof r->line};
    }
    const size_t kept = n < sizeof r->line ? n : sizeof r->line;
    return (line){(const char *)from, kept, n <= sizeof r->line};
}

/* Passes over the text of a line, as far as it is there; returns its bytes, or < 0. */
static long scan(fb_http_reader *r, cursor *c)
{
    const uint8_t *const from = c->at;
    const size_t room = line_room(r);
    const uint8_t *const limit = (size_t)(c->end - from) < room ? c->end : from + room;
    while (c->at < limit && is_text(*c->at)) {
        c->at++;
    }
    const size_t n = (size_t)(c->at - from);
    if (FB_UNLIKELY(c->at < c->end && *c->at != '\r')) {
        return is_text(*c->at) ? too_long(r, n) : bad_byte(r, c);
    }
    r->head_len += in_head(r) ? (uint32_t)n : 0;
    r->cr_pending = c->at < c->end;
    c->at += r->cr_pending;
    return (long)n;
}

static int read_line(fb_http_reader *r, fb_http_method method, cursor *c, fb_reply *reply)
{
    const uint8_t *const from = c->at;
    const long n = r->cr_pending ? 0 : scan(r, c);
    if (n < 0) {
        return FB_E_PROTOCOL;
    }
    const bool ends = r->cr_pending && c->at < c->end;
    if (!ends || r->line_len > 0) {
        keep_line(r, from, (size_t)n);
    } else {
        r->line_len = (uint32_t)n;
    }
    if (!ends) {
        return GO_ON;
    }
    if (*c->at != '\n') {
        return bad_byte(r, c);
    }
    c->at++;
    const line l = text_of(r, from, (size_t)n);
    return end_line(r, method, &l, r->offset + (uint64_t)(c->at - c->begin), reply);
}

/* ---- bodies ------------------------------------------------------------------------------ */

static int read_body(fb_http_reader *r, cursor *c, fb_reply *reply)
{
    const size_t there = (size_t)(c->end - c->at);
    const size_t n = there < r->body_left ? there : (size_t)r->body_left;
    if (FB_UNLIKELY(r->kept_for > 0)) {
        keep_text(r, c->at, n);
    }
    c->at += n;
    r->body_left -= r->state == STATE_TO_END ? 0 : n;
    if (r->body_left > 0) {
        return GO_ON;
    }
    if (r->state == STATE_BODY) {
        return complete(r, reply);
    }
    begin_line(r, STATE_CHUNK_END, r->offset + (uint64_t)(c->at - c->begin));
    return GO_ON;
}

long fb_http_feed(fb_http_reader *r, fb_http_method method, const uint8_t *bytes, size_t len,
                  fb_reply *reply)
{
    cursor c = {bytes, bytes + len, bytes};
    reply->done = false;
    int rc = r->state == STATE_BROKEN ? FB_E_PROTOCOL : GO_ON;
    if (r->fresh) {
        begin_reply(r, r->offset);
    }
    while (rc == GO_ON && c.at < c.end) {
        rc = r->state < STATE_BODY ? read_line(r, method, &c, reply) : read_body(r, &c, reply);
    }
    if (FB_UNLIKELY(rc < 0)) {
        return rc;
    }
    r->offset += (uint64_t)(c.at - bytes);
    return (long)(c.at - bytes);
}

uint64_t fb_http_skippable(const fb_http_reader *r)
{
    const bool known = r->state == STATE_BODY || r->state == STATE_CHUNK;
    return known && !r->fresh && r->kept_for == 0 ? r->body_left - 1 : 0;
}

void fb_http_skip(fb_http_reader *r, uint64_t n)
{
    r->offset += n;
    r->body_left -= n;
}

bool fb_http_end(fb_http_reader *r, fb_reply *reply)
{
    reply->done = false;
    return r->state == STATE_TO_END && !r->fresh && complete(r, reply) == COMPLETE;
}
