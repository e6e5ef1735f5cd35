#include "outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define MAX_PIECES (UINT32_C(1) << 20)
#define GATHER_MAX 256 /* pieces of one sendmsg */

int fb_outq_init(fb_outq *q, uint32_t pieces, fb_error *err)
{
    *q = (fb_outq){0};
    if (pieces < 1 || pieces > MAX_PIECES) {
        return fb_error_set(err, FB_E_INVAL, 0, "a send queue of %u pieces", pieces);
    }
    uint32_t capacity = 1;
    while (capacity < pieces) {
        capacity *= 2;
    }
    q->ring = malloc(capacity * sizeof *q->ring);
    if (q->ring == NULL) {
        return fb_error_set(err, FB_E_NOMEM, errno, "no memory for a send queue");
    }
    q->mask = capacity - 1;
    return FB_OK;
}

void fb_outq_fini(fb_outq *q)
{
    free(q->ring);
    *q = (fb_outq){0};
}

void fb_outq_reset(fb_outq *q)
{
    q->pushed = q->sent = 0;
    q->head = q->tail = 0;
    q->full = false;
}

int fb_outq_push_file(fb_outq *q, int fd, int64_t offset, const void *mapped, uint64_t len)
{
    if (FB_UNLIKELY(len == 0)) {
        return FB_OK;
    }
    if (FB_UNLIKELY(fb_outq_room(q) == 0)) {
        return FB_E_NOMEM;
    }
    q->ring[q->tail++ & q->mask] =
        (fb_piece){.bytes = mapped, .length = len, .offset = offset, .fd = fd};
    q->pushed += len;
    return FB_OK;
}

static bool goes_uncopied(const fb_piece *piece)
{
    return piece->length >= FB_OUTQ_ZEROCOPY_MIN && piece->fd >= 0;
}

void fb_outq_advance(fb_outq *q, uint64_t n)
{
    q->sent += n;
    while (n > 0) {
        fb_piece *piece = &q->ring[q->head & q->mask];
        if (n < piece->length) {
            piece->bytes += n;
            piece->offset += (int64_t)n;
            piece->length -= n;
            return;
        }
        n -= piece->length;
        q->head++;
    }
    /* An empty queue starts over, so that a shallow one lives in one or two cache lines. */
    if (q->head == q->tail) {
        q->head = q->tail = 0;
    }
}

void fb_outq_move(fb_outq *from, fb_outq *to, uint64_t n)
{
    while (n > 0) {
        const fb_piece *piece = &from->ring[from->head & from->mask];
        const uint64_t part = piece->length < n ? piece->length : n;
        if (piece->fd < 0) {
            (void)fb_outq_push_mem(to, piece->bytes, part);
        } else {
            (void)fb_outq_push_file(to, piece->fd, piece->offset, piece->bytes, part);
        }
        fb_outq_advance(from, part);
        n -= part;
    }
}

/* What a failed send means for the caller. */
static long failure(int cause, fb_error *err)
{
    switch (cause) {
    case EAGAIN:
        return 0;
    case EPIPE:
    case ECONNRESET:
        return fb_error_set(err, FB_E_CLOSED, cause, "connection lost: %s", strerror(cause));
    case EFAULT:
    case EIO:
        return fb_error_set(err, FB_E_DATA, cause, "the dataset's bytes cannot be read: %s",
                            strerror(cause));
    default:
        return fb_error_set(err, FB_E_SYS, cause, "cannot send: %s", strerror(cause));
    }
}

static long send_file(fb_outq *q, int socket_fd, fb_error *err)
{
    const fb_piece *piece = &q->ring[q->head & q->mask];
    off_t offset = piece->offset;
    ssize_t n;
    do {
        n = sendfile(socket_fd, piece->fd, &offset, piece->length);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        fb_outq_advance(q, (uint64_t)n);
        return n;
    }
    if (n == 0) {
        return fb_error_set(err, FB_E_DATA, 0, "the dataset file ends before byte %lld",
                            (long long)offset + (long long)piece->length);
    }
    return failure(errno, err);
}

/* Sends every piece before the next long range of a file, up to GATHER_MAX. */
static long send_gathered(fb_outq *q, int socket_fd, fb_error *err)
{
    struct iovec parts[GATHER_MAX];
    size_t count = 0;
    uint32_t i = q->head;
    for (; i != q->tail && count < GATHER_MAX; i++) {
        const fb_piece *piece = &q->ring[i & q->mask];
        if (goes_uncopied(piece)) {
            break;
        }
        parts[count].iov_base = (void *)(uintptr_t)piece->bytes;
        parts[count++].iov_len = piece->length;
    }
    const int flags = i != q->tail ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t n;
    do {
        n = count == 1 ? send(socket_fd, parts[0].iov_base, parts[0].iov_len, flags)
                       : sendmsg(socket_fd, &message, flags);
    } while (n < 0 && errno == EINTR);
    if (FB_UNLIKELY(n < 0)) {
        return failure(errno, err);
    }
    fb_outq_advance(q, (uint64_t)n);
    return n;
}

static long splice_mapped(fb_outq *q, int socket_fd, fb_splicer *splicer, fb_error *err)
{
    const fb_piece *piece = &q->ring[q->head & q->mask];
    const bool more = q->head + 1 != q->tail;
    const ssize_t n = fb_splicer_send(splicer, socket_fd, piece->bytes, piece->length, more);
    if (n < 0) {
        return failure(errno, err);
    }
    q->full = splicer->full;
    fb_outq_advance(q, (uint64_t)n);
    return n;
}

static long send_uncopied(fb_outq *q, int socket_fd, fb_splicer *splicer, fb_error *err)
{
    return splicer && fb_splicer_ready(splicer) ? splice_mapped(q, socket_fd, splicer, err)
                                                : send_file(q, socket_fd, err);
}

long fb_outq_step(fb_outq *q, int socket_fd, fb_splicer *splicer, fb_error *err)
{
    if (fb_outq_empty(q) || q->full) {
        q->full = false;
        return 0;
    }
    return goes_uncopied(&q->ring[q->head & q->mask]) ? send_uncopied(q, socket_fd, splicer, err)
                                                      : send_gathered(q, socket_fd, err);
}

long fb_outq_flush(fb_outq *q, int socket_fd, fb_splicer *splicer, fb_error *err)
{
    const uint64_t before = q->sent;
    while (!fb_outq_empty(q)) {
        const long n = fb_outq_step(q, socket_fd, splicer, err);
        if (n < 0) {
            return n;
        }
        if (n == 0) {
            break;
        }
    }
    return (long)(q->sent - before);
}
