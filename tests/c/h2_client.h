/* The other side of a null server for gRPC in tests: nghttp2's client in this process. The test
 * carries the bytes. */
#ifndef FB_TEST_H2_CLIENT_H
#define FB_TEST_H2_CLIENT_H

#include "h2_fields.h"

#define H2_CALLS 2000

/* What came for one call. */
typedef struct h2_answer {
    int32_t id;
    char http_status[8], content_type[32], grpc_status[8];
    uint8_t first[16];          /* bytes of the body */
    uint64_t body_len, nonzero; /* how many behind the first five are not 0 */
    bool ended;
    uint32_t reset; /* the code of RST_STREAM */
} h2_answer;

typedef struct h2_client {
    nghttp2_session *session;
    size_t message_len, frame_max, pad;
    h2_answer answers[H2_CALLS];
    uint64_t sent[H2_CALLS]; /* of each request's message */
    uint32_t n_calls;
    uint32_t window_max; /* what the server announced */
    uint32_t frame_max_announced, streams_max;
} h2_client;

static inline h2_answer *h2_answer_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static inline int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                               const uint8_t *name, size_t name_len, const uint8_t *value,
                               size_t len, uint8_t flags, void *user)
{
    h2_answer *a = h2_answer_of(session, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (a == NULL) {
        return 0;
    }
    if (h2_is(":status", name, name_len)) {
        h2_keep(a->http_status, sizeof a->http_status, value, len);
    } else if (h2_is("content-type", name, name_len)) {
        h2_keep(a->content_type, sizeof a->content_type, value, len);
    } else if (h2_is("grpc-status", name, name_len)) {
        h2_keep(a->grpc_status, sizeof a->grpc_status, value, len);
    }
    return 0;
}

static inline int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                             const uint8_t *bytes, size_t len, void *user)
{
    h2_answer *a = h2_answer_of(session, id);
    (void)flags;
    (void)user;
    for (size_t i = 0; a != NULL && i < len; i++, a->body_len++) {
        if (a->body_len < sizeof a->first) {
            a->first[a->body_len] = bytes[i];
        }
        a->nonzero += a->body_len >= 5 && bytes[i] != 0;
    }
    return 0;
}

static inline int h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    h2_client *c = user;
    h2_answer *a = h2_answer_of(session, frame->hd.stream_id);
    if (a != NULL && frame->hd.type == NGHTTP2_RST_STREAM) {
        a->reset = frame->rst_stream.error_code;
    }
    if (a != NULL && h2_ends_stream(frame)) {
        a->ended = true;
    }
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        c->window_max =
            nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
        c->frame_max_announced =
            nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_FRAME_SIZE);
        c->streams_max =
            nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    }
    return 0;
}

static inline ssize_t h2_length(nghttp2_session *session, uint8_t type, int32_t id,
                                int32_t connection_window, int32_t window, uint32_t peer_max,
                                void *user)
{
    const h2_client *c = user;
    (void)session;
    (void)type;
    (void)id;
    (void)connection_window;
    (void)window;
    return (ssize_t)(c->frame_max < peer_max ? c->frame_max : peer_max);
}

static inline ssize_t h2_pad(nghttp2_session *session, const nghttp2_frame *frame, size_t max,
                             void *user)
{
    const h2_client *c = user;
    const size_t padded = frame->hd.length + c->pad;
    (void)session;
    return (ssize_t)(frame->hd.type != NGHTTP2_DATA || padded > max ? frame->hd.length : padded);
}

/* Nothing but 0xff, which looks like no frame. */
static inline ssize_t h2_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len,
                              uint32_t *flags, nghttp2_data_source *source, void *user)
{
    const h2_client *c = user;
    uint64_t *sent = source->ptr;
    const uint64_t left = c->message_len - *sent;
    const size_t n = left < len ? (size_t)left : len;
    (void)session;
    (void)id;
    memset(buffer, 0xff, n);
    *sent += n;
    if (*sent == c->message_len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static inline bool h2_open(h2_client *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    memset(c, 0, sizeof *c);
    c->frame_max = 16384;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return false;
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_on_frame);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, h2_length);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, h2_pad);
    const int rc = nghttp2_session_client_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    return rc == 0 && nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0;
}

/* A call with a message of c->message_len bytes, or of none. */
static inline h2_answer *h2_call_path(h2_client *c, const char *path)
{
    const nghttp2_nv head[] = {h2_field(":method", "POST"), h2_field(":scheme", "http"),
                               h2_field(":path", path), h2_field(":authority", "h"),
                               h2_field("te", "trailers")};
    h2_answer *a = &c->answers[c->n_calls];
    const nghttp2_data_provider body = {.source.ptr = &c->sent[c->n_calls++],
                                        .read_callback = h2_read};
    a->id = nghttp2_submit_request(c->session, NULL, head, 5, c->message_len ? &body : NULL, a);
    return a;
}

static inline uint32_t h2_ended(const h2_client *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_calls; i++) {
        n += c->answers[i].ended;
    }
    return n;
}

static inline void h2_close(h2_client *c)
{
    nghttp2_session_del(c->session);
    c->session = NULL;
}

#endif
