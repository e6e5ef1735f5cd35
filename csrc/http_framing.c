#include "http_framing.h"

#include "text.h"

#include <string.h>
#include <strings.h>

/* ---- words ------------------------------------------------------------------------------- */

static bool is_token(char c)
{
    const char lower = (char)(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || c == '-' || fb_is_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+.^_`|~", c) != NULL);
}

size_t fb_http_token(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && is_token(text[n])) {
        n++;
    }
    return n;
}

static void trim(const char **text, size_t *len)
{
    for (; *len > 0 && fb_is_blank(**text); (*text)++) {
        (*len)--;
    }
    for (; *len > 0 && fb_is_blank((*text)[*len - 1]); (*len)--) {
    }
}

static bool is_word(const char *word, const char *text, size_t len)
{
    return strlen(word) == len && strncasecmp(word, text, len) == 0;
}

/* Takes the next element off a comma-separated list; false when none is left. */
static bool next_element(const char **list, size_t *left, const char **element, size_t *len)
{
    while (*left > 0) {
        const char *comma = memchr(*list, ',', *left);
        *element = *list;
        *len = comma ? (size_t)(comma - *list) : *left;
        const size_t taken = *len + (comma != NULL);
        *list += taken;
        *left -= taken;
        trim(element, len);
        if (*len > 0) {
            return true;
        }
    }
    return false;
}

/* ---- fields ------------------------------------------------------------------------------ */

static const char *content_length(fb_http_framing *f, const char *value, size_t len)
{
    uint64_t length = 0;
    bool good = len > 0 && len <= 19;
    for (size_t i = 0; i < len && good; i++) {
        good = fb_is_digit(value[i]);
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (!good) {
        return "length is not a number";
    }
    if (length > (uint64_t)FB_HTTP_MAX_BODY) {
        return "body is too long";
    }
    if (f->has_length && f->length != length) {
        return "a second length";
    }
    f->has_length = true;
    f->length = length;
    return NULL;
}

/* What is coded in other ways too is still framed by its chunks, if these are the last coding. */
static void transfer_encoding(fb_http_framing *f, const char *value, size_t len)
{
    const char *element;
    size_t n;
    while (next_element(&value, &len, &element, &n)) {
        f->chunked = is_word("chunked", element, n);
        f->coded = true;
    }
}

static void connection(fb_http_framing *f, const char *value, size_t len)
{
    const char *element;
    size_t n;
    while (next_element(&value, &len, &element, &n)) {
        f->close |= is_word("close", element, n);
        f->keep |= is_word("keep-alive", element, n);
    }
}

const char *fb_http_framing_take(fb_http_framing *f, const char *field, size_t len, size_t name,
                                 bool *frames)
{
    const char *value = field + name + 1;
    size_t n = len - name - 1;
    trim(&value, &n);
    *frames = true;
    if (is_word("content-length", field, name)) {
        return content_length(f, value, n);
    }
    if (is_word("transfer-encoding", field, name)) {
        transfer_encoding(f, value, n);
        return NULL;
    }
    *frames = is_word("connection", field, name);
    if (*frames) {
        connection(f, value, n);
    }
    return NULL;
}
