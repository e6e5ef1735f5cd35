#include "nullreplies.h"

#include "request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES 192 /* room for what stands around a value or body */
#define GRPC_PREFIX 5   /* bytes before a message: whether it is compressed, and its length */

#define HTTP_HEAD                                    \
    "HTTP/1.1 200 OK\r\nServer: fastbench-null\r\n"  \
    "Content-Type: application/octet-stream\r\n%s%s" \
    "Content-Length: %" PRIu64 "\r\n\r\n"

/* ---- RESP ---- */

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

static bool make_resp(fb_nullreplies *replies, const fb_nullreplies_config *config)
{
    replies->oks = malloc((size_t)FB_NULLREPLIES_OKS * FB_NULLREPLIES_OK_BYTES);
    replies->bulk = calloc(1, config->reply_bytes + FRAME_BYTES);
    replies->counts = malloc((FB_REQUEST_MAX_OPS + 1) * sizeof *replies->counts);
    replies->count_len = malloc(FB_REQUEST_MAX_OPS + 1);
    if (replies->oks == NULL || replies->bulk == NULL || replies->counts == NULL ||
        replies->count_len == NULL) {
        return false;
    }
    write_oks(replies->oks);
    write_counts(replies);
    write_bulk(replies, config->reply_bytes);
    return true;
}

/* ---- HTTP and gRPC ---- */

/* snprintf ends the head with a zero, which the body takes the place of. */
static void write_http(fb_nullreply *reply, const fb_nullanswer *from, size_t room)
{
    const char *fields = from->fields != NULL ? from->fields : "";
    const uint64_t len = from->body_len;
    reply->head_len = (uint64_t)snprintf((char *)reply->bytes, room, HTTP_HEAD, "", fields, len);
    reply->last_head_len =
        (size_t)snprintf(reply->last_head, room, HTTP_HEAD, "Connection: close\r\n", fields, len);
}

static void write_prefix(fb_nullreply *reply, uint64_t len)
{
    for (int i = 1; i < GRPC_PREFIX; i++) {
        reply->bytes[i] = (uint8_t)(len >> (8 * (GRPC_PREFIX - 1 - i)));
    }
    reply->head_len = GRPC_PREFIX;
}

static bool make_reply(fb_nullreply *reply, const fb_nullanswer *from, int protocol)
{
    const size_t room = FRAME_BYTES + (from->fields != NULL ? strlen(from->fields) : 0);
    reply->bytes = calloc(1, room + from->body_len);
    reply->last_head = malloc(room);
    reply->path = from->path != NULL ? strdup(from->path) : NULL;
    if (reply->bytes == NULL || reply->last_head == NULL ||
        (from->path != NULL && reply->path == NULL)) {
        return false;
    }
    if (protocol == FB_PROTOCOL_HTTP) {
        write_http(reply, from, room);
    } else {
        write_prefix(reply, from->body_len);
    }
    if (from->body != NULL) {
        memcpy(reply->bytes + reply->head_len, from->body, from->body_len);
    }
    reply->len = reply->head_len + from->body_len;
    return true;
}

static bool make_answers(fb_nullreplies *replies, const fb_nullreplies_config *config)
{
    const fb_nullanswer usual = {.body_len = config->reply_bytes};
    replies->answers = calloc((size_t)config->n_answers + 1, sizeof *replies->answers);
    bool made = replies->answers != NULL && make_reply(&replies->usual, &usual, config->protocol);
    for (uint32_t i = 0; i < config->n_answers && made; i++) {
        replies->n_answers = i + 1;
        made = make_reply(&replies->answers[i], &config->answers[i], config->protocol);
    }
    return made;
}

const fb_nullreply *fb_nullreplies_for(const fb_nullreplies *replies, const char *path, size_t len)
{
    for (uint32_t i = 0; i < replies->n_answers; i++) {
        const fb_nullreply *answer = &replies->answers[i];
        if (strlen(answer->path) == len && memcmp(answer->path, path, len) == 0) {
            return answer;
        }
    }
    return &replies->usual;
}

/* ---- life ---- */

int fb_nullreplies_init(fb_nullreplies *replies, const fb_nullreplies_config *config, fb_error *err)
{
    *replies = (fb_nullreplies){.protocol = config->protocol, .always_bulk = config->always_bulk};
    const bool made = config->protocol == FB_PROTOCOL_RESP ? make_resp(replies, config)
                                                           : make_answers(replies, config);
    return made ? FB_OK
                : fb_error_set(err, FB_E_NOMEM, errno, "no memory for a null server's replies");
}

static void free_reply(const fb_nullreply *reply)
{
    free(reply->path);
    free(reply->bytes);
    free(reply->last_head);
}

void fb_nullreplies_fini(fb_nullreplies *replies)
{
    free(replies->oks);
    free(replies->bulk);
    free(replies->counts);
    free(replies->count_len);
    free_reply(&replies->usual);
    for (uint32_t i = 0; i < replies->n_answers; i++) {
        free_reply(&replies->answers[i]);
    }
    free(replies->answers);
}
