#include "splicer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define USER_PIPES ((size_t)64 << 20) /* fs.pipe-user-pages-soft, as it is by default */

static ssize_t map(const fb_splicer *s, const void *bytes, size_t len)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    return vmsplice(s->pipe[1], &part, 1, SPLICE_F_NONBLOCK);
}

static ssize_t move(const fb_splicer *s, int to, size_t len, bool more)
{
    const unsigned flags = SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0);
    return splice(s->pipe[0], NULL, to, NULL, len, flags);
}

static bool open_all(fb_splicer *s)
{
    static const char byte;
    if (pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        return false;
    }
    s->nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return s->nowhere >= 0 && fcntl(s->pipe[1], F_SETPIPE_SZ, (int)s->room) > 0 &&
           map(s, &byte, 1) == 1 && move(s, s->nowhere, 1, false) == 1;
}

static void close_all(const fb_splicer *s)
{
    const int fds[] = {s->pipe[0], s->pipe[1], s->nowhere};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

size_t fb_splicer_share(uint32_t n)
{
    size_t room = FB_SPLICER_MAX;
    while (room > FB_SPLICER_MIN && room * n > USER_PIPES / 2) {
        room /= 2;
    }
    return room;
}

bool fb_splicer_ready(fb_splicer *s)
{
    if (FB_UNLIKELY(!s->tried)) {
        const size_t room = s->room > 0 ? s->room : FB_SPLICER_MAX;
        *s = (fb_splicer){.room = room, .tried = true, .pipe = {-1, -1}, .nowhere = -1};
        s->works = open_all(s);
        if (!s->works) {
            close_all(s);
        }
    }
    return s->works;
}

void fb_splicer_close(fb_splicer *s)
{
    if (s->works) {
        close_all(s);
    }
    *s = (fb_splicer){.room = s->room};
}

/* Empties the pipe; one that cannot be emptied is closed, and opened anew by the next use. */
static void drop(fb_splicer *s, size_t len)
{
    while (len > 0) {
        const ssize_t n = move(s, s->nowhere, len, false);
        if (n <= 0) {
            fb_splicer_close(s);
            return;
        }
        len -= (size_t)n;
    }
}

/* Moves len bytes out of the pipe until the socket takes no more. The kernel may also stop early
 * for other reasons, e.g. when the process is stopped, and then tells nobody of room. */
static size_t move_all(const fb_splicer *s, int socket_fd, size_t len, bool more)
{
    size_t moved = 0;
    while (moved < len) {
        const ssize_t n = move(s, socket_fd, len - moved, more);
        if (n <= 0) {
            break;
        }
        moved += (size_t)n;
    }
    return moved;
}

ssize_t fb_splicer_send(fb_splicer *s, int socket_fd, const void *bytes, size_t len, bool more)
{
    const size_t want = len < s->room ? len : s->room;
    const ssize_t mapped = map(s, bytes, want);
    if (mapped <= 0) {
        return mapped;
    }
    const size_t moved = move_all(s, socket_fd, (size_t)mapped, more || (size_t)mapped < len);
    const int cause = errno;
    const bool all = moved == (size_t)mapped;
    if (FB_UNLIKELY(!all)) {
        drop(s, (size_t)mapped - moved);
    }
    s->full = !all && cause == EAGAIN;
    errno = cause;
    return moved > 0 ? (ssize_t)moved : -1;
}
