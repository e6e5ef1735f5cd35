/* Hands bytes to a socket without copying them: vmsplice maps them into a pipe, splice moves them
 * on.
 *
 * On a socket that is what sendfile does with a file, only cheaper: the kernel finds the pages of a
 * mapping faster than those of a file. The bytes must not change until the peer has them. The
 * pipe is empty between calls, so that one serves all connections of a worker: what a socket does
 * not take is dropped and mapped again later.
 *
 * All zero but `room` = not yet tried; opened by the first use. Worker only. */
#ifndef FB_SPLICER_H
#define FB_SPLICER_H

#include "base.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What one call takes at most: as large a pipe as an unprivileged user may have by default. The
 * smallest is as large as a pipe is anyway. */
#define FB_SPLICER_MIN ((size_t)64 << 10)
#define FB_SPLICER_MAX ((size_t)1 << 20)

typedef struct fb_splicer {
    size_t room; /* of its pipe, and what one call takes; 0 = FB_SPLICER_MAX */
    bool tried, works;
    bool full;   /* the socket of the last call took less than lay in the pipe */
    int pipe[2]; /* out of it, into it */
    int nowhere; /* /dev/null */
} fb_splicer;

/* The room for each of n, 1 or more, so that all of them find some: together they take half of what
 * an unprivileged user may have by default, as far as FB_SPLICER_MIN allows. */
size_t fb_splicer_share(uint32_t n);

/* Whether the system lets us: it may refuse so large a pipe, the descriptors or the calls. */
bool fb_splicer_ready(fb_splicer *s);
void fb_splicer_close(fb_splicer *s);

/* Like send(2) with MSG_DONTWAIT, for one that is ready: takes as many of the first bytes as there
 * is room for; `full` tells whether the socket has room left. `more`: others follow at once. -1
 * with errno: EAGAIN = full, EFAULT = the bytes cannot be read. SIGPIPE must be blocked or ignored.
 */
ssize_t fb_splicer_send(fb_splicer *s, int socket_fd, const void *bytes, size_t len, bool more);

#endif
