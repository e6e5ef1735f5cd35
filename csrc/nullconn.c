#include "nullconn.h"

#include "http.h"
#include "nullgrpc.h"
#include "outq.h"
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECEIVE_BYTES (64 * 1024)
#define SKIP_MIN (16 * 1024) /* a shorter rest of a body is cheaper to copy than to skip apart */
#define READS_PER_EVENT 16   /* then the thread's other connections have their turn */
#define DRAIN_BYTES (1024 * 1024) /* the most that an unprivileged process may have in a pipe */
#define PIECES 1024               /* of replies that wait, per connection */
#define PIECES_MAX_REPLY (FB_REQUEST_MAX_OPS + 4)
#define ECHO_MAX (64 * 1024)
#define ECHO_HEADER 24 /* room before the text for "$<length>\r\n" */
#define ECHO_STEP (ECHO_HEADER + ECHO_MAX + 2)
#define ECHO_BYTES (4 * ECHO_STEP)
_Static_assert(FB_NULLREPLIES_OKS >= RECEIVE_BYTES / 2, "a command has two bytes or more");

#define HELLO_FIELDS(proto)                                                              \
    "$6\r\nserver\r\n$14\r\nfastbench-null\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n"          \
    "$5\r\nproto\r\n:" proto "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n" \
    "$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
#define INFO_TEXT \
    "# Server\r\nredis_version:7.0.0\r\nfastbench_null_server:1\r\nredis_mode:standalone\r\n"
_Static_assert(sizeof INFO_TEXT - 1 == 79, "the length in INFO_REPLY");
#define INFO_REPLY "$79\r\n" INFO_TEXT "\r\n"

struct fb_nullconn {
    fb_request_reader reader; /* RESP */
    fb_http_reader http;      /* or this one */
    fb_nullgrpc *grpc;        /* or this; else NULL */
    fb_outq out;
    const fb_nullreplies *replies;
    fb_nullspace *space;
    fb_tls_session *tls; /* NULL = in plain text */
    int fd;
    bool is_unix;
    bool shaken; /* TLS stands */
    bool midway; /* the reader stands inside a request */
    bool resp3;
    bool closing; /* after the replies queued so far */
    uint32_t echo_used;
    uint32_t rest_len; /* received, but not yet read because replies were waiting */
    uint8_t echo[ECHO_BYTES];
    uint8_t rest[RECEIVE_BYTES];
};

/* ---- replies: nothing but references to bytes that stand ready ---- */

static void push(fb_nullconn *c, const void *bytes, size_t len)
{
    /* There is room: answer saw to it before the command began. */
    (void)fb_outq_push_mem(&c->out, bytes, len);
}

static void push_text(fb_nullconn *c, const char *text)
{
    push(c, text, strlen(text));
}

static void push_oks(fb_nullconn *c, uint64_t *oks)
{
    if (*oks > 0) {
        push(c, c->replies->oks, *oks * FB_NULLREPLIES_OK_BYTES);
        *oks = 0;
    }
}

static void push_bulk(fb_nullconn *c)
{
    push(c, c->replies->bulk, c->replies->bulk_len);
}

static void reply_dag(fb_nullconn *c)
{
    const fb_nullreplies *replies = c->replies;
    const fb_request_reader *r = &c->reader;
    uint64_t oks = 0;
    push(c, replies->counts[r->ops], replies->count_len[r->ops]);
    for (uint32_t i = 0; i < r->ops; i++) {
        if (r->op_is_bulk[i / 64] >> (i % 64) & 1) {
            push_oks(c, &oks);
            push_bulk(c);
        } else {
            oks++;
        }
    }
    push_oks(c, &oks);
}

/* The text to echo stands in the connection's memory already: the frame goes around it. */
static void reply_echo(fb_nullconn *c)
{
    const uint64_t len = c->reader.echo_len;
    if (c->reader.args < 2 || len > ECHO_MAX) {
        push_text(c, "+OK\r\n");
        return;
    }
    uint8_t *text = c->reader.echo;
    char header[ECHO_HEADER];
    const int n = snprintf(header, sizeof header, "$%u\r\n", (unsigned)len);
    memcpy(text - n, header, (size_t)n);
    memcpy(text + len, "\r\n", 2);
    push(c, text - n, (size_t)n + len + 2);
    c->echo_used += (uint32_t)(ECHO_HEADER + len + 2);
    c->reader.echo = c->echo + c->echo_used + ECHO_HEADER;
}

static void reply_hello(fb_nullconn *c)
{
    const int64_t version = c->reader.args < 2 ? (c->resp3 ? 3 : 2) : c->reader.version;
    if (version != 2 && version != 3) {
        push_text(c, "-NOPROTO unsupported protocol version\r\n");
        return;
    }
    c->resp3 = version == 3;
    push_text(c, c->resp3 ? "%7\r\n" HELLO_FIELDS("3") : "*14\r\n" HELLO_FIELDS("2"));
}

/* Any reply but the usual "+OK". */
static void reply(fb_nullconn *c)
{
    switch (c->reader.kind) {
    case FB_REQUEST_BULK:
    case FB_REQUEST_OTHER:
        push_bulk(c);
        break;
    case FB_REQUEST_DAG:
        reply_dag(c);
        break;
    case FB_REQUEST_PING:
        if (c->reader.args > 1) {
            reply_echo(c);
        } else {
            push_text(c, "+PONG\r\n");
        }
        break;
    case FB_REQUEST_ECHO:
        reply_echo(c);
        break;
    case FB_REQUEST_HELLO:
        reply_hello(c);
        break;
    case FB_REQUEST_INFO:
        push_text(c, INFO_REPLY);
        break;
    case FB_REQUEST_COMMAND:
        push_text(c, "*0\r\n");
        break;
    default: /* QUIT */
        push_text(c, "+OK\r\n");
        c->closing = true;
        break;
    }
}

static void reply_protocol_error(fb_nullconn *c)
{
    char *text = (char *)c->echo + c->echo_used;
    const int n = snprintf(text, ECHO_STEP, "-ERR Protocol error: %s\r\n", c->reader.error_text);
    push(c, text, (size_t)n);
    c->closing = true;
}

/* ---- replies of HTTP ---- */

static void reply_http(fb_nullconn *c, bool last)
{
    const fb_http_reader *h = &c->http;
    const fb_nullreply *reply = fb_nullreplies_for(c->replies, h->path, h->path_len);
    if (last) {
        push(c, reply->last_head, reply->last_head_len);
    } else {
        push(c, reply->bytes, reply->head_len);
    }
    if (h->asked != FB_HTTP_HEAD) {
        push(c, reply->bytes + reply->head_len, reply->len - reply->head_len);
    }
    c->closing = last;
}

static void reply_bad_request(fb_nullconn *c)
{
    char *text = (char *)c->echo;
    const int n = snprintf(text, ECHO_STEP,
                           "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                           "Connection: close\r\nContent-Length: %zu\r\n\r\n%s\n",
                           strlen(c->http.error_text) + 1, c->http.error_text);
    push(c, text, (size_t)n);
    c->closing = true;
}

/* ---- read, answer, send ---- */

/* Sends what is queued, as far as the socket takes it; below 0 = the client is gone. */
static long flush(fb_nullconn *c)
{
    if (c->tls == NULL) {
        return fb_outq_flush(&c->out, c->fd, NULL, NULL);
    }
    fb_error err;
    long n;
    do {
        n = fb_tls_step(c->tls, &c->out, &err);
    } while (n > 0);
    return n;
}

/* Sends what waits. False when the client is gone. */
static bool send_replies(fb_nullconn *c)
{
    do {
        if (flush(c) < 0) {
            return false;
        }
    } while (c->grpc != NULL && fb_outq_empty(&c->out) && fb_nullgrpc_queue(c->grpc));
    if (fb_outq_empty(&c->out) && !c->midway) {
        c->echo_used = 0;
        c->reader.echo = c->echo + ECHO_HEADER;
    }
    c->closing = c->closing || (c->grpc != NULL && fb_nullgrpc_over(c->grpc));
    return true;
}

static bool has_room(const fb_nullconn *c)
{
    return fb_outq_room(&c->out) > PIECES_MAX_REPLY && c->echo_used <= ECHO_BYTES - ECHO_STEP;
}

static void count(_Atomic uint64_t *counter, uint64_t more)
{
    /* One writer: no read-modify-write is needed. */
    const uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + more, memory_order_relaxed);
}

static bool goes_on(const fb_nullconn *c)
{
    return !c->closing && (c->midway || has_room(c));
}

/* Reads commands and queues their replies. Returns the bytes read: fewer than len when the queue
 * is full, or when the connection will close and nothing after matters. */
static size_t answer_resp(fb_nullconn *c, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    uint64_t oks = 0;
    uint64_t requests = 0;
    while (at < len && goes_on(c)) {
        const long n = fb_request_feed(&c->reader, bytes + at, len - at);
        if (FB_UNLIKELY(n < 0)) {
            push_oks(c, &oks);
            reply_protocol_error(c);
            break;
        }
        at += (size_t)n;
        c->midway = !c->reader.complete;
        if (FB_UNLIKELY(c->midway)) {
            break;
        }
        requests++;
        if (FB_LIKELY(c->reader.kind == FB_REQUEST_OTHER && !c->replies->always_bulk)) {
            oks++;
        } else {
            push_oks(c, &oks);
            reply(c);
        }
    }
    push_oks(c, &oks);
    count(&c->space->requests, requests);
    return at;
}

/* The same for requests of HTTP. */
static size_t answer_http(fb_nullconn *c, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    uint64_t requests = 0;
    while (at < len && goes_on(c)) {
        fb_reply request;
        const long n = fb_http_feed(&c->http, FB_HTTP_REQUEST, bytes + at, len - at, &request);
        if (FB_UNLIKELY(n < 0)) {
            reply_bad_request(c);
            break;
        }
        at += (size_t)n;
        c->midway = !request.done;
        if (request.done) {
            requests++;
            reply_http(c, request.last || c->http.old);
        }
    }
    count(&c->space->requests, requests);
    return at;
}

/* The same for gRPC, which keeps by itself what is to be answered. */
static size_t answer_grpc(fb_nullconn *c, const uint8_t *bytes, size_t len)
{
    uint64_t requests = 0;
    const bool good = len == 0 || fb_nullgrpc_take(c->grpc, bytes, len, &requests);
    (void)fb_nullgrpc_queue(c->grpc);
    c->closing = !good;
    count(&c->space->requests, requests);
    return len;
}

static size_t answer(fb_nullconn *c, const uint8_t *bytes, size_t len)
{
    switch (c->replies->protocol) {
    case FB_PROTOCOL_HTTP:
        return answer_http(c, bytes, len);
    case FB_PROTOCOL_GRPC:
        return answer_grpc(c, bytes, len);
    default:
        return answer_resp(c, bytes, len);
    }
}

/* How many of the next bytes say nothing. */
static uint64_t skippable(const fb_nullconn *c)
{
    switch (c->replies->protocol) {
    case FB_PROTOCOL_HTTP:
        return fb_http_skippable(&c->http);
    case FB_PROTOCOL_GRPC:
        return fb_nullgrpc_skippable(c->grpc);
    default:
        return fb_request_skippable(&c->reader);
    }
}

static void skip(fb_nullconn *c, uint64_t n)
{
    switch (c->replies->protocol) {
    case FB_PROTOCOL_HTTP:
        fb_http_skip(&c->http, n);
        break;
    case FB_PROTOCOL_GRPC:
        fb_nullgrpc_skip(c->grpc, n);
        break;
    default:
        fb_request_skip(&c->reader, n);
    }
}

/* Answers what was received, sends, and keeps what could not be read yet. */
static fb_nullconn_state answer_all(fb_nullconn *c, const uint8_t *bytes, size_t len)
{
    for (;;) {
        const size_t n = answer(c, bytes, len);
        if (!send_replies(c)) {
            return FB_NULLCONN_GONE;
        }
        bytes += n;
        len -= n;
        if (!fb_outq_empty(&c->out)) {
            memmove(c->rest, bytes, len);
            c->rest_len = (uint32_t)len;
            return FB_NULLCONN_BLOCKED;
        }
        if (c->closing) {
            return FB_NULLCONN_GONE;
        }
        if (len == 0) {
            c->rest_len = 0;
            return FB_NULLCONN_READY;
        }
    }
}

/* Takes up to `due` bytes from the socket to nowhere. Neither way copies: TCP drops them, a unix
 * socket hands its pages through a pipe to /dev/null. Returns as recv does. */
static ssize_t discard(const fb_nullconn *c, uint64_t due)
{
    const fb_nullspace *space = c->space;
    if (!c->is_unix) {
        /* Not recv: the sanitizers take it that recv wrote what it returned. */
        return syscall(SYS_recvfrom, c->fd, NULL, due, MSG_TRUNC, NULL, NULL);
    }
    const ssize_t got = splice(c->fd, NULL, space->drain[1], NULL, due, SPLICE_F_NONBLOCK);
    for (ssize_t left = got; left > 0;) {
        const ssize_t n = splice(space->drain[0], NULL, space->null_fd, NULL, (size_t)left, 0);
        if (n <= 0) {
            return -1;
        }
        left -= n;
    }
    return got;
}

/* Takes bytes from the socket and answers. *emptied is set when it surely had no more. */
static fb_nullconn_state receive(fb_nullconn *c, bool *emptied)
{
    fb_nullspace *space = c->space;
    const uint64_t due = skippable(c);
    const bool skips = due >= SKIP_MIN;
    ssize_t got;
    do {
        got = skips ? discard(c, due) : recv(c->fd, space->received, RECEIVE_BYTES, 0);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN ? FB_NULLCONN_READS : FB_NULLCONN_GONE;
    }
    count(&space->bytes, (uint64_t)got);
    *emptied = !skips && got < RECEIVE_BYTES;
    if (skips) {
        skip(c, (uint64_t)got);
        return FB_NULLCONN_READY;
    }
    return answer_all(c, space->received, (size_t)got);
}

/* The same by TLS, which must have all bytes. */
static fb_nullconn_state receive_secured(fb_nullconn *c)
{
    fb_nullspace *space = c->space;
    fb_error err;
    const long got = fb_tls_recv(c->tls, space->received, RECEIVE_BYTES, &err);
    if (got <= 0) {
        return got == 0 ? FB_NULLCONN_READS : FB_NULLCONN_GONE;
    }
    count(&space->bytes, (uint64_t)got);
    return answer_all(c, space->received, (size_t)got);
}

/* The same until nothing more has come. What the session holds makes no event, so that it must not
 * be left for the next one. */
static fb_nullconn_state converse_secured(fb_nullconn *c)
{
    fb_nullconn_state state = FB_NULLCONN_READY;
    for (int i = 0; state == FB_NULLCONN_READY && (i < READS_PER_EVENT || fb_tls_has_rest(c->tls));
         i++) {
        state = receive_secured(c);
    }
    return state;
}

/* True when TLS stands; else *state is what to wait for. */
static bool shake_hands(fb_nullconn *c, fb_nullconn_state *state)
{
    fb_error err;
    const int rc = fb_tls_handshake(c->tls, &err);
    *state = rc < 0 ? FB_NULLCONN_GONE : FB_NULLCONN_READS;
    c->shaken = rc > 0;
    return c->shaken;
}

/* Reads and answers until the socket has no more for now. */
static fb_nullconn_state converse(fb_nullconn *c, bool ends)
{
    if (c->tls != NULL) {
        return converse_secured(c);
    }
    for (int i = 0; i < READS_PER_EVENT; i++) {
        bool emptied = false;
        const fb_nullconn_state state = receive(c, &emptied);
        if (state != FB_NULLCONN_READY) {
            return state;
        }
        /* New bytes make a new event. But an end that came before this event makes none: it must
         * be read. */
        if (emptied && !ends) {
            return FB_NULLCONN_READS;
        }
    }
    return FB_NULLCONN_READY;
}

/* After the client took replies: sends more, then answers what was left over. */
static fb_nullconn_state resume(fb_nullconn *c)
{
    if (!send_replies(c)) {
        return FB_NULLCONN_GONE;
    }
    if (!fb_outq_empty(&c->out)) {
        return FB_NULLCONN_BLOCKED;
    }
    if (c->closing) {
        return FB_NULLCONN_GONE;
    }
    return c->rest_len > 0 ? answer_all(c, c->rest, c->rest_len) : FB_NULLCONN_READY;
}

fb_nullconn_state fb_nullconn_serve(fb_nullconn *c, bool ends)
{
    fb_nullconn_state state = FB_NULLCONN_READY;
    if (c->tls != NULL && !c->shaken && !shake_hands(c, &state)) {
        return state;
    }
    state = resume(c);
    return state == FB_NULLCONN_READY ? converse(c, ends) : state;
}

/* ---- life ---- */

static bool is_unix_socket(int fd)
{
    int domain = 0;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

static bool init_replies(fb_nullconn *c, const fb_nullreplies *replies)
{
    c->replies = replies;
    c->grpc = NULL;
    if (fb_outq_init(&c->out, PIECES, NULL) != FB_OK) {
        return false;
    }
    if (replies->protocol == FB_PROTOCOL_GRPC) {
        c->grpc = fb_nullgrpc_new(replies, &c->out);
    }
    if (replies->protocol == FB_PROTOCOL_GRPC && c->grpc == NULL) {
        fb_outq_fini(&c->out);
        return false;
    }
    return true;
}

static void free_parts(fb_nullconn *c)
{
    fb_nullgrpc_free(c->grpc);
    fb_outq_fini(&c->out);
    free(c);
}

fb_nullconn *fb_nullconn_new(int fd, const fb_nullreplies *replies, const fb_tls *tls,
                             fb_nullspace *space)
{
    /* Most of it is not touched, and so not in memory, until there is something to keep. */
    fb_nullconn *c = malloc(sizeof *c);
    if (c == NULL || !init_replies(c, replies)) {
        free(c);
        return NULL;
    }
    fb_request_init(&c->reader);
    fb_http_init(&c->http);
    c->reader.echo = c->echo + ECHO_HEADER;
    c->reader.echo_room = ECHO_MAX;
    c->space = space;
    c->fd = fd;
    c->is_unix = is_unix_socket(fd);
    c->midway = c->resp3 = c->closing = c->shaken = false;
    c->echo_used = c->rest_len = 0;
    c->tls = tls != NULL ? fb_tls_session_new(tls, fd, NULL) : NULL;
    if (tls != NULL && c->tls == NULL) {
        free_parts(c);
        return NULL;
    }
    return c;
}

int fb_nullconn_fd(const fb_nullconn *c)
{
    return c->fd;
}

void fb_nullconn_free(fb_nullconn *c)
{
    if (c != NULL) {
        fb_tls_session_free(c->tls);
        (void)close(c->fd);
        free_parts(c);
    }
}

int fb_nullspace_init(fb_nullspace *space, fb_error *err)
{
    space->drain[0] = space->drain[1] = -1;
    atomic_init(&space->requests, 0);
    atomic_init(&space->bytes, 0);
    space->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    space->received = malloc(RECEIVE_BYTES);
    if (space->received == NULL) {
        return fb_error_set(err, FB_E_NOMEM, errno, "no memory for a null server");
    }
    if (space->null_fd < 0 || pipe2(space->drain, O_NONBLOCK | O_CLOEXEC) != 0) {
        return fb_error_set(err, FB_E_SYS, errno, "cannot set up a null server: %s",
                            strerror(errno));
    }
    (void)fcntl(space->drain[1], F_SETPIPE_SZ, DRAIN_BYTES); /* small only means more calls */
    return FB_OK;
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

void fb_nullspace_fini(fb_nullspace *space)
{
    close_if_open(space->null_fd);
    close_if_open(space->drain[0]);
    close_if_open(space->drain[1]);
    free(space->received);
}
