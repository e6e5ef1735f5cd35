#include "net.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096

/* Asked for on unix sockets only, so that a tensor of 600 KB fits whole: with the usual 208 KB it
 * takes more calls, and 10 to 40 % more CPU to send. A larger buffer gains nothing that can be
 * measured. TCP sizes its own buffers as well as we could. */
#define UNIX_SEND_BUFFER (1024 * 1024)

int fb_address_tcp(fb_address *address, const char *numeric_host, uint16_t port, fb_error *err)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    if (getaddrinfo(numeric_host, NULL, &hints, &found) != 0) {
        return fb_error_set(err, FB_E_INVAL, 0, "not a numeric IP address: %s", numeric_host);
    }
    memset(address, 0, sizeof *address);
    memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
    address->length = found->ai_addrlen;
    freeaddrinfo(found);
    /* The port stands at the same place in sockaddr_in and sockaddr_in6. */
    ((struct sockaddr_in *)&address->storage)->sin_port = htons(port);
    return FB_OK;
}

int fb_address_unix(fb_address *address, const char *path, fb_error *err)
{
    struct sockaddr_un *target = (struct sockaddr_un *)&address->storage;
    const size_t len = strlen(path);
    if (len == 0 || len >= sizeof target->sun_path) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "a unix socket's path must have 1 to %zu bytes: \"%s\"",
                            sizeof target->sun_path - 1, path);
    }
    memset(address, 0, sizeof *address);
    target->sun_family = AF_UNIX;
    memcpy(target->sun_path, path, len + 1);
    address->length = (socklen_t)sizeof *target;
    return FB_OK;
}

static bool is_unix(const fb_address *address)
{
    return address->storage.ss_family == AF_UNIX;
}

static void set_option(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

/* Every option here only makes things faster, so a refusal is no failure. */
static void tune_tcp(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static void use_reno(int fd)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static void tune_unix(int fd)
{
    set_option(fd, SOL_SOCKET, SO_SNDBUF, UNIX_SEND_BUFFER);
    set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, UNIX_SEND_BUFFER); /* above wmem_max, as root */
}

bool fb_net_is_same_host(int fd, const fb_address *peer)
{
    struct sockaddr_storage own = {0};
    socklen_t length = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &length) != 0) {
        return false;
    }
    if (own.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&own;
        const struct sockaddr_in *b = (const struct sockaddr_in *)&peer->storage;
        return a->sin_addr.s_addr == b->sin_addr.s_addr || ntohl(b->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&own;
    const struct sockaddr_in6 *b = (const struct sockaddr_in6 *)&peer->storage;
    return memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

static int open_socket(const fb_address *address, fb_error *err)
{
    const int fd =
        socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fb_error_set(err, FB_E_SYS, errno, "cannot open a socket: %s", strerror(errno));
    }
    if (is_unix(address)) {
        tune_unix(fd);
    } else {
        tune_tcp(fd);
    }
    return fd;
}

/* Whether the peer is this host: the kernel chooses our address for a datagram, sending none. */
static bool leads_home(const fb_address *peer)
{
    const int fd = socket(peer->storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    const bool home = connect(fd, (const struct sockaddr *)&peer->storage, peer->length) == 0 &&
                      fb_net_is_same_host(fd, peer);
    (void)close(fd);
    return home;
}

int fb_net_connect(const fb_address *address, fb_error *err)
{
    const int fd = open_socket(address, err);
    if (fd < 0) {
        return fd;
    }
    /* Before it connects: a socket that has once been bbr's is paced for good. */
    if (!is_unix(address) && leads_home(address)) {
        use_reno(fd);
    }
    const int rc = connect(fd, (const struct sockaddr *)&address->storage, address->length);
    if (rc != 0 && errno != EINPROGRESS && errno != EINTR) {
        const int cause = errno;
        (void)close(fd);
        return fb_error_set(err, FB_E_CONNECT, cause, "cannot connect: %s", strerror(cause));
    }
    return fd;
}

int fb_net_connect_result(int fd)
{
    int cause = 0;
    socklen_t length = sizeof cause;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &length) != 0) {
        return errno;
    }
    if (cause != 0) {
        return cause;
    }
    struct sockaddr_storage peer;
    length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) {
        return errno == ENOTCONN ? EINPROGRESS : errno;
    }
    return 0;
}

bool fb_net_stamp_receives(int fd)
{
    int domain = AF_UNSPEC;
    socklen_t length = sizeof domain;
    const int flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX &&
           setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) == 0;
}

/* Stamps are taken by CLOCK_REALTIME: one that lies ahead was taken before the clock was set. */
static uint64_t since(const struct timespec *stamp)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const int64_t lag = (int64_t)(now.tv_sec - stamp->tv_sec) * (int64_t)FB_NS_PER_S +
                        (int64_t)(now.tv_nsec - stamp->tv_nsec);
    return stamp->tv_sec == 0 || lag < 0 ? FB_NET_NO_STAMP : (uint64_t)lag;
}

ssize_t fb_net_recv_stamped(int fd, void *bytes, size_t len, uint64_t *lag_ns)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char room[CMSG_SPACE(sizeof(struct scm_timestamping))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = len};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    const ssize_t n = recvmsg(fd, &message, 0);
    *lag_ns = FB_NET_NO_STAMP;
    const struct cmsghdr *found = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (found && found->cmsg_level == SOL_SOCKET && found->cmsg_type == SCM_TIMESTAMPING) {
        struct timespec stamp; /* the first of three: by software */
        memcpy(&stamp, CMSG_DATA(found), sizeof stamp);
        *lag_ns = since(&stamp);
    }
    return n;
}

/* Binds and listens; closes fd on failure. */
static int listen_at(int fd, const fb_address *address, const char *where, fb_error *err)
{
    if (bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0) {
        return fd;
    }
    const int cause = errno;
    (void)close(fd);
    return fb_error_set(err, FB_E_SYS, cause, "cannot listen at %s: %s", where, strerror(cause));
}

int fb_net_listen_tcp(const char *numeric_host, uint16_t *port, fb_error *err)
{
    fb_address address;
    int rc = fb_address_tcp(&address, numeric_host, *port, err);
    if (rc != FB_OK) {
        return rc;
    }
    int fd = open_socket(&address, err);
    if (fd < 0) {
        return fd;
    }
    use_reno(fd);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    char where[80]; /* longer than any numeric address with its port */
    (void)snprintf(where, sizeof where, "%s port %u", numeric_host, (unsigned)*port);
    fd = listen_at(fd, &address, where, err);
    if (fd < 0) {
        return fd;
    }
    if (getsockname(fd, (struct sockaddr *)&address.storage, &address.length) != 0) {
        rc = fb_error_set(err, FB_E_SYS, errno, "cannot read the port: %s", strerror(errno));
        (void)close(fd);
        return rc;
    }
    *port = ntohs(((const struct sockaddr_in *)&address.storage)->sin_port);
    return fd;
}

int fb_net_listen_unix(const char *path, fb_error *err)
{
    fb_address address;
    const int rc = fb_address_unix(&address, path, err);
    if (rc != FB_OK) {
        return rc;
    }
    const int fd = open_socket(&address, err);
    return fd < 0 ? fd : listen_at(fd, &address, path, err);
}
