/* Reads replies of one string each, and keeps that string.
 *
 * The reader is fed line by line until the string begins, so that it is seen where it lies; the
 * reader itself needs to know nothing of it. Worker only. */
#ifndef FB_RESP_BODY_H
#define FB_RESP_BODY_H

#include "resp.h"

/* As fb_resp_feed, for a spec of one reply; adds the string to *body, which must be empty before
 * the reply. A nil reply is an error of class NIL, any other that is no string UNEXPECTED. */
long fb_resp_body_feed(fb_resp_reader *r, const fb_resp_spec *spec, fb_body *body,
                       const uint8_t *bytes, size_t len, fb_reply *reply);

#endif
