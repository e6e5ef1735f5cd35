#include "grpc_reply.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

#define CONTENT_TYPE "application/grpc"

static const char *const names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

void fb_grpc_reply_begin(fb_grpc_reply *r)
{
    r->http_status = r->status = 0;
    r->has_status = r->is_grpc = r->compressed = false;
    r->prefix_len = 0;
    r->message_left = r->messages = 0;
    r->error_class[0] = r->error_text[0] = '\0';
}

/* ---- fields -------------------------------------------------------------------------------- */

/* A short decimal number; UINT32_MAX when it is none. */
static uint32_t number_of(const char *text, size_t len)
{
    uint32_t number = 0;
    for (size_t i = 0; i < len && i < 9; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return UINT32_MAX;
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    return len > 0 && len < 9 ? number : UINT32_MAX;
}

/* grpc-message: bytes beyond plain ASCII are written as %XX; to us it is one line. */
static void keep_text(fb_grpc_reply *r, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < sizeof r->error_text; i++, n++) {
        char c = text[i];
        if (c == '%' && i + 2 < len && fb_hex_digit(text[i + 1]) >= 0 &&
            fb_hex_digit(text[i + 2]) >= 0) {
            c = (char)(fb_hex_digit(text[i + 1]) * 16 + fb_hex_digit(text[i + 2]));
            i += 2;
        }
        r->error_text[n] = (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
    }
    r->error_text[n] = '\0';
}

static bool is_grpc_type(const char *value, size_t len)
{
    const size_t n = sizeof CONTENT_TYPE - 1;
    return len >= n && memcmp(value, CONTENT_TYPE, n) == 0 &&
           (len == n || value[n] == '+' || value[n] == ';');
}

static bool is_name(const char *wanted, const char *name, size_t len)
{
    return strlen(wanted) == len && memcmp(wanted, name, len) == 0;
}

void fb_grpc_reply_field(fb_grpc_reply *r, const char *name, size_t name_len, const char *value,
                         size_t value_len)
{
    if (is_name(":status", name, name_len)) {
        r->http_status = number_of(value, value_len);
    } else if (is_name("content-type", name, name_len)) {
        r->is_grpc = is_grpc_type(value, value_len);
    } else if (is_name("grpc-status", name, name_len)) {
        r->status = number_of(value, value_len);
        r->has_status = true;
    } else if (is_name("grpc-message", name, name_len)) {
        keep_text(r, value, value_len);
    }
}

/* ---- the message ----------------------------------------------------------------------------- */

static void prefix_is_whole(fb_grpc_reply *r)
{
    const uint8_t *p = r->prefix;
    r->compressed |= p[0] != 0;
    r->message_left =
        (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | (uint32_t)p[4];
}

static size_t take_prefix(fb_grpc_reply *r, const uint8_t *bytes, size_t len)
{
    const size_t missing = FB_GRPC_PREFIX - r->prefix_len;
    const size_t n = len < missing ? len : missing;
    memcpy(r->prefix + r->prefix_len, bytes, n);
    r->prefix_len = (uint8_t)(r->prefix_len + n);
    if (r->prefix_len == FB_GRPC_PREFIX) {
        prefix_is_whole(r);
    }
    return n;
}

void fb_grpc_reply_data(fb_grpc_reply *r, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t n = 0;
        if (r->prefix_len < FB_GRPC_PREFIX) {
            n = take_prefix(r, bytes, len);
        } else {
            n = len < r->message_left ? len : r->message_left;
            r->message_left -= (uint32_t)n;
        }
        bytes += n;
        len -= n;
        if (r->prefix_len == FB_GRPC_PREFIX && r->message_left == 0) {
            r->messages++;
            r->prefix_len = 0;
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void set_error(fb_grpc_reply *r, fb_reply *reply)
{
    *reply = (fb_reply){.done = true,
                        .outcome = FB_OUTCOME_ERROR,
                        .error_class = r->error_class,
                        .error_text = r->error_text};
}

void fb_grpc_reply_fail(fb_grpc_reply *r, const char *error_class, const char *text,
                        fb_reply *reply)
{
    (void)snprintf(r->error_class, sizeof r->error_class, "%s", error_class);
    (void)snprintf(r->error_text, sizeof r->error_text, "%s", text);
    set_error(r, reply);
}

/* Without a status: what came in its place. */
static void no_status(fb_grpc_reply *r, fb_reply *reply)
{
    char word[FB_ERROR_CLASS_MAX];
    if (r->http_status != 200) {
        (void)snprintf(word, sizeof word, "HTTP %u", r->http_status);
        fb_grpc_reply_fail(r, word, "an HTTP reply that is not gRPC's", reply);
    } else if (!r->is_grpc) {
        fb_grpc_reply_fail(r, "UNEXPECTED", "the content-type is not " CONTENT_TYPE, reply);
    } else {
        fb_grpc_reply_fail(r, "UNEXPECTED", "the reply ended without a grpc-status", reply);
    }
}

static void bad_status(fb_grpc_reply *r, fb_reply *reply)
{
    const bool known = r->status < sizeof names / sizeof *names;
    (void)snprintf(r->error_class, sizeof r->error_class, "GRPC %u%s%s", r->status,
                   known ? " " : "", known ? names[r->status] : "");
    set_error(r, reply);
}

/* What is wrong with the message of a reply whose status is 0; NULL = nothing. */
static const char *fault_of(const fb_grpc_reply *r)
{
    if (r->http_status != 200 || !r->is_grpc) {
        return "grpc-status 0 in an HTTP reply that is not gRPC's";
    }
    if (r->compressed) {
        return "the reply's message is compressed, which was not asked for";
    }
    if (r->prefix_len > 0) {
        return "the reply's message is cut short";
    }
    return r->messages == 1 ? NULL : "the reply has not one message, but another number";
}

void fb_grpc_reply_end(fb_grpc_reply *r, fb_reply *reply)
{
    if (!r->has_status) {
        no_status(r, reply);
        return;
    }
    if (r->status != 0) {
        bad_status(r, reply);
        return;
    }
    const char *fault = fault_of(r);
    if (FB_UNLIKELY(fault != NULL)) {
        fb_grpc_reply_fail(r, "UNEXPECTED", fault, reply);
        return;
    }
    *reply =
        (fb_reply){.done = true, .outcome = FB_OUTCOME_OK, .error_class = "", .error_text = ""};
}
