/* The bytes that a null server's replies are made of: they stand ready before the first request.
 *
 * Owned by the server, read-only once made and shared by all its threads. */
#ifndef FB_NULLREPLIES_H
#define FB_NULLREPLIES_H

#include "base.h"
#include "fastbench.h"

#define FB_NULLREPLIES_OK_BYTES 5 /* "+OK\r\n" */
#define FB_NULLREPLIES_OKS 32768  /* of them in a row: as many as one read can ask for */

/* What requests for one path get. */
typedef struct fb_nullanswer {
    const char *path;    /* of HTTP, or of gRPC "/package.Service/Method" */
    const char *fields;  /* HTTP: further lines of its head, each with its end; NULL = none */
    const uint8_t *body; /* HTTP: the body; gRPC: the message; NULL = zeros */
    uint64_t body_len;
} fb_nullanswer;

typedef struct fb_nullreplies_config {
    int protocol;         /* FB_PROTOCOL_* */
    uint64_t reply_bytes; /* of each bulk string that is read back, body, or message */
    bool always_bulk;     /* RESP: a bulk string in place of "+OK", too */
    uint32_t n_answers;   /* HTTP and gRPC: what is answered otherwise than all the rest */
    const fb_nullanswer *answers;
} fb_nullreplies_config;

/* A reply of HTTP or gRPC. */
typedef struct fb_nullreply {
    char *path;     /* whose it is; NULL = of all others */
    uint8_t *bytes; /* HTTP: head and body; gRPC: the message behind its prefix */
    uint64_t len;
    uint64_t head_len; /* HTTP: of bytes, what comes before the body */
    char *last_head;   /* HTTP: the head of a reply after which the connection closes */
    size_t last_head_len;
} fb_nullreply;

typedef struct fb_nullreplies {
    int protocol;
    bool always_bulk;
    uint8_t *bulk; /* RESP: "$4004\r\n…\r\n" */
    uint64_t bulk_len;
    uint8_t *oks;       /* "+OK\r\n" many times, so that a row of them is one piece */
    char (*counts)[8];  /* "*0\r\n", "*1\r\n", … */
    uint8_t *count_len; /* bytes of each */
    fb_nullreply usual; /* HTTP, gRPC */
    fb_nullreply *answers;
    uint32_t n_answers;
} fb_nullreplies;

/* Makes the replies of one protocol; what is given is copied. FB_E_NOMEM; fini is due even then. */
int fb_nullreplies_init(fb_nullreplies *replies, const fb_nullreplies_config *config,
                        fb_error *err);

/* The reply of HTTP or gRPC to a request for that path. */
const fb_nullreply *fb_nullreplies_for(const fb_nullreplies *replies, const char *path, size_t len);

void fb_nullreplies_fini(fb_nullreplies *replies);

#endif
