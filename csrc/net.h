/* Non-blocking stream sockets: addresses, connecting, listening.
 *
 * Nothing is owned but the descriptors handed out, which the caller closes. Any thread. Names are
 * resolved elsewhere: a host here is a numeric IPv4 or IPv6 address. Functions that return a
 * descriptor return a negative code on failure and fill fb_error. */
#ifndef FB_NET_H
#define FB_NET_H

#include "base.h"

#include <stdbool.h>
#include <sys/socket.h>

/* Where a socket connects to; plain data, copied freely. */
typedef struct fb_address {
    struct sockaddr_storage storage;
    socklen_t length; /* bytes of storage in use */
} fb_address;

/* Fills address from e.g. ("127.0.0.1", 6379) or ("::1", 6379). FB_E_INVAL when not numeric. */
int fb_address_tcp(fb_address *address, const char *numeric_host, uint16_t port, fb_error *err);

/* Fills address from the path of a unix socket. FB_E_INVAL when empty or longer than 107 bytes. */
int fb_address_unix(fb_address *address, const char *path, fb_error *err);

/* Starts a connection and returns its descriptor (non-blocking, close-on-exec).
 *
 * The outcome is known when the descriptor becomes writable: fb_net_connect_result. TCP sends at
 * once (TCP_NODELAY); to an address of this host it uses congestion control "reno", as a system
 * default such as bbr paces even loopback. FB_E_CONNECT when the peer refuses at once, e.g. a
 * unix socket that nobody listens on or whose backlog is full; FB_E_SYS otherwise. */
int fb_net_connect(const fb_address *address, fb_error *err);

/* The outcome of a started connection: 0 when it stands, EINPROGRESS, or the errno it failed by. */
int fb_net_connect_result(int fd);

/* Asks the kernel to stamp what the socket receives; false where it cannot: unix sockets. */
bool fb_net_stamp_receives(int fd);

/* recv; *lag_ns: for how long the newest byte read had lain in the kernel, FB_NET_NO_STAMP where
 * it does not say. */
#define FB_NET_NO_STAMP UINT64_MAX
ssize_t fb_net_recv_stamped(int fd, void *bytes, size_t len, uint64_t *lag_ns);

/* Tells whether both ends of a TCP socket have one IP address: loopback, or another of this host.
 */
bool fb_net_is_same_host(int fd, const fb_address *peer);

/* Listens on numeric_host, at *port or, when that is 0, at a free port that *port then names.
 * Returns a non-blocking descriptor; accepted sockets inherit TCP_NODELAY and "reno". */
int fb_net_listen_tcp(const char *numeric_host, uint16_t *port, fb_error *err);

/* Listens on a new unix socket at path, which must not exist; the caller unlinks it. */
int fb_net_listen_unix(const char *path, fb_error *err);

#endif
