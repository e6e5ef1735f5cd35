/* The socket of one connection: connecting, TLS, bytes out and in, and what epoll tells about it.
 *
 * It knows nothing of inferences. Owns the descriptor and the TLS session; one that is down has
 * neither. Worker only. Functions that return a code fill io->err where it is negative. */
#ifndef FB_LINK_H
#define FB_LINK_H

#include "net.h"
#include "outq.h"
#include "tls.h"
#include "watch.h"

/* What the connections of one worker share for a moment. */
typedef struct fb_io {
    int epoll_fd;
    uint8_t *buffer;
    size_t buffer_len;
    uint64_t now_ns; /* the newest clock reading */
    fb_watch *watch;
    fb_splicer splicer;
    fb_error err;
} fb_io;

typedef struct fb_link {
    fb_outq out;
    int fd;              /* -1 = down */
    bool waits_for_room; /* epoll tells when there is room */
    bool stamped;        /* the kernel stamps what it receives */
    uint8_t receives;    /* since a stamp was last looked at */
    fb_tls_session *tls; /* NULL = a plain socket */
    uint64_t begun_ns;   /* TLS sent the first bytes of a record that waits; 0 = none does */
    uint64_t begun;      /* position after what that record may hold */
} fb_link;

/* Down, with room for that many pieces in its queue. FB_E_NOMEM. */
int fb_link_init(fb_link *l, uint32_t pieces, fb_error *err);
void fb_link_fini(fb_link *l);

/* Begins to connect; `owner` is what epoll's events name. FB_E_CONNECT, FB_E_SYS. */
int fb_link_connect(fb_link *l, const fb_address *address, void *owner, fb_io *io);

/* 1 = the connection stands, 0 = not yet; FB_E_CONNECT, FB_E_SYS. With tls NULL it is ready for
 * use then, else fb_link_secure follows. */
int fb_link_connected(fb_link *l, const fb_tls *tls, void *owner, fb_io *io);

/* 1 = the handshake of TLS is done, 0 = not yet, or a code. */
int fb_link_secure(fb_link *l, fb_io *io);

/* Has the kernel stamp what comes, so that the watch learns how long one in a few bytes lay there.
 */
void fb_link_stamp(fb_link *l);

/* One step of what is queued, at io->now_ns. > 0 bytes; 0 = the socket takes no more now, and epoll
 * tells when it does again; or a code. */
long fb_link_send(fb_link *l, void *owner, fb_io *io);

/* > 0 bytes in io->buffer; 0 = none now; or a code: FB_E_CLOSED when the peer has closed. */
long fb_link_receive(fb_link *l, fb_io *io);

/* There may be more to receive than was taken: epoll tells at once again. FB_E_SYS. */
int fb_link_receive_later(fb_link *l, void *owner, fb_io *io);

/* Positions begin at 0 again, and nothing is queued: returns the bytes that had left. */
uint64_t fb_link_restart(fb_link *l);

/* Its drop will reset the connection, and its port be free at once. For when the peer has sent its
 * last and means to close: closed in good order, by the first to do so, the port would be kept for
 * a minute (TIME_WAIT), and at some hundred inferences a second none be left. */
void fb_link_end_by_reset(const fb_link *l);

/* Closes the socket, which epoll forgets too. What was queued stays. */
void fb_link_drop(fb_link *l);

#endif
