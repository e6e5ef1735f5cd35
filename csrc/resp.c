#include "resp.h"

#include "resp_value.h"
#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum state {
    STATE_HEAD,    /* at the type byte of an element */
    STATE_LINE,    /* in a line whose end was not in the buffer with its beginning */
    STATE_BODY,    /* in the body of a bulk string */
    STATE_BODY_CR, /* behind it */
    STATE_BODY_LF,
    STATE_BROKEN, /* after a protocol error */
};

/* What a reading step returns besides FB_E_PROTOCOL. */
enum progress { GO_ON, COMPLETE };

#define OK_BYTES 5 /* of "+OK" with its line end */

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *const end;
    const uint8_t *const begin;
} cursor;

static_assert(FB_RESP_MAX_DEPTH <= 32, "fb_resp_reader.skipped has one bit per depth");
static_assert(FB_RESP_MAX_SHORT >= FB_ERROR_TEXT_MAX, "a line in pieces must keep an error's text");

void fb_resp_init(fb_resp_reader *r)
{
    memset(r, 0, sizeof *r);
    r->state = STATE_HEAD;
    r->fresh = true;
}

/* ---- failures ---------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4), cold)) static int fail(fb_resp_reader *r, uint64_t offset,
                                                            const char *format, ...)
{
    char text[sizeof r->found.error_text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fb_text_copy(r->found.error_text, sizeof r->found.error_text, text, strlen(text));
    r->offset = offset;
    r->state = STATE_BROKEN;
    return FB_E_PROTOCOL;
}

/* What is inside a push message or an attribute is no error of the reply. */
__attribute__((cold)) static void found_error(fb_resp_reader *r, const char *text, size_t len)
{
    if (r->skipped == 0)
        fb_resp_found_error(&r->found, text, len);
}

/* ---- elements ---------------------------------------------------------------------------- */

/* An element has begun: counts it and compares it with the one expected in its place. */
static inline void begin_element(fb_resp_reader *r, const fb_resp_spec *spec, char type,
                                 int64_t length)
{
    if (FB_UNLIKELY(r->skipped != 0))
        return;
    const uint64_t index = r->elements_seen++;
    if (spec->expects == 0)
        return;
    if (index < spec->expects) {
        const fb_resp_expect *const due = &spec->expect[index];
        if (due->type == type && (due->length == length || due->length == FB_RESP_ANY_LENGTH ||
                                  length == FB_RESP_NO_LENGTH))
            return;
    }
    fb_resp_found_unexpected(&r->found, spec, index, type, length);
}

/* An element has ended: so may have the aggregates that it is the last of, and the inference. */
static inline int end_element(fb_resp_reader *r, const fb_resp_spec *spec)
{
    while (r->depth > 0) {
        if (--r->items[r->depth - 1] > 0)
            return GO_ON;
        r->depth--;
        const uint32_t bit = UINT32_C(1) << r->depth;
        if (FB_UNLIKELY(r->skipped & bit)) { /* a push or an attribute is no element */
            r->skipped &= ~bit;
            return GO_ON;
        }
    }
    return ++r->replies_seen == spec->replies ? COMPLETE : GO_ON;
}

static inline int scalar(fb_resp_reader *r, const fb_resp_spec *spec, char type)
{
    begin_element(r, spec, type, FB_RESP_NO_LENGTH);
    return end_element(r, spec);
}

static int simple_string(fb_resp_reader *r, const fb_resp_spec *spec, const char *line, size_t len)
{
    begin_element(r, spec, '+', FB_RESP_NO_LENGTH);
    if (spec->redisai && r->skipped == 0) {
        if (r->depth == 0 && fb_text_is("TIMEDOUT", line, len))
            fb_resp_found_timeout(&r->found);
        else if (r->depth > 0 && fb_text_is("NA", line, len))
            found_error(r, line, len);
    }
    return end_element(r, spec);
}

/* The header of a string that has its length before it. */
static inline int bulk(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c, int64_t length)
{
    if (FB_UNLIKELY(length > FB_RESP_MAX_BULK))
        return fail(r, r->element_at, "string of %lld bytes is too long", (long long)length);
    if (FB_UNLIKELY(r->type == '=' && length < 4))
        return fail(r, r->element_at, "verbatim string of %lld bytes has no format",
                    (long long)length);
    begin_element(r, spec, (char)r->type, length);
    if (FB_LIKELY(c->end - c->at >= length + 2 && r->type != '!') && c->at[length] == '\r' &&
        c->at[length + 1] == '\n') {
        c->at += length + 2;
        return end_element(r, spec);
    }
    r->body_left = length;
    r->line_len = 0;
    r->state = STATE_BODY;
    return GO_ON;
}

static int aggregate(fb_resp_reader *r, const fb_resp_spec *spec, int64_t length)
{
    const int64_t each = r->type == '%' || r->type == '|' ? 2 : 1;
    if (length > FB_RESP_MAX_ITEMS / each)
        return fail(r, r->element_at, "aggregate of %lld elements is too long", (long long)length);
    const bool skip = r->type == '|' || r->type == '>';
    if (r->type == '>' && r->depth > 0)
        return fail(r, r->element_at, "push message inside a reply");
    if (!skip)
        begin_element(r, spec, (char)r->type, length);
    if (length == 0)
        return skip ? GO_ON : end_element(r, spec);
    if (r->depth == FB_RESP_MAX_DEPTH)
        return fail(r, r->element_at, "reply is nested deeper than %d", FB_RESP_MAX_DEPTH);
    if (skip)
        r->skipped |= UINT32_C(1) << r->depth;
    r->items[r->depth++] = each * length;
    return GO_ON;
}

/* ---- lines ------------------------------------------------------------------------------- */

static int bad_line(fb_resp_reader *r, const char *what, const char *line, size_t len)
{
    char text[48];
    (void)fb_text_copy(text, sizeof text, line, len);
    return fail(r, r->element_at, "%s: %c%s", what, r->type, text);
}

static int bad_length(fb_resp_reader *r, const char *line, size_t len)
{
    if (len > 0 && line[0] == '?')
        return bad_line(r, "streamed replies are not supported", line, len);
    return bad_line(r, "length is not a number >= 0", line, len);
}

/* $ = ! and the aggregates: what the line says of the bytes or elements behind it. */
static int length_line(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c, const char *line,
                       size_t len)
{
    int64_t length = 0;
    if (!fb_resp_integer(line, len, &length))
        return bad_length(r, line, len);
    const bool is_bulk = r->type == '$' || r->type == '=' || r->type == '!';
    if (length == -1 && (r->type == '$' || r->type == '*')) {
        begin_element(r, spec, (char)r->type, length);
        return end_element(r, spec);
    }
    if (length < 0)
        return bad_length(r, line, len);
    return is_bulk ? bulk(r, spec, c, length) : aggregate(r, spec, length);
}

static int scalar_line(fb_resp_reader *r, const fb_resp_spec *spec, const char *line, size_t len,
                       bool valid)
{
    if (!valid)
        return bad_line(r, "not a value of its type", line, len);
    return scalar(r, spec, (char)r->type);
}

/* An error between the replies to RedisAI's commands, none of which is a DAG's array. */
__attribute__((cold)) static void check_step(fb_resp_reader *r, const fb_resp_spec *spec,
                                             const char *line, size_t len)
{
    static const char word[] = "WRONGTYPE ";
    const bool is_dag = spec->expects > 0 && spec->expect[0].type == '*';
    if (spec->redisai && !is_dag && r->depth == 0 && len >= sizeof word - 1 &&
        memcmp(line, word, sizeof word - 1) == 0)
        r->out_of_step = true;
}

/* A line is whole. line holds its first bytes: all of them, except of long text that was cut. */
static int end_line(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c, const char *line,
                    size_t len)
{
    int64_t ignored = 0;
    r->state = STATE_HEAD;
    switch (r->type) {
    case '+':
        return simple_string(r, spec, line, len);
    case '-':
        begin_element(r, spec, '-', FB_RESP_NO_LENGTH);
        found_error(r, line, len);
        check_step(r, spec, line, len);
        return end_element(r, spec);
    case ':':
        return scalar_line(r, spec, line, len, fb_resp_integer(line, len, &ignored));
    case ',':
        return scalar_line(r, spec, line, len, fb_resp_is_double(line, len));
    case '#':
        return scalar_line(r, spec, line, len, len == 1 && (*line == 't' || *line == 'f'));
    case '_':
        return scalar_line(r, spec, line, len, len == 0);
    case '(': /* its digits were checked as they came */
        return scalar_line(r, spec, line, len, len > fb_resp_sign(line, len, "+-"));
    default:
        return length_line(r, spec, c, line, len);
    }
}

/* Whether the next len bytes may belong to the line: the first that may not decides, so that the
 * answer is the same however the line is cut. A piece has a CR only as its first byte, where no
 * LF followed it. */
static int check_piece(fb_resp_reader *r, const char *piece, size_t len)
{
    const bool is_long = r->type == '+' || r->type == '-' || r->type == '(';
    const size_t limit = is_long ? FB_RESP_MAX_LINE : FB_RESP_MAX_SHORT;
    const size_t room = limit - r->line_len;
    const size_t n = len < room ? len : room;
    if (r->type == '(') {
        if (!fb_resp_is_big_number_piece(piece, n, r->line_len))
            return fail(r, r->element_at, "not a big number");
    } else if (n > 0 && (piece[0] == '\r' || memchr(piece, '\n', n) != NULL)) {
        return fail(r, r->element_at, "line of type '%c' has a CR or LF inside", r->type);
    }
    if (len > room)
        return fail(r, r->element_at, "line of type '%c' is longer than %zu bytes", r->type, limit);
    return FB_OK;
}

/* Keeps as much of a piece as has room behind the pieces before it. */
static void keep_piece(fb_resp_reader *r, const char *piece, size_t len)
{
    if (r->line_len < sizeof r->line) {
        const size_t room = sizeof r->line - r->line_len;
        memcpy(r->line + r->line_len, piece, len < room ? len : room);
    }
    r->line_len += (uint32_t)len;
}

static int add_piece(fb_resp_reader *r, const char *piece, size_t len)
{
    const int rc = check_piece(r, piece, len);
    if (rc == FB_OK)
        keep_piece(r, piece, len);
    return rc;
}

/* Reads on in a line that came in pieces. */
static int read_line(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c)
{
    if (r->cr_pending) {
        r->cr_pending = false;
        if (*c->at == '\n') {
            c->at++;
            const size_t kept = r->line_len < sizeof r->line ? r->line_len : sizeof r->line;
            return end_line(r, spec, c, r->line, kept);
        }
        const int rc = add_piece(r, "\r", 1);
        if (rc != FB_OK)
            return rc;
    }
    const size_t left = (size_t)(c->end - c->at);
    const uint8_t *const cr = memchr(c->at, '\r', left);
    const size_t len = cr != NULL ? (size_t)(cr - c->at) : left;
    const int rc = add_piece(r, (const char *)c->at, len);
    c->at += len + (cr != NULL);
    r->cr_pending = cr != NULL;
    return rc;
}

/* ---- the first line of an element -------------------------------------------------------- */

/* Reads digits and CR LF that lie whole in the buffer. Returns what follows them, or NULL for
 * anything out of the ordinary, which the slower path then judges. */
static inline const uint8_t *read_length(const uint8_t *at, const uint8_t *end, int64_t *length)
{
    int64_t value = 0;
    const uint8_t *const first = at;
    const uint8_t *const limit = end - at > 18 ? at + 18 : end;
    while (at < limit && *at >= '0' && *at <= '9')
        value = value * 10 + (*at++ - '0');
    if (at == first || (*first == '0' && at - first > 1) || end - at < 2 || at[0] != '\r' ||
        at[1] != '\n')
        return NULL;
    *length = value;
    return at + 2;
}

/* The line of an element that begins with its type byte at c->at, if its end is in the buffer. */
static int read_whole_line(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c)
{
    const char *const line = (const char *)c->at + 1;
    const size_t left = (size_t)(c->end - c->at) - 1;
    const char *const cr = memchr(line, '\r', left);
    r->line_len = 0;
    if (cr == NULL || (const uint8_t *)cr + 1 == c->end || cr[1] != '\n') {
        c->at++;
        r->cr_pending = false;
        r->state = STATE_LINE;
        return GO_ON;
    }
    const size_t len = (size_t)(cr - line);
    const int rc = check_piece(r, line, len);
    if (rc != FB_OK)
        return rc;
    c->at += len + 3;
    return end_line(r, spec, c, line, len);
}

static inline bool is_ok(const cursor *c)
{
    return c->end - c->at >= OK_BYTES && memcmp(c->at, "+OK\r", 4) == 0 && c->at[4] == '\n';
}

static inline int read_head(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c)
{
    if (is_ok(c)) {
        c->at += OK_BYTES;
        return scalar(r, spec, '+');
    }
    const uint8_t type = *c->at;
    r->type = type;
    r->element_at = r->offset + (uint64_t)(c->at - c->begin);
    if (type == '$' || type == '*' || type == ':') {
        int64_t length = 0;
        const uint8_t *const behind = read_length(c->at + 1, c->end, &length);
        if (FB_LIKELY(behind != NULL)) {
            c->at = behind;
            if (type == '$')
                return bulk(r, spec, c, length);
            return type == '*' ? aggregate(r, spec, length) : scalar(r, spec, ':');
        }
    } else if (type == '\0' || strchr("+-_#,(=!%~>|", type) == NULL) {
        return fail(r, r->element_at, "byte 0x%02x does not begin a RESP reply", type);
    }
    return read_whole_line(r, spec, c);
}

/* ---- the body of a bulk string ----------------------------------------------------------- */

static int read_body(fb_resp_reader *r, cursor *c)
{
    const int64_t here = c->end - c->at < r->body_left ? c->end - c->at : r->body_left;
    if (r->type == '!' && r->line_len < sizeof r->line)
        keep_piece(r, (const char *)c->at,
                   here < (int64_t)sizeof r->line ? (size_t)here : sizeof r->line);
    c->at += here;
    r->body_left -= here;
    if (r->body_left == 0)
        r->state = STATE_BODY_CR;
    return GO_ON;
}

static int read_body_end(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c)
{
    const uint8_t due = r->state == STATE_BODY_CR ? '\r' : '\n';
    if (*c->at != due)
        return fail(r, r->offset + (uint64_t)(c->at - c->begin),
                    "byte 0x%02x where a string of the given length should end", *c->at);
    c->at++;
    if (due == '\r') {
        r->state = STATE_BODY_LF;
        return GO_ON;
    }
    r->state = STATE_HEAD;
    if (r->type == '!')
        found_error(r, r->line, r->line_len < sizeof r->line ? r->line_len : sizeof r->line);
    return end_element(r, spec);
}

/* ---- feeding ----------------------------------------------------------------------------- */

static inline void begin_inference(fb_resp_reader *r)
{
    r->fresh = false;
    r->replies_seen = 0;
    r->elements_seen = 0;
    r->out_of_step = false;
    fb_resp_found_nothing(&r->found);
}

static inline void end_inference(fb_resp_reader *r, const fb_resp_spec *spec, fb_reply *reply)
{
    if (FB_UNLIKELY(r->elements_seen < spec->expects))
        fb_resp_found_too_few(&r->found, spec, r->elements_seen);
    r->fresh = true;
    reply->done = true;
    reply->outcome = fb_resp_outcome(&r->found);
    reply->error_class = r->found.error_class;
    reply->error_text = r->found.error_text;
    reply->out_of_step = r->out_of_step;
    reply->last = false;
}

static inline int step(fb_resp_reader *r, const fb_resp_spec *spec, cursor *c)
{
    switch (r->state) {
    case STATE_HEAD:
        return read_head(r, spec, c);
    case STATE_LINE:
        return read_line(r, spec, c);
    case STATE_BODY:
        return read_body(r, c);
    case STATE_BODY_CR:
    case STATE_BODY_LF:
        return read_body_end(r, spec, c);
    default:
        return FB_E_PROTOCOL;
    }
}

/* The whole reply that most commands have, where it is as good as any: nothing to remember. */
static inline bool is_all_ok(const fb_resp_reader *r, const fb_resp_spec *spec, const cursor *c)
{
    const bool expected = spec->expects == 0 || (spec->expects == 1 && spec->expect[0].type == '+');
    return r->fresh && r->state == STATE_HEAD && spec->replies == 1 && expected && is_ok(c);
}

/* Apart from fb_resp_feed, which then needs no more than a few registers. */
__attribute__((noinline)) static long read_on(fb_resp_reader *r, const fb_resp_spec *spec,
                                              const uint8_t *bytes, size_t len, fb_reply *reply)
{
    cursor c = {.at = bytes, .end = bytes + len, .begin = bytes};
    reply->done = false;
    if (r->fresh)
        begin_inference(r);
    int progress = GO_ON;
    while (progress == GO_ON && c.at < c.end)
        progress = step(r, spec, &c);
    if (FB_UNLIKELY(progress < 0))
        return progress;
    const long consumed = (long)(c.at - bytes);
    r->offset += (uint64_t)consumed;
    if (progress == COMPLETE)
        end_inference(r, spec, reply);
    return consumed;
}

long fb_resp_feed(fb_resp_reader *r, const fb_resp_spec *spec, const uint8_t *bytes, size_t len,
                  fb_reply *reply)
{
    assert(len > 0 && spec->replies > 0);
    const cursor c = {.at = bytes, .end = bytes + len, .begin = bytes};
    if (!is_all_ok(r, spec, &c))
        return read_on(r, spec, bytes, len, reply);
    fb_resp_found_nothing(&r->found);
    *reply = (fb_reply){.done = true,
                        .outcome = FB_OUTCOME_OK,
                        .error_class = r->found.error_class,
                        .error_text = r->found.error_text};
    r->offset += OK_BYTES;
    return OK_BYTES;
}

int64_t fb_resp_body_left(const fb_resp_reader *r)
{
    const bool alone = r->depth == 0 && r->type == '$';
    return r->state == STATE_BODY && alone ? r->body_left : -1;
}
