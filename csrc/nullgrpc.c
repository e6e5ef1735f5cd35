#include "nullgrpc.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEAD 9
#define SCRATCH_BYTES (64 * 1024)
#define OWN_FRAME_MAX (16384 + FRAME_HEAD) /* the longest that nghttp2 writes itself */
#define COPIED_MAX 1024 /* a message up to that is cheaper to copy than to gather */
#define PREFACE_BYTES 24
#define FLAG_PADDED 0x8 /* of DATA */

struct fb_nullgrpc {
    nghttp2_session *session;
    const fb_nullreplies *replies;
    fb_outq *out;
    uint64_t requests; /* asked for since that was last told */
    uint32_t scratch_len;
    uint32_t frame_left; /* bytes of the current frame, or of the preface, still to come */
    uint8_t head_len;    /* of the next frame's head, bytes that came */
    bool message;        /* the current frame is nothing but bytes of a message */
    uint8_t head[FRAME_HEAD];
    uint8_t scratch[SCRATCH_BYTES];
};

int fb_nullgrpc_check(fb_error *err)
{
    (void)err;
    return FB_OK;
}

/* ---- what comes: where frames end, for those that are passed over ---- */

static void begin_frame(fb_nullgrpc *g)
{
    const uint8_t *h = g->head;
    g->head_len = 0;
    g->frame_left = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    g->message = h[3] == NGHTTP2_DATA && (h[4] & FLAG_PADDED) == 0;
}

static void follow(fb_nullgrpc *g, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t n = len < g->frame_left ? len : g->frame_left;
        g->frame_left -= (uint32_t)n;
        if (n == 0) {
            n = FRAME_HEAD - (size_t)g->head_len;
            n = len < n ? len : n;
            memcpy(g->head + g->head_len, bytes, n);
            g->head_len += (uint8_t)n;
            if (g->head_len == FRAME_HEAD) {
                begin_frame(g);
            }
        }
        bytes += n;
        len -= n;
    }
}

bool fb_nullgrpc_take(fb_nullgrpc *g, const uint8_t *bytes, size_t len, uint64_t *requests)
{
    g->requests = 0;
    follow(g, bytes, len);
    const ssize_t n = nghttp2_session_mem_recv(g->session, bytes, len);
    *requests = g->requests;
    return n >= 0;
}

uint64_t fb_nullgrpc_skippable(const fb_nullgrpc *g)
{
    return g->message && g->frame_left > 0 ? g->frame_left - 1 : 0;
}

void fb_nullgrpc_skip(fb_nullgrpc *g, uint64_t n)
{
    g->frame_left -= (uint32_t)n;
    while (n > 0) { /* of a message nghttp2 only counts the bytes: any will do */
        const size_t piece = n < SCRATCH_BYTES ? (size_t)n : SCRATCH_BYTES;
        (void)nghttp2_session_mem_recv(g->session, g->scratch, piece);
        n -= piece;
    }
}

/* ---- what goes ---- */

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

/* What a call gets; a stream has that of its path as its user data, if it has one of its own. */
static const fb_nullreply *reply_of(const fb_nullgrpc *g, int32_t id)
{
    const fb_nullreply *own = nghttp2_session_get_stream_user_data(g->session, id);
    return own != NULL ? own : &g->replies->usual;
}

static size_t left_of(const fb_nullreply *reply, const nghttp2_data_source *at)
{
    return (size_t)(reply->bytes + reply->len - (const uint8_t *)at->ptr);
}

/* How much of the message goes into the next frame; send_message takes it. */
static ssize_t read_message(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len,
                            uint32_t *flags, nghttp2_data_source *at, void *user_data)
{
    const nghttp2_nv trailer = field("grpc-status", "0");
    const size_t left = left_of(reply_of(user_data, id), at);
    (void)buffer;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left > len) {
        return (ssize_t)len;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return nghttp2_submit_trailer(session, id, &trailer, 1) == 0
               ? (ssize_t)left
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void queue_copy(fb_nullgrpc *g, const uint8_t *bytes, size_t len)
{
    uint8_t *at = g->scratch + g->scratch_len;
    memcpy(at, bytes, len);
    (void)fb_outq_push_mem(g->out, at, len);
    g->scratch_len += (uint32_t)len;
}

static bool has_room(const fb_nullgrpc *g, size_t bytes)
{
    return SCRATCH_BYTES - g->scratch_len >= bytes && fb_outq_room(g->out) >= 2;
}

static int send_message(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t len, nghttp2_data_source *at, void *user_data)
{
    fb_nullgrpc *g = user_data;
    (void)session;
    (void)frame;
    if (!has_room(g, FRAME_HEAD + COPIED_MAX)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    queue_copy(g, head, FRAME_HEAD);
    if (len <= COPIED_MAX) {
        queue_copy(g, at->ptr, len);
    } else {
        (void)fb_outq_push_mem(g->out, at->ptr, len);
    }
    at->ptr = (uint8_t *)at->ptr + len;
    return 0;
}

bool fb_nullgrpc_queue(fb_nullgrpc *g)
{
    const uint64_t before = g->out->pushed;
    if (fb_outq_empty(g->out)) {
        g->scratch_len = 0;
    }
    while (has_room(g, OWN_FRAME_MAX)) {
        const uint8_t *bytes = NULL;
        const ssize_t n = nghttp2_session_mem_send(g->session, &bytes);
        if (n <= 0) { /* without memory the session asks for nothing more: the client times out */
            break;
        }
        queue_copy(g, bytes, (size_t)n);
    }
    return g->out->pushed > before;
}

bool fb_nullgrpc_over(const fb_nullgrpc *g)
{
    return nghttp2_session_want_read(g->session) == 0 &&
           nghttp2_session_want_write(g->session) == 0;
}

/* ---- calls ---- */

static int answer(fb_nullgrpc *g, int32_t id)
{
    const nghttp2_nv fields[] = {field(":status", "200"),
                                 field("content-type", "application/grpc")};
    const nghttp2_data_provider message = {.source.ptr = reply_of(g, id)->bytes,
                                           .read_callback = read_message};
    g->requests++;
    const int rc = nghttp2_submit_response(g->session, id, fields, 2, &message);
    return rc == NGHTTP2_ERR_NOMEM ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    const bool call = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    (void)session;
    return call && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
               ? answer(user_data, frame->hd.stream_id)
               : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t len, uint8_t flags,
                     void *user_data)
{
    static const char path[] = ":path";
    const fb_nullgrpc *g = user_data;
    (void)flags;
    if (name_len == sizeof path - 1 && memcmp(name, path, name_len) == 0) {
        const fb_nullreply *reply = fb_nullreplies_for(g->replies, (const char *)value, len);
        (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                                   (void *)(uintptr_t)reply);
    }
    return 0;
}

/* ---- life ---- */

static nghttp2_session_callbacks *new_callbacks(bool by_path)
{
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return NULL;
    }
    if (by_path) {
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_message);
    return callbacks;
}

/* Ended streams are of no more use, and whatever a request's fields are it is answered. */
static int open_session(fb_nullgrpc *g)
{
    nghttp2_session_callbacks *callbacks = new_callbacks(g->replies->n_answers > 0);
    nghttp2_option *option = NULL;
    int rc = nghttp2_option_new(&option);
    if (rc == 0 && callbacks != NULL) {
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_http_messaging(option, 1);
        rc = nghttp2_session_server_new2(&g->session, callbacks, g, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return callbacks != NULL ? rc : NGHTTP2_ERR_NOMEM;
}

static int greet(nghttp2_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, FB_NULLGRPC_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, FB_NULLGRPC_WINDOW},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FB_NULLGRPC_WINDOW},
    };
    const int rc = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
                                           sizeof settings / sizeof *settings);
    return rc != 0 ? rc
                   : nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                           FB_NULLGRPC_WINDOW);
}

fb_nullgrpc *fb_nullgrpc_new(const fb_nullreplies *replies, fb_outq *out)
{
    /* Its scratch is not in memory before it is used. */
    fb_nullgrpc *g = malloc(sizeof *g);
    if (g == NULL) {
        return NULL;
    }
    g->session = NULL;
    g->replies = replies;
    g->out = out;
    g->requests = 0;
    g->scratch_len = 0;
    g->frame_left = PREFACE_BYTES;
    g->head_len = 0;
    g->message = false;
    if (open_session(g) != 0 || greet(g->session) != 0) {
        fb_nullgrpc_free(g);
        return NULL;
    }
    return g;
}

void fb_nullgrpc_free(fb_nullgrpc *g)
{
    if (g != NULL) {
        nghttp2_session_del(g->session);
        free(g);
    }
}
