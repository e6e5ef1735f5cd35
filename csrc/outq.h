/* The bytes that one connection still has to send: a ring of borrowed pieces, in stream order.
 *
 * A piece is memory, or a range of a file whose bytes are also mapped. The ring is allocated by
 * fb_outq_init and nothing after; the bytes belong to the caller and must not change until
 * `sent` has passed them. Worker only. Nothing is copied in user space.
 *
 * Stream positions: `pushed` counts every byte ever queued, `sent` every byte ever handed to the
 * kernel. An inference that starts at position p is sent by the first fb_outq_step after which
 * sent > p; its *sent* instant is the clock taken just before that call.
 *
 * SIGPIPE: sendmsg passes MSG_NOSIGNAL; splice and sendfile cannot, so the worker's thread must
 * have SIGPIPE blocked (or the process ignore it). */
#ifndef FB_OUTQ_H
#define FB_OUTQ_H

#include "splicer.h"

/* A piece of a file at least this long is not copied; shorter ones are, by the kernel. */
#define FB_OUTQ_ZEROCOPY_MIN (64 * 1024)

typedef struct fb_piece {
    const uint8_t *bytes; /* in memory or, for a file, where the range is mapped */
    uint64_t length;      /* bytes, > 0 */
    int64_t offset;       /* of the range in the file; unused for memory */
    int fd;               /* the file, or -1 for memory */
} fb_piece;

typedef struct fb_outq {
    uint64_t pushed; /* bytes ever pushed */
    uint64_t sent;   /* bytes ever handed to the kernel */
    uint32_t head;   /* index of the oldest piece, counted without wrapping */
    uint32_t tail;   /* index after the newest piece, counted without wrapping */
    uint32_t mask;   /* capacity - 1 */
    fb_piece *ring;
    bool full; /* the last step filled the socket */
} fb_outq;

/* Allocates room for at least `pieces` pieces (1 to 2^20). FB_E_INVAL, FB_E_NOMEM. */
int fb_outq_init(fb_outq *q, uint32_t pieces, fb_error *err);

/* Frees the ring; q may be zeroed and never initialised. */
void fb_outq_fini(fb_outq *q);

/* Forgets what is queued and sets both stream positions to 0, as for a new connection. */
void fb_outq_reset(fb_outq *q);

/* True when everything pushed was handed to the kernel. */
static inline bool fb_outq_empty(const fb_outq *q)
{
    return q->head == q->tail;
}

/* How many more pieces fit for certain. */
static inline uint32_t fb_outq_room(const fb_outq *q)
{
    return q->mask + 1 - (q->tail - q->head);
}

/* Queues len bytes of memory, as part of the newest piece where they follow it in memory.
 * 0, or FB_E_NOMEM when the ring is full; len 0 is allowed and queues nothing. */
static inline int fb_outq_push_mem(fb_outq *q, const void *bytes, size_t len)
{
    if (FB_LIKELY(q->head != q->tail)) {
        fb_piece *last = &q->ring[(q->tail - 1) & q->mask];
        if (last->fd < 0 && last->bytes + last->length == (const uint8_t *)bytes) {
            last->length += len;
            q->pushed += len;
            return FB_OK;
        }
    }
    if (FB_UNLIKELY(len == 0)) {
        return FB_OK;
    }
    if (FB_UNLIKELY(fb_outq_room(q) == 0)) {
        return FB_E_NOMEM;
    }
    q->ring[q->tail++ & q->mask] = (fb_piece){.bytes = bytes, .length = len, .fd = -1};
    q->pushed += len;
    return FB_OK;
}

/* Queues len bytes of file fd from offset on; `mapped` is the address of the same bytes.
 * 0, or FB_E_NOMEM when the ring is full; len 0 is allowed and queues nothing. */
int fb_outq_push_file(fb_outq *q, int fd, int64_t offset, const void *mapped, uint64_t len);

/* Moves the first n bytes that `from` holds to the end of `to`, which must have room for the pieces
 * that they are in. For `from` they are sent then. */
void fb_outq_move(fb_outq *from, fb_outq *to, uint64_t n);

/* Moves past n queued bytes that somebody else handed to the kernel: TLS. */
void fb_outq_advance(fb_outq *q, uint64_t n);

/* Hands bytes to the kernel once; does nothing when empty.
 *
 * A long range of a file, when it is the oldest piece, goes by the splicer, or by sendfile where
 * that is not ready or NULL. Otherwise one send or gathered sendmsg takes all the pieces before
 * the next long range (with MSG_MORE when there is one). Returns > 0 bytes sent; 0 = the socket
 * takes no more now, or nothing is queued; FB_E_CLOSED = the peer is gone; FB_E_DATA = the file
 * ended early (truncated), or its mapping cannot be read; FB_E_SYS = any other failure. err may be
 * NULL. */
long fb_outq_step(fb_outq *q, int socket_fd, fb_splicer *splicer, fb_error *err);

/* Repeats fb_outq_step until the queue is empty or the socket takes no more. Returns the bytes
 * sent by all steps, 0 when none, or the code of the step that failed. */
long fb_outq_flush(fb_outq *q, int socket_fd, fb_splicer *splicer, fb_error *err);

#endif
