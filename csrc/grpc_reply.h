/* What the reply to one unary gRPC call says, from its fields and its message, however they come.
 *
 * Sans-I/O and without HTTP/2: whoever speaks that hands over fields and bytes. Stores a few
 * words, never the message. One reply at a time; worker only. Nothing can fail: what is no good
 * reply is an error with a class and a text.
 *
 * Source: "gRPC over HTTP2" and "Statuscodes" of the gRPC project, https://grpc.github.io. */
#ifndef FB_GRPC_REPLY_H
#define FB_GRPC_REPLY_H

#include "reply.h"

#define FB_GRPC_PREFIX 5 /* bytes before a message: whether it is compressed, and its length */

typedef struct fb_grpc_reply {
    uint32_t http_status; /* 0 = none came yet */
    uint32_t status;      /* with has_status */
    bool has_status;
    bool is_grpc;                   /* by its content-type */
    uint8_t prefix[FB_GRPC_PREFIX]; /* of the message being read */
    uint8_t prefix_len;             /* bytes of it that came */
    uint32_t message_left;          /* bytes of the message after its prefix that are to come */
    uint32_t messages;              /* whole ones */
    bool compressed;                /* one of them says that it is */
    char error_class[FB_ERROR_CLASS_MAX];
    char error_text[FB_ERROR_TEXT_MAX]; /* what grpc-message said; after the end: of the error */
} fb_grpc_reply;

/* Nothing of the reply came yet. */
void fb_grpc_reply_begin(fb_grpc_reply *r);

/* A field of its head or its trailer; of several of one name the last counts. */
void fb_grpc_reply_field(fb_grpc_reply *r, const char *name, size_t name_len, const char *value,
                         size_t value_len);

/* Bytes of its body, in any pieces. */
void fb_grpc_reply_data(fb_grpc_reply *r, const uint8_t *bytes, size_t len);

/* It has ended as it should: *reply is done. Status 0 with one whole message is ok; any other
 * status is an error of a class like "GRPC 5 NOT_FOUND", without one "HTTP 503" or "UNEXPECTED". */
void fb_grpc_reply_end(fb_grpc_reply *r, fb_reply *reply);

/* It ended in another way: an error of that class, with that text. */
void fb_grpc_reply_fail(fb_grpc_reply *r, const char *error_class, const char *text,
                        fb_reply *reply);

#endif
