/* What the replies to one inference must be in RESP, what was found wrong with them, and in what
 * words.
 *
 * A finding is owned by whoever reads; all zero = nothing was found. The first error or time-out
 * decides, and only without either the first difference from what was expected. */
#ifndef FB_RESP_FINDING_H
#define FB_RESP_FINDING_H

#include "reply.h"

#define FB_RESP_ANY_LENGTH (-1)
#define FB_RESP_NO_LENGTH INT64_MIN /* of an element that has none on the wire */

/* One element of an expected reply, nested ones in the order they arrive. */
typedef struct fb_resp_expect {
    char type;      /* '+', '$', '*', … the byte on the wire */
    int64_t length; /* as on the wire, of a bulk string or an aggregate (a map's pairs); or
                     * FB_RESP_ANY_LENGTH, null included; of no account for other types */
} fb_resp_expect;

/* What one inference (or opening step) must be answered with. Borrowed, read-only. */
typedef struct fb_resp_spec {
    uint32_t replies;             /* top-level replies until it is complete, >= 1 */
    bool redisai;                 /* "+TIMEDOUT" is a time-out, "+NA" inside an array an error */
    uint32_t expects;             /* 0 = anything that is not an error is a success */
    const fb_resp_expect *expect; /* flattened; a difference is an error "UNEXPECTED" */
} fb_resp_spec;

/* In rising order of weight. */
enum fb_resp_found {
    FB_RESP_FOUND_NOTHING,
    FB_RESP_FOUND_UNEXPECTED,
    FB_RESP_FOUND_TIMEDOUT,
    FB_RESP_FOUND_ERROR,
};

typedef struct fb_resp_finding {
    uint8_t kind;
    char error_class[FB_ERROR_CLASS_MAX];
    char error_text[FB_ERROR_TEXT_MAX];
} fb_resp_finding;

static inline void fb_resp_found_nothing(fb_resp_finding *f)
{
    f->kind = FB_RESP_FOUND_NOTHING;
    f->error_class[0] = f->error_text[0] = '\0';
}

/* An error's text: its first word is the class by which it is counted. */
__attribute__((cold)) void fb_resp_found_error(fb_resp_finding *f, const char *text, size_t len);

/* RedisAI's "+TIMEDOUT". */
__attribute__((cold)) void fb_resp_found_timeout(fb_resp_finding *f);

/* The index-th element is another than expected, or more than were. */
__attribute__((cold)) void fb_resp_found_unexpected(fb_resp_finding *f, const fb_resp_spec *spec,
                                                    uint64_t index, char type, int64_t length);

/* The replies ended with fewer elements than expected. */
__attribute__((cold)) void fb_resp_found_too_few(fb_resp_finding *f, const fb_resp_spec *spec,
                                                 uint64_t elements);

/* How the inference ends. */
static inline fb_outcome fb_resp_outcome(const fb_resp_finding *f)
{
    return f->kind == FB_RESP_FOUND_NOTHING    ? FB_OUTCOME_OK
           : f->kind == FB_RESP_FOUND_TIMEDOUT ? FB_OUTCOME_TIMEDOUT
                                               : FB_OUTCOME_ERROR;
}

#endif
