/* Connected sockets for tests: a pair in this process, without a fixed port or path. */
#ifndef FB_TEST_SOCKETS_H
#define FB_TEST_SOCKETS_H

#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKETS_PATIENCE_MS 30000

/* Waits for poll events; false when none came for a very long time. */
static inline bool sockets_wait(int fd, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};
    return poll(&polled, 1, SOCKETS_PATIENCE_MS) == 1;
}

/* A non-blocking pair over TCP on loopback. False, with a test's errno, when there is none. */
static inline bool sockets_tcp_pair(int pair[2])
{
    fb_address address;
    uint16_t port = 0;
    const int listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    if (listener < 0 || fb_address_tcp(&address, "127.0.0.1", port, NULL) != FB_OK) {
        return false;
    }
    pair[0] = fb_net_connect(&address, NULL);
    const bool comes = sockets_wait(listener, POLLIN);
    pair[1] = comes ? accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    (void)close(listener);
    return pair[0] >= 0 && pair[1] >= 0 && sockets_wait(pair[0], POLLOUT) &&
           fb_net_connect_result(pair[0]) == 0;
}

/* A non-blocking pair of unix sockets. */
static inline bool sockets_unix_pair(int pair[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0;
}

static inline void sockets_close(int pair[2])
{
    (void)close(pair[0]);
    (void)close(pair[1]);
}

#endif
