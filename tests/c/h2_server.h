/* The other side of gRPC for tests: nghttp2's server in this process. The test carries the bytes
 * and says what each call is answered, and when. */
#ifndef FB_TEST_H2_SERVER_H
#define FB_TEST_H2_SERVER_H

#include "h2_fields.h"

#define H2_CALLS 64

typedef struct h2_call {
    int32_t id;
    bool whole;          /* the request has ended */
    bool reset;          /* the client gave it up */
    char path[64];       /* of the request */
    char te[16];         /* its field "te" */
    uint64_t body_len;   /* bytes of it that came */
    const uint8_t *text; /* to be answered */
    size_t text_len, text_at;
    const char *status, *message; /* of the trailer; NULL = none */
} h2_call;

typedef struct h2_server {
    nghttp2_session *session;
    h2_call calls[H2_CALLS]; /* in the order in which they came */
    uint32_t n_calls;
    const uint8_t *expected; /* what each body is to be */
    size_t expected_len;
    bool differs;         /* a body was not as expected */
    size_t longest_frame; /* bytes of DATA */
} h2_server;

static inline h2_call *h2_find(h2_server *s, int32_t id)
{
    for (uint32_t i = 0; i < s->n_calls; i++) {
        if (s->calls[i].id == id) {
            return &s->calls[i];
        }
    }
    return NULL;
}

static inline int h2_on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    h2_server *s = user;
    (void)session;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST && s->n_calls < H2_CALLS) {
        s->calls[s->n_calls++] = (h2_call){.id = frame->hd.stream_id};
    }
    return 0;
}

static inline int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                               const uint8_t *name, size_t name_len, const uint8_t *value,
                               size_t len, uint8_t flags, void *user)
{
    h2_call *c = h2_find(user, frame->hd.stream_id);
    (void)session;
    (void)flags;
    if (c != NULL && h2_is(":path", name, name_len)) {
        h2_keep(c->path, sizeof c->path, value, len);
    }
    if (c != NULL && h2_is("te", name, name_len)) {
        h2_keep(c->te, sizeof c->te, value, len);
    }
    return 0;
}

static inline int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                             const uint8_t *bytes, size_t len, void *user)
{
    h2_server *s = user;
    h2_call *c = h2_find(s, id);
    (void)session;
    (void)flags;
    if (c == NULL || c->body_len + len > s->expected_len ||
        memcmp(s->expected + c->body_len, bytes, len) != 0) {
        s->differs = true;
    }
    if (c != NULL) {
        c->body_len += len;
    }
    return 0;
}

static inline int h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    h2_server *s = user;
    h2_call *c = h2_find(s, frame->hd.stream_id);
    (void)session;
    if (c != NULL && frame->hd.type == NGHTTP2_RST_STREAM) {
        c->reset = true;
    }
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.length > s->longest_frame) {
        s->longest_frame = frame->hd.length;
    }
    if (c != NULL && h2_ends_stream(frame)) {
        c->whole = true;
    }
    return 0;
}

/* `settings`: what it announces. False when there is no memory. */
static inline bool h2_init(h2_server *s, const nghttp2_settings_entry *settings, size_t n)
{
    nghttp2_session_callbacks *callbacks = NULL;
    *s = (h2_server){0};
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return false;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, h2_on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_on_frame);
    const int rc = nghttp2_session_server_new(&s->session, callbacks, s);
    nghttp2_session_callbacks_del(callbacks);
    return rc == 0 && nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, settings, n) == 0;
}

static inline void h2_fini(h2_server *s)
{
    nghttp2_session_del(s->session);
    s->session = NULL;
}

/* Reads what the client sent; false when it is not HTTP/2. */
static inline bool h2_receive(h2_server *s, const uint8_t *bytes, size_t len)
{
    return nghttp2_session_mem_recv(s->session, bytes, len) == (ssize_t)len;
}

/* The next bytes for the client; 0 = none. They hold until the next call. */
static inline size_t h2_send(h2_server *s, const uint8_t **bytes)
{
    const ssize_t n = nghttp2_session_mem_send(s->session, bytes);
    return n > 0 ? (size_t)n : 0;
}

static inline void h2_trailer(h2_server *s, const h2_call *c)
{
    nghttp2_nv fields[2];
    size_t n = 0;
    if (c->status) {
        fields[n++] = h2_field("grpc-status", c->status);
    }
    if (c->message) {
        fields[n++] = h2_field("grpc-message", c->message);
    }
    (void)nghttp2_submit_trailer(s->session, c->id, fields, n);
}

static inline ssize_t h2_read_text(nghttp2_session *session, int32_t id, uint8_t *buffer,
                                   size_t len, uint32_t *flags, nghttp2_data_source *source,
                                   void *user)
{
    h2_server *s = user;
    h2_call *c = h2_find(s, id);
    (void)session;
    (void)source;
    const size_t left = c->text_len - c->text_at;
    const size_t n = left < len ? left : len;
    memcpy(buffer, c->text + c->text_at, n);
    c->text_at += n;
    if (c->text_at == c->text_len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (c->status) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            h2_trailer(s, c);
        }
    }
    return (ssize_t)n;
}

/* A head, `len` bytes of a body, and a trailer with that grpc-status (NULL = no trailer). */
static inline void h2_reply(h2_server *s, uint32_t nth, const void *text, size_t len,
                            const char *status)
{
    const nghttp2_nv fields[] = {h2_field(":status", "200"),
                                 h2_field("content-type", "application/grpc")};
    const nghttp2_data_provider body = {.read_callback = h2_read_text};
    h2_call *c = &s->calls[nth];
    c->text = text;
    c->text_len = len;
    c->text_at = 0;
    c->status = status;
    (void)nghttp2_submit_response(s->session, c->id, fields, 2, &body);
}

/* The usual good reply: one message of two bytes. */
static inline void h2_reply_ok(h2_server *s, uint32_t nth)
{
    h2_reply(s, nth, "\0\0\0\0\2hi", 7, "0");
}

/* Nothing but a head, which says why not. */
static inline void h2_refuse(h2_server *s, uint32_t nth, const char *http_status,
                             const char *status, const char *message)
{
    nghttp2_nv fields[4] = {h2_field(":status", http_status),
                            h2_field("content-type", "application/grpc")};
    size_t n = 2;
    if (status) {
        fields[n++] = h2_field("grpc-status", status);
    }
    if (message) {
        fields[n++] = h2_field("grpc-message", message);
    }
    (void)nghttp2_submit_response(s->session, s->calls[nth].id, fields, n, NULL);
}

#endif
