#include "resp_finding.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

static size_t first_line(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && text[n] != '\r' && text[n] != '\n')
        n++;
    return n;
}

void fb_resp_found_error(fb_resp_finding *f, const char *text, size_t len)
{
    if (f->kind >= FB_RESP_FOUND_TIMEDOUT)
        return;
    f->kind = FB_RESP_FOUND_ERROR;
    (void)fb_text_copy(f->error_text, sizeof f->error_text, text, first_line(text, len));
    const size_t word = strcspn(f->error_text, " ");
    (void)fb_text_copy(f->error_class, sizeof f->error_class, f->error_text, word);
    if (word == 0) /* every error has a class to be counted by */
        (void)fb_text_copy(f->error_class, sizeof f->error_class, "ERR", 3);
}

void fb_resp_found_timeout(fb_resp_finding *f)
{
    if (f->kind >= FB_RESP_FOUND_TIMEDOUT)
        return;
    f->kind = FB_RESP_FOUND_TIMEDOUT;
    f->error_class[0] = '\0';
    f->error_text[0] = '\0';
}

/* An element's first line as on the wire, e.g. "$4004", "$" for any length or "+". */
static void describe(char *to, size_t room, char type, int64_t length, int64_t unknown)
{
    if (length == unknown)
        (void)snprintf(to, room, "%c", type);
    else
        (void)snprintf(to, room, "%c%lld", type, (long long)length);
}

void fb_resp_found_unexpected(fb_resp_finding *f, const fb_resp_spec *spec, uint64_t index,
                              char type, int64_t length)
{
    if (f->kind != FB_RESP_FOUND_NOTHING)
        return;
    f->kind = FB_RESP_FOUND_UNEXPECTED;
    (void)snprintf(f->error_class, sizeof f->error_class, "UNEXPECTED");
    char got[32];
    describe(got, sizeof got, type, length, FB_RESP_NO_LENGTH);
    if (index >= spec->expects) {
        (void)snprintf(f->error_text, sizeof f->error_text,
                       "UNEXPECTED element %llu of the reply: expected only %u, got %s",
                       (unsigned long long)index + 1, spec->expects, got);
        return;
    }
    const fb_resp_expect *const due = &spec->expect[index];
    char wanted[32];
    const bool sized = strchr("$=!*~%", due->type) != NULL;
    describe(wanted, sizeof wanted, due->type, sized ? due->length : FB_RESP_ANY_LENGTH,
             FB_RESP_ANY_LENGTH);
    (void)snprintf(f->error_text, sizeof f->error_text,
                   "UNEXPECTED element %llu of the reply: expected %s, got %s",
                   (unsigned long long)index + 1, wanted, got);
}

void fb_resp_found_too_few(fb_resp_finding *f, const fb_resp_spec *spec, uint64_t elements)
{
    if (f->kind != FB_RESP_FOUND_NOTHING)
        return;
    f->kind = FB_RESP_FOUND_UNEXPECTED;
    (void)snprintf(f->error_class, sizeof f->error_class, "UNEXPECTED");
    (void)snprintf(f->error_text, sizeof f->error_text,
                   "UNEXPECTED end of the reply: expected %u elements, got %llu", spec->expects,
                   (unsigned long long)elements);
}
