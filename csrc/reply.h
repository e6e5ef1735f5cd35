/* What a reply reader says about one inference, whatever the protocol.
 *
 * Strings point into the reader and hold until its next call. Worker only. */
#ifndef FB_REPLY_H
#define FB_REPLY_H

#include "base.h"

#include <stdbool.h>

typedef enum fb_outcome {
    FB_OUTCOME_OK,
    FB_OUTCOME_ERROR,
    FB_OUTCOME_TIMEDOUT, /* the server says that it gave up in time ("+TIMEDOUT") */
} fb_outcome;

#define FB_ERROR_CLASS_MAX 32
#define FB_ERROR_TEXT_MAX 160

typedef struct fb_reply {
    bool done; /* the last byte of the inference's last reply was consumed */
    fb_outcome outcome;
    const char *error_class; /* first word of the first error, "NA" or "UNEXPECTED"; "" if none */
    const char *error_text;  /* first line of that error, cut to fit; "" if none */
} fb_reply;

#endif
