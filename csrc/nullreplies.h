/* The bytes that a null server's replies are made of: they stand ready before the first request.
 *
 * Owned by the server, read-only once made and shared by all its threads. */
#ifndef FB_NULLREPLIES_H
#define FB_NULLREPLIES_H

#include "base.h"

#include <stdbool.h>

#define FB_NULLREPLIES_OK_BYTES 5     /* "+OK\r\n" */
#define FB_NULLREPLIES_OKS 32768      /* of them in a row: as many as one read can ask for */
#define FB_NULLREPLIES_LAST_BYTES 192 /* room for the head of an HTTP connection's last reply */

typedef struct fb_nullreplies {
    uint8_t *bulk; /* "$4004\r\n…\r\n" or, of HTTP, head and body of a reply */
    uint64_t bulk_len;
    bool always_bulk;   /* RESP: also to commands that read nothing */
    uint8_t *oks;       /* "+OK\r\n" many times, so that a row of them is one piece */
    char (*counts)[8];  /* "*0\r\n", "*1\r\n", … */
    uint8_t *count_len; /* bytes of each */
    bool http;
    uint64_t head_len;                         /* HTTP: of bulk, what comes before the body */
    char last_head[FB_NULLREPLIES_LAST_BYTES]; /* HTTP: the head of a reply after which it closes */
    uint32_t last_head_len;
} fb_nullreplies;

/* Makes replies of RESP, or of HTTP/1.1, whose values or bodies are reply_bytes zeros.
 * FB_E_NOMEM; fini is due even then. */
int fb_nullreplies_init(fb_nullreplies *replies, uint64_t reply_bytes, bool http, fb_error *err);

void fb_nullreplies_fini(fb_nullreplies *replies);

#endif
