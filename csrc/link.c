#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STAMPED_EVERY 8 /* receives of a stamped connection, one of which is looked at */

int fb_link_init(fb_link *l, uint32_t pieces, fb_error *err)
{
    *l = (fb_link){.fd = -1};
    return fb_outq_init(&l->out, pieces, err);
}

void fb_link_fini(fb_link *l)
{
    fb_outq_fini(&l->out);
}

static int watch_socket(fb_link *l, void *owner, fb_io *io, int operation, bool for_room)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = owner};
    event.events |= for_room ? EPOLLOUT : 0;
    l->waits_for_room = for_room;
    if (epoll_ctl(io->epoll_fd, operation, l->fd, &event) != 0) {
        return fb_error_set(&io->err, FB_E_SYS, errno, "epoll_ctl: %s", strerror(errno));
    }
    return FB_OK;
}

int fb_link_connect(fb_link *l, const fb_address *address, void *owner, fb_io *io)
{
    const int fd = fb_net_connect(address, &io->err);
    if (fd < 0) {
        return fd;
    }
    l->fd = fd;
    return watch_socket(l, owner, io, EPOLL_CTL_ADD, true); /* for when the connection stands */
}

int fb_link_connected(fb_link *l, const fb_tls *tls, void *owner, fb_io *io)
{
    const int failed = fb_net_connect_result(l->fd);
    if (failed == EINPROGRESS) {
        return 0;
    }
    if (failed != 0) {
        return fb_error_set(&io->err, FB_E_CONNECT, failed, "cannot connect: %s", strerror(failed));
    }
    if (tls) {
        l->tls = fb_tls_session_new(tls, l->fd, &io->err);
        return l->tls ? 1 : io->err.code;
    }
    const int rc = watch_socket(l, owner, io, EPOLL_CTL_MOD, false);
    return rc == FB_OK ? 1 : rc;
}

int fb_link_secure(fb_link *l, fb_io *io)
{
    return fb_tls_handshake(l->tls, &io->err);
}

void fb_link_stamp(fb_link *l)
{
    l->stamped = l->tls == NULL && fb_net_stamp_receives(l->fd);
}

/* A record of TLS has to wait, and its first bytes have left: whatever begins in it, is queued by
 * now and will be known to be sent only when all of the record is. */
static void note_begun(fb_link *l, uint64_t now_ns)
{
    if (l->tls && l->begun_ns == 0 && fb_tls_has_begun(l->tls)) {
        l->begun_ns = now_ns;
        l->begun = l->out.pushed;
    }
}

/* Epoll is asked for room only from the first time on, as on a unix socket it would wake us for
 * every request that the peer takes. */
long fb_link_send(fb_link *l, void *owner, fb_io *io)
{
    const long n = l->tls ? fb_tls_step(l->tls, &l->out, &io->err)
                          : fb_outq_step(&l->out, l->fd, &io->splicer, &io->err);
    if (FB_LIKELY(n != 0)) {
        return n;
    }
    note_begun(l, io->now_ns);
    return l->waits_for_room ? 0 : watch_socket(l, owner, io, EPOLL_CTL_MOD, true);
}

/* recv, which for one in a few says how long the bytes had lain there. */
static ssize_t receive_some(fb_link *l, const fb_io *io)
{
    if (FB_LIKELY(!l->stamped) || ++l->receives < STAMPED_EVERY) {
        return recv(l->fd, io->buffer, io->buffer_len, 0);
    }
    uint64_t lag_ns;
    const ssize_t n = fb_net_recv_stamped(l->fd, io->buffer, io->buffer_len, &lag_ns);
    if (n > 0 && lag_ns != FB_NET_NO_STAMP) {
        fb_watch_reply_lag(io->watch, lag_ns);
        l->receives = 0;
    }
    return n;
}

long fb_link_receive(fb_link *l, fb_io *io)
{
    if (l->tls) {
        return fb_tls_recv(l->tls, io->buffer, io->buffer_len, &io->err);
    }
    const ssize_t n = receive_some(l, io);
    if (n > 0) {
        return n;
    }
    if (n == 0) {
        return fb_error_set(&io->err, FB_E_CLOSED, 0, "the server closed the connection");
    }
    return errno == EAGAIN
               ? 0
               : fb_error_set(&io->err, FB_E_CLOSED, errno, "connection lost: %s", strerror(errno));
}

/* To be watched anew makes an event of what is there; of what TLS holds epoll knows nothing, but of
 * room, which there is or will be. */
int fb_link_receive_later(fb_link *l, void *owner, fb_io *io)
{
    return watch_socket(l, owner, io, EPOLL_CTL_MOD, l->waits_for_room || l->tls != NULL);
}

uint64_t fb_link_restart(fb_link *l)
{
    const uint64_t sent = l->out.sent;
    fb_outq_reset(&l->out);
    l->begun_ns = 0;
    return sent;
}

/* Where the socket refuses, it is closed like others. */
void fb_link_end_by_reset(const fb_link *l)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void fb_link_drop(fb_link *l)
{
    fb_tls_session_free(l->tls);
    l->tls = NULL;
    if (l->fd >= 0) {
        (void)close(l->fd);
        l->fd = -1;
    }
}
