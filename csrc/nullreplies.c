#include "nullreplies.h"

#include "request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES 192 /* room for what stands around the zeros */

#define HTTP_HEAD                                   \
    "HTTP/1.1 200 OK\r\nServer: fastbench-null\r\n" \
    "Content-Type: application/octet-stream\r\n%s"  \
    "Content-Length: %" PRIu64 "\r\n\r\n"

static void write_oks(uint8_t *oks)
{
    for (size_t i = 0; i < FB_NULLREPLIES_OKS; i++) {
        memcpy(oks + i * FB_NULLREPLIES_OK_BYTES, "+OK\r\n", FB_NULLREPLIES_OK_BYTES);
    }
}

static void write_counts(fb_nullreplies *replies)
{
    for (unsigned i = 0; i <= FB_REQUEST_MAX_OPS; i++) {
        char *text = replies->counts[i];
        replies->count_len[i] = (uint8_t)snprintf(text, sizeof *replies->counts, "*%u\r\n", i);
    }
}

static void write_bulk(fb_nullreplies *replies, uint64_t reply_bytes)
{
    const int n = snprintf((char *)replies->bulk, FRAME_BYTES, "$%" PRIu64 "\r\n", reply_bytes);
    memcpy(replies->bulk + (size_t)n + reply_bytes, "\r\n", 2);
    replies->bulk_len = (uint64_t)n + reply_bytes + 2;
}

/* snprintf ends the head with a zero, which is the body's first or lies behind it. */
static void write_http(fb_nullreplies *replies, uint64_t body_bytes)
{
    const int n = snprintf((char *)replies->bulk, FRAME_BYTES, HTTP_HEAD, "", body_bytes);
    replies->head_len = (uint64_t)n;
    replies->bulk_len = (uint64_t)n + body_bytes;
    const int last = snprintf(replies->last_head, sizeof replies->last_head, HTTP_HEAD,
                              "Connection: close\r\n", body_bytes);
    replies->last_head_len = (uint32_t)last;
}

int fb_nullreplies_init(fb_nullreplies *replies, uint64_t reply_bytes, bool http, fb_error *err)
{
    *replies = (fb_nullreplies){.http = http};
    replies->oks = malloc((size_t)FB_NULLREPLIES_OKS * FB_NULLREPLIES_OK_BYTES);
    replies->bulk = calloc(1, reply_bytes + FRAME_BYTES);
    replies->counts = malloc((FB_REQUEST_MAX_OPS + 1) * sizeof *replies->counts);
    replies->count_len = malloc(FB_REQUEST_MAX_OPS + 1);
    if (replies->oks == NULL || replies->bulk == NULL || replies->counts == NULL ||
        replies->count_len == NULL) {
        return fb_error_set(err, FB_E_NOMEM, errno, "no memory for a null server's replies");
    }
    write_oks(replies->oks);
    write_counts(replies);
    if (http) {
        write_http(replies, reply_bytes);
    } else {
        write_bulk(replies, reply_bytes);
    }
    return FB_OK;
}

void fb_nullreplies_fini(fb_nullreplies *replies)
{
    free(replies->oks);
    free(replies->bulk);
    free(replies->counts);
    free(replies->count_len);
}
