#include "request.h"

#include <stdio.h>
#include <string.h>

enum { BEGIN, INLINE, COUNT, LENGTH, BODY, BODY_CR, BODY_LF };

void fb_request_init(fb_request_reader *r)
{
    *r = (fb_request_reader){0};
}

static long protocol_error(fb_request_reader *r, const char *text)
{
    (void)snprintf(r->error_text, sizeof r->error_text, "%s", text);
    return FB_E_PROTOCOL;
}

/* ---- what a command means ---- */

/* True when word is `name`, which is given in upper case. */
static bool is_name(const uint8_t *word, uint64_t len, const char *name)
{
    for (uint64_t i = 0; i < len; i++) {
        const uint8_t c = word[i];
        if (name[i] == '\0' || (c >= 'a' && c <= 'z' ? c - 32 : c) != (uint8_t)name[i]) {
            return false;
        }
    }
    return name[len] == '\0';
}

static uint8_t kind_of(const uint8_t *word, uint64_t len)
{
    static const struct {
        const char *name;
        uint8_t kind;
    } names[FB_REQUEST_WORD][4] = {
        [3] = {{"GET", FB_REQUEST_BULK}},
        [4] = {{"PING", FB_REQUEST_PING},
               {"ECHO", FB_REQUEST_ECHO},
               {"INFO", FB_REQUEST_INFO},
               {"QUIT", FB_REQUEST_QUIT}},
        [5] = {{"HELLO", FB_REQUEST_HELLO}},
        [7] = {{"COMMAND", FB_REQUEST_COMMAND}},
        [9] = {{"AI.DAGRUN", FB_REQUEST_DAG}},
        [12] = {{"AI.TENSORGET", FB_REQUEST_BULK}, {"AI.DAGRUN_RO", FB_REQUEST_DAG}},
        [13] = {{"AI.DAGEXECUTE", FB_REQUEST_DAG}},
        [16] = {{"AI.DAGEXECUTE_RO", FB_REQUEST_DAG}},
    };
    if (len >= FB_REQUEST_WORD) {
        return FB_REQUEST_OTHER;
    }
    for (int i = 0; i < 4 && names[len][i].name != NULL; i++) {
        if (is_name(word, len, names[len][i].name)) {
            return names[len][i].kind;
        }
    }
    return FB_REQUEST_OTHER;
}

/* Follows a DAG: "|>" announces an op, and the word after it says which. */
static long dag_word(fb_request_reader *r, const uint8_t *word, uint64_t len)
{
    if (r->op_next) {
        if (r->ops == FB_REQUEST_MAX_OPS) {
            return protocol_error(r, "too many ops in one DAG");
        }
        if (len < FB_REQUEST_WORD && is_name(word, len, "AI.TENSORGET")) {
            r->op_is_bulk[r->ops / 64] |= UINT64_C(1) << (r->ops % 64);
        }
        r->ops++;
    }
    r->op_next = len == 2 && word[0] == '|' && word[1] == '>';
    return FB_OK;
}

/* The value of a decimal number with 1 to 18 digits; -1 when it is none. */
static int64_t decimal(const uint8_t *digits, uint64_t len)
{
    int64_t value = 0;
    if (len < 1 || len > 18) {
        return -1;
    }
    for (uint64_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return -1;
        }
        value = value * 10 + (digits[i] - '0');
    }
    return value;
}

/* Forgets the command before: the next argument is a name. */
static void begin_command(fb_request_reader *r)
{
    r->args = r->ops = r->line_len = r->word_len = 0;
    r->arg_len = r->body_left = r->echo_len = 0;
    r->version = 0;
    r->kind = FB_REQUEST_OTHER;
    r->op_next = r->inline_word = false;
}

static bool echoes(const fb_request_reader *r)
{
    return r->args == 1 && (r->kind == FB_REQUEST_ECHO || r->kind == FB_REQUEST_PING);
}

/* True when the bytes of the current argument mean something. */
static bool looks(const fb_request_reader *r)
{
    return r->args == 0 || r->kind == FB_REQUEST_DAG ||
           (r->args == 1 && r->kind >= FB_REQUEST_PING && r->kind <= FB_REQUEST_HELLO);
}

/* Takes n bytes of the current argument. */
static void argument_bytes(fb_request_reader *r, const uint8_t *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n && r->word_len < FB_REQUEST_WORD; i++) {
        r->word[r->word_len++] = bytes[i];
    }
    if (echoes(r) && r->arg_len < r->echo_room) {
        const uint64_t room = r->echo_room - r->arg_len;
        memcpy(r->echo + r->arg_len, bytes, n < room ? n : room);
    }
    r->arg_len += n;
}

/* The current argument is whole: its length, and its first bytes in `word`. */
static long argument_end(fb_request_reader *r, const uint8_t *word, uint64_t len)
{
    const uint32_t index = r->args++;
    r->word_len = 0;
    r->arg_len = 0;
    if (index == 0) {
        r->kind = kind_of(word, len);
        if (r->kind == FB_REQUEST_DAG) {
            memset(r->op_is_bulk, 0, sizeof r->op_is_bulk);
        }
        return FB_OK;
    }
    if (r->kind == FB_REQUEST_DAG) {
        return dag_word(r, word, len);
    }
    if (index == 1) {
        r->echo_len = len;
        if (r->kind == FB_REQUEST_HELLO) {
            r->version = len < FB_REQUEST_WORD ? decimal(word, len) : -1;
        }
    }
    return FB_OK;
}

/* ---- the bytes of a command: each function consumes at least one of the len > 0 bytes ---- */

static long read_inline(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const uint8_t c = bytes[i];
        const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
        if (!blank) {
            argument_bytes(r, &c, 1);
        } else if (r->inline_word) {
            const long rc = argument_end(r, r->word, r->arg_len);
            if (rc != FB_OK) {
                return rc;
            }
        }
        r->inline_word = !blank;
        if (c == '\n') {
            r->state = BEGIN;
            r->complete = r->args > 0;
            return (long)i + 1;
        }
        if (++r->line_len > FB_REQUEST_MAX_INLINE) {
            return protocol_error(r, "too big inline request");
        }
    }
    return (long)len;
}

/* Collects a line that begins with a type byte. Sets *number once it is whole; until then
 * *whole is false. */
static long read_number_line(fb_request_reader *r, const uint8_t *bytes, size_t len, bool *whole,
                             int64_t *number)
{
    *whole = false;
    for (size_t i = 0; i < len; i++) {
        if (r->line_len == FB_REQUEST_LINE) {
            return protocol_error(r, r->state == COUNT ? "too big mbulk count string"
                                                       : "too big bulk count string");
        }
        r->line[r->line_len++] = bytes[i];
        if (bytes[i] == '\n') {
            const bool framed = r->line_len >= 3 && r->line[r->line_len - 2] == '\r';
            const bool negative = framed && r->line[1] == '-';
            const uint32_t from = negative ? 2 : 1;
            const int64_t value = framed ? decimal(r->line + from, r->line_len - 2 - from) : -1;
            *number = negative && value >= 0 ? -1 - value : value;
            *whole = true;
            /* A negative count is an empty command; a line that is no number has none. */
            if (value < 0) {
                *number = INT64_MAX;
            }
            r->line_len = 0;
            return (long)i + 1;
        }
    }
    return (long)len;
}

static long read_count(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    bool whole;
    int64_t count = 0;
    const long n = read_number_line(r, bytes, len, &whole, &count);
    if (n < 0 || !whole) {
        return n;
    }
    if (count > FB_REQUEST_MAX_ARGS) {
        return protocol_error(r, "invalid multibulk length");
    }
    r->args_left = count > 0 ? (uint32_t)count : 0;
    r->state = count > 0 ? LENGTH : BEGIN;
    return n;
}

static long read_length(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    if (r->line_len == 0 && bytes[0] != '$') {
        const char got = bytes[0] >= ' ' && bytes[0] <= '~' ? (char)bytes[0] : '?';
        (void)snprintf(r->error_text, sizeof r->error_text, "expected '$', got '%c'", got);
        return FB_E_PROTOCOL;
    }
    bool whole;
    int64_t length = 0;
    const long n = read_number_line(r, bytes, len, &whole, &length);
    if (n < 0 || !whole) {
        return n;
    }
    if (length < 0 || length > FB_REQUEST_MAX_BULK) {
        return protocol_error(r, "invalid bulk length");
    }
    r->body_left = (uint64_t)length;
    r->state = length > 0 ? BODY : BODY_CR;
    return n;
}

static long read_body(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    const uint64_t n = len < r->body_left ? len : r->body_left;
    if (looks(r)) {
        argument_bytes(r, bytes, n);
    } else {
        r->arg_len += n;
    }
    r->body_left -= n;
    r->state = r->body_left == 0 ? BODY_CR : BODY;
    return (long)n;
}

/* One argument less is due; the last one completes the command. */
static long next_argument(fb_request_reader *r, const uint8_t *word, uint64_t len)
{
    const long rc = argument_end(r, word, len);
    r->complete = --r->args_left == 0;
    r->state = r->complete ? BEGIN : LENGTH;
    return rc;
}

static long read_body_end(fb_request_reader *r, uint8_t byte)
{
    if (byte != (r->state == BODY_CR ? '\r' : '\n')) {
        return protocol_error(r, "expected CRLF after an argument");
    }
    if (r->state == BODY_CR) {
        r->state = BODY_LF;
        return 1;
    }
    const long rc = next_argument(r, r->word, r->arg_len);
    return rc < 0 ? rc : 1;
}

/* The usual case: an argument of up to 5 digits of length that lies whole in the buffer. Returns
 * its bytes, 0 when it is not so (the byte-wise states decide then), or a code. */
static long read_whole_argument(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    if (len < 6 || bytes[0] != '$') {
        return 0;
    }
    size_t at = 1;
    uint32_t length = 0;
    for (uint32_t digit; at < 6 && (digit = (uint32_t)bytes[at] - '0') <= 9; at++) {
        length = length * 10 + digit;
    }
    if (at == 1 || len < at + length + 4 || bytes[at] != '\r' || bytes[at + 1] != '\n') {
        return 0;
    }
    const uint8_t *body = bytes + at + 2;
    if (body[length] != '\r' || body[length + 1] != '\n') {
        return 0;
    }
    if (echoes(r) && r->echo_room > 0) {
        memcpy(r->echo, body, length < r->echo_room ? length : r->echo_room);
    }
    const long rc = next_argument(r, body, length);
    return rc < 0 ? rc : (long)(at + length + 4);
}

static long begin(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    begin_command(r);
    if (bytes[0] != '*') {
        r->state = INLINE;
        return read_inline(r, bytes, len);
    }
    /* Almost every command has 1 to 9 arguments. */
    if (FB_LIKELY(len >= 4 && bytes[1] >= '1' && bytes[1] <= '9' && bytes[2] == '\r' &&
                  bytes[3] == '\n')) {
        r->args_left = (uint32_t)(bytes[1] - '0');
        r->state = LENGTH;
        return 4;
    }
    r->state = COUNT;
    return read_count(r, bytes, len);
}

static long read_some(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    switch (r->state) {
    case BEGIN:
        return begin(r, bytes, len);
    case INLINE:
        return read_inline(r, bytes, len);
    case COUNT:
        return read_count(r, bytes, len);
    case LENGTH: {
        const long n = r->line_len == 0 ? read_whole_argument(r, bytes, len) : 0;
        return n != 0 ? n : read_length(r, bytes, len);
    }
    case BODY:
        return read_body(r, bytes, len);
    default:
        return read_body_end(r, bytes[0]);
    }
}

long fb_request_feed(fb_request_reader *r, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    r->complete = false;
    while (at < len && !r->complete) {
        const long n = read_some(r, bytes + at, len - at);
        if (FB_UNLIKELY(n < 0)) {
            return n;
        }
        at += (size_t)n;
    }
    return (long)at;
}

uint64_t fb_request_skippable(const fb_request_reader *r)
{
    return r->state == BODY && !looks(r) ? r->body_left : 0;
}

void fb_request_skip(fb_request_reader *r, uint64_t n)
{
    r->arg_len += n;
    r->body_left -= n;
    r->state = r->body_left == 0 ? BODY_CR : BODY;
}
