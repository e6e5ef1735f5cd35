/* Unary gRPC calls over HTTP/2, which libnghttp2 frames and reads: see protocol.h.
 *
 * nghttp2 decides what may be sent when: windows, frame sizes, SETTINGS, PING, RST_STREAM, GOAWAY.
 * The bodies of DATA frames never pass through it: a frame's head is queued, and behind it the
 * pieces of the message as they are. What nghttp2 writes itself is copied to the scratch, as it
 * must stay until it is sent. nghttp2 allocates a few small blocks for each call by itself.
 *
 * Source: RFC 9113 (HTTP/2); "gRPC over HTTP2", https://grpc.github.io. */
#include "grpc_reply.h"
#include "protocol.h"
#include "text.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEAD 9
#define SCRATCH_BYTES (64 * 1024)
#define OWN_FRAME_MAX (16384 + FRAME_HEAD) /* the longest that nghttp2 writes itself */

static const char HTTP1[] = "HTTP/";

/* A call on the wire. */
typedef struct stream {
    uint32_t place;
    int32_t id;          /* of HTTP/2; 0 = the place is free */
    bool reset;          /* the peer sent RST_STREAM, */
    uint32_t reset_code; /* with this code */
    fb_grpc_reply reply;
} stream;

typedef struct grpc {
    fb_calls calls; /* first: the connection's and ours */
    nghttp2_session *session;
    stream *streams; /* by place */
    fb_outq *out;    /* while nghttp2 is asked what to send */
    uint8_t *scratch;
    uint32_t scratch_len;
    uint8_t like_http1;   /* of the first bytes that came; UINT8_MAX = they are others */
    int broken;           /* why no session stands, or what failed; 0 = nothing */
    char error_text[160]; /* what nghttp2 said last; "" = nothing */
} grpc;

/* ---- failures ------------------------------------------------------------------------------- */

static int fail(grpc *g, int code, const char *text)
{
    if (text) {
        (void)snprintf(g->error_text, sizeof g->error_text, "%s", text);
    }
    g->broken = code;
    return code;
}

/* nghttp2's error, of which it may have said more before. */
static int failed(grpc *g, ssize_t code)
{
    const char *text = g->error_text[0] ? NULL : nghttp2_strerror((int)code);
    return fail(g, code == NGHTTP2_ERR_NOMEM ? FB_E_NOMEM : FB_E_PROTOCOL, text);
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t len,
                    void *user_data)
{
    grpc *g = user_data;
    (void)session;
    (void)code;
    (void)snprintf(g->error_text, sizeof g->error_text, "%.*s", (int)len, text);
    return 0;
}

static void explain(const void *state, fb_error *err)
{
    const grpc *g = state;
    fb_error_set(err, g->broken ? g->broken : FB_E_PROTOCOL, 0, "reply is not HTTP/2: %s",
                 g->error_text[0] ? g->error_text : "nghttp2 refused it");
}

/* ---- ends of calls --------------------------------------------------------------------------- */

/* NULL: nobody waits for that stream, or it is none of ours. */
static stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static void forget(grpc *g, stream *s)
{
    (void)nghttp2_session_set_stream_user_data(g->session, s->id, NULL);
    s->id = 0;
}

static void end_call(grpc *g, stream *s)
{
    forget(g, s);
    fb_calls_end(&g->calls, s->place);
}

/* The reply is whole. Where the request is not, the rest of it is not sent. */
static void replied(grpc *g, stream *s)
{
    const int32_t id = s->id;
    g->calls.answered = true;
    fb_grpc_reply_end(&s->reply, &g->calls.calls[s->place].reply);
    end_call(g, s);
    if (nghttp2_session_get_stream_local_close(g->session, id) == 0) {
        (void)nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
}

static void refused(grpc *g, stream *s)
{
    g->calls.calls[s->place].refused = true;
    end_call(g, s);
}

/* The stream ended before its reply did. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    grpc *g = user_data;
    stream *s = stream_of(session, id);
    if (s == NULL) {
        return 0;
    }
    if (!s->reset && g->calls.leaves && code == NGHTTP2_REFUSED_STREAM) {
        refused(g, s);
        return 0;
    }
    char word[FB_ERROR_CLASS_MAX] = "UNEXPECTED";
    const char *text = "a reply that is not as HTTP/2 and gRPC have it";
    if (s->reset) {
        (void)snprintf(word, sizeof word, "RST %s", nghttp2_http2_strerror(s->reset_code));
        text = "the server reset the stream";
        g->calls.answered = true;
    }
    fb_grpc_reply_fail(&s->reply, word, text, &g->calls.calls[s->place].reply);
    end_call(g, s);
    return 0;
}

/* ---- what comes ------------------------------------------------------------------------------ */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user_data)
{
    stream *s = stream_of(session, frame->hd.stream_id);
    (void)flags;
    (void)user_data;
    if (s != NULL) {
        fb_grpc_reply_field(&s->reply, (const char *)name, name_len, (const char *)value,
                            value_len);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *user_data)
{
    grpc *g = user_data;
    stream *s = stream_of(session, id);
    (void)flags;
    if (s != NULL) {
        fb_body *kept = &g->calls.calls[s->place].kept;
        fb_grpc_reply_data(&s->reply, bytes, len);
        if (FB_UNLIKELY(kept->room > 0)) {
            fb_body_add(kept, bytes, len);
        }
    }
    return 0;
}

static void said_settings(grpc *g)
{
    g->calls.greeted = true;
    g->calls.room = g->calls.leaves ? 0
                                    : nghttp2_session_get_remote_settings(
                                          g->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

/* Copies for a reader's eyes: one line, cut to fit. */
static void said_goaway(grpc *g, const nghttp2_goaway *frame)
{
    char *text = g->calls.farewell;
    const size_t room = sizeof g->calls.farewell;
    const int len = frame->opaque_data_len < room ? (int)frame->opaque_data_len : (int)room;
    (void)snprintf(text, room, "GOAWAY %s%s%.*s", nghttp2_http2_strerror(frame->error_code),
                   len > 0 ? ": " : "", len, (const char *)frame->opaque_data);
    (void)fb_text_copy(text, room, text, strlen(text));
    g->calls.leaves = true;
    g->calls.room = 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    grpc *g = user_data;
    stream *s = stream_of(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        if (s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
            replied(g, s);
        }
        break;
    case NGHTTP2_RST_STREAM:
        if (s != NULL) {
            s->reset = true; /* its end is told next */
            s->reset_code = frame->rst_stream.error_code;
        }
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
            said_settings(g);
        }
        break;
    case NGHTTP2_GOAWAY:
        said_goaway(g, &frame->goaway);
        break;
    default:
        break;
    }
    return 0;
}

/* The first bytes that came, in whatever pieces, are those of a reply of HTTP/1. */
static bool is_http1(grpc *g, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && g->like_http1 < sizeof HTTP1 - 1; i++) {
        if (bytes[i] != (uint8_t)HTTP1[g->like_http1]) {
            g->like_http1 = UINT8_MAX;
            return false;
        }
        g->like_http1++;
    }
    return g->like_http1 == sizeof HTTP1 - 1;
}

static int take(void *state, const uint8_t *bytes, size_t len)
{
    grpc *g = state;
    if (g->session == NULL) {
        return g->broken;
    }
    if (FB_UNLIKELY(!g->calls.greeted) && is_http1(g, bytes, len)) {
        return fail(g, FB_E_PROTOCOL, "the server speaks HTTP/1");
    }
    const ssize_t n = nghttp2_session_mem_recv(g->session, bytes, len);
    return n < 0 ? failed(g, n) : FB_OK;
}

/* ---- what goes ------------------------------------------------------------------------------- */

static uint64_t body_left(const fb_call *call)
{
    return call->body.pushed - call->body.sent;
}

/* Called just before nghttp2 writes a frame: what it wrote before is queued. */
static int before_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    grpc *g = user_data;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        stream *s = stream_of(session, frame->hd.stream_id);
        if (s != NULL) {
            g->calls.calls[s->place].begin = g->out->pushed;
        }
    }
    return 0;
}

/* A request that nghttp2 may not send any more: the peer leaves. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code,
                             void *user_data)
{
    grpc *g = user_data;
    (void)session;
    (void)code;
    for (uint32_t i = 0; frame->hd.type == NGHTTP2_HEADERS && i < g->calls.places; i++) {
        if (g->streams[i].id == frame->hd.stream_id) {
            refused(g, &g->streams[i]);
        }
    }
    return 0;
}

/* As long as the peer allows and the message is: nghttp2 keeps a buffer of that length. */
static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id,
                            int32_t connection_window, int32_t stream_window, uint32_t peer_max,
                            void *user_data)
{
    const grpc *g = user_data;
    const stream *s = stream_of(session, id);
    const uint64_t left = s != NULL ? body_left(&g->calls.calls[s->place]) : 1;
    (void)type;
    (void)connection_window;
    (void)stream_window;
    return (ssize_t)(left < peer_max ? left + (left == 0) : peer_max);
}

/* How much of the body goes into the next frame; on_send_data takes it. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    const grpc *g = user_data;
    const stream *s = stream_of(session, id);
    (void)buffer;
    (void)source;
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    const uint64_t left = body_left(&g->calls.calls[s->place]);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)left;
    }
    return (ssize_t)len;
}

static void queue_scratch(grpc *g, const uint8_t *bytes, size_t len)
{
    uint8_t *at = g->scratch + g->scratch_len;
    memcpy(at, bytes, len);
    (void)fb_outq_push_mem(g->out, at, len);
    g->scratch_len += (uint32_t)len;
}

static bool has_room(const grpc *g, size_t bytes, uint32_t pieces)
{
    return SCRATCH_BYTES - g->scratch_len >= bytes && fb_outq_room(g->out) >= pieces;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t len, nghttp2_data_source *source, void *user_data)
{
    grpc *g = user_data;
    const stream *s = stream_of(session, frame->hd.stream_id);
    (void)source;
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    fb_call *call = &g->calls.calls[s->place];
    if (!has_room(g, FRAME_HEAD, call->body.tail - call->body.head + 1)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    queue_scratch(g, head, FRAME_HEAD);
    fb_outq_move(&call->body, g->out, len);
    if (body_left(call) == 0) {
        call->end = g->out->pushed;
    }
    return 0;
}

/* nghttp2 has said what it has to say, and will hear no more: what came was no HTTP/2. */
static bool is_over(const grpc *g)
{
    const bool waits = fb_calls_under_way(&g->calls) > g->calls.n_ended;
    return nghttp2_session_want_read(g->session) == 0 && (waits || !g->calls.leaves);
}

static int pump(void *state, fb_outq *out)
{
    grpc *g = state;
    g->out = out;
    if (fb_outq_empty(out)) {
        g->scratch_len = 0;
    }
    while (g->broken == 0 && has_room(g, OWN_FRAME_MAX, 1)) {
        const uint8_t *bytes = NULL;
        const ssize_t n = nghttp2_session_mem_send(g->session, &bytes);
        if (FB_UNLIKELY(n < 0)) {
            return failed(g, n);
        }
        if (n == 0) {
            return is_over(g) ? fail(g, FB_E_PROTOCOL, NULL) : FB_OK;
        }
        queue_scratch(g, bytes, (size_t)n);
    }
    return g->broken;
}

static void submit(void *state, uint32_t place, const fb_message *message)
{
    grpc *g = state;
    nghttp2_nv fields[FB_MESSAGE_MAX_FIELDS];
    for (uint32_t i = 0; i < message->n_head; i++) {
        const fb_field *f = &message->head[i];
        fields[i] = (nghttp2_nv){
            .name = (uint8_t *)(uintptr_t)f->name,
            .value = (uint8_t *)(uintptr_t)f->value,
            .namelen = strlen(f->name),
            .valuelen = strlen(f->value),
            .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
        };
    }
    stream *s = &g->streams[place];
    s->place = place;
    s->reset = false;
    fb_grpc_reply_begin(&s->reply);
    const nghttp2_data_provider body = {.read_callback = read_body};
    s->id = nghttp2_submit_request(g->session, NULL, fields, message->n_head, &body, s);
    if (FB_UNLIKELY(s->id < 0)) { /* a connection has 2^30 numbers for streams */
        g->broken = s->id == NGHTTP2_ERR_NOMEM ? FB_E_NOMEM : FB_OK;
        g->calls.leaves = true;
        g->calls.room = 0;
        g->calls.calls[place].refused = true;
        s->id = 0;
        fb_calls_end(&g->calls, place);
    }
}

static void cancel(void *state, uint32_t place)
{
    grpc *g = state;
    stream *s = &g->streams[place];
    const int32_t id = s->id;
    forget(g, s);
    (void)nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static int init(void *state, uint32_t places, uint32_t pieces, fb_error *err)
{
    grpc *g = state;
    const int rc = fb_calls_init(&g->calls, places, pieces, err);
    g->streams = calloc(places, sizeof *g->streams);
    g->scratch = malloc(SCRATCH_BYTES);
    if (rc == FB_OK && (!g->streams || !g->scratch)) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u calls", places);
    }
    return rc;
}

static void free_state(void *state)
{
    grpc *g = state;
    nghttp2_session_del(g->session);
    fb_calls_fini(&g->calls);
    free(g->streams);
    free(g->scratch);
    *g = (grpc){0};
}

static void set_callbacks(nghttp2_session_callbacks *to)
{
    nghttp2_session_callbacks_set_error_callback2(to, on_error);
    nghttp2_session_callbacks_set_on_header_callback(to, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(to, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(to, on_stream_close);
    nghttp2_session_callbacks_set_before_frame_send_callback(to, before_frame);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(to, on_frame_not_sent);
    nghttp2_session_callbacks_set_data_source_read_length_callback(to, frame_length);
    nghttp2_session_callbacks_set_send_data_callback(to, on_send_data);
}

/* We take whatever comes, and at once: the widest windows and the longest frames there are. */
static int greet(nghttp2_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, (1 << 24) - 1},
    };
    const int rc = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
                                           sizeof settings / sizeof *settings);
    return rc != 0
               ? rc
               : nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, INT32_MAX);
}

static int open_session(grpc *g)
{
    nghttp2_session_callbacks *callbacks = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    if (rc != 0) {
        return rc;
    }
    set_callbacks(callbacks);
    rc = nghttp2_session_client_new(&g->session, callbacks, g);
    nghttp2_session_callbacks_del(callbacks);
    return rc != 0 ? rc : greet(g->session);
}

static void reset(void *state)
{
    grpc *g = state;
    nghttp2_session_del(g->session);
    g->session = NULL;
    g->broken = FB_OK;
    g->error_text[0] = '\0';
    g->scratch_len = 0;
    g->like_http1 = 0;
    fb_calls_reset(&g->calls);
    memset(g->streams, 0, g->calls.places * sizeof *g->streams);
    if (open_session(g) != 0) {
        (void)fail(g, FB_E_NOMEM, "no memory for a session");
    }
}

static const fb_multiplexed grpc_multiplexed = {
    .init = init,
    .fini = free_state,
    .submit = submit,
    .pump = pump,
    .take = take,
    .cancel = cancel,
};

const fb_protocol fb_grpc_protocol = {
    .state_bytes = sizeof(grpc),
    .reset = reset,
    .explain = explain,
    .multiplexed = &grpc_multiplexed,
    .alpn = "h2", /* RFC 9113, 3.2 */
};
