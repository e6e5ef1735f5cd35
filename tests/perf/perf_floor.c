/* The cheapest client there can be: one request in flight, the same bytes each time, a blocking
 * send and a blocking receive, nothing read of the reply but its length. What it costs is the
 * kernel's. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define USAGE "perf_floor PORT|SOCKET HEAD BODY_BYTES TAIL REPLY_BYTES SECONDS copied|mapped"
#define PAGE 4096
#define PIPE_BYTES (1 << 20)
#define UNCOUNTED 50 /* exchanges before the clock starts */

typedef struct {
    const char *head;
    char *body;
    size_t body_bytes;
    const char *tail;
    size_t reply_bytes;
    int pipe[2]; /* of a body that is mapped into the socket; -1: it is copied */
} exchange;

static void need(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static int connect_unix(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    need(strlen(path) < sizeof at.sun_path, "socket's path");
    memcpy(at.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    need(fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0, "connect");
    const int room = PIPE_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return fd;
}

static int connect_tcp(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_port = htons((uint16_t)atoi(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); /* bbr would pace it */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    need(fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0, "connect");
    return fd;
}

static void send_bytes(int fd, const void *bytes, size_t len, int flags)
{
    for (const char *at = bytes; len > 0;) {
        const ssize_t n = send(fd, at, len, flags | MSG_NOSIGNAL);
        need(n > 0, "send");
        at += n;
        len -= (size_t)n;
    }
}

static void map_bytes(int fd, const exchange *x)
{
    struct iovec left = {.iov_base = x->body, .iov_len = x->body_bytes};
    while (left.iov_len > 0) {
        const ssize_t mapped = vmsplice(x->pipe[1], &left, 1, 0);
        need(mapped > 0, "vmsplice");
        left.iov_base = (char *)left.iov_base + mapped;
        left.iov_len -= (size_t)mapped;
        for (size_t rest = (size_t)mapped; rest > 0;) {
            const bool more = left.iov_len > 0 || *x->tail;
            const ssize_t n = splice(x->pipe[0], NULL, fd, NULL, rest, more ? SPLICE_F_MORE : 0);
            need(n > 0, "splice");
            rest -= (size_t)n;
        }
    }
}

static void send_copied(int fd, const exchange *x)
{
    struct iovec parts[] = {{(void *)(size_t)x->head, strlen(x->head)},
                            {x->body, x->body_bytes},
                            {(void *)(size_t)x->tail, strlen(x->tail)}};
    const ssize_t all = (ssize_t)(parts[0].iov_len + parts[1].iov_len + parts[2].iov_len);
    need(writev(fd, parts, 3) == all, "writev"); /* a blocking socket takes all of it */
}

static void send_request(int fd, const exchange *x)
{
    if (x->pipe[0] < 0) {
        send_copied(fd, x);
        return;
    }
    send_bytes(fd, x->head, strlen(x->head), MSG_MORE);
    map_bytes(fd, x);
    send_bytes(fd, x->tail, strlen(x->tail), 0);
}

static void take_reply(int fd, size_t len)
{
    static char buffer[1 << 18];
    while (len > 0) {
        const ssize_t n = recv(fd, buffer, len < sizeof buffer ? len : sizeof buffer, 0);
        need(n > 0, "recv");
        len -= (size_t)n;
    }
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static double cpu_s(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure(int fd, const exchange *x, double seconds)
{
    double began_s = 0;
    double spent_s = 0;
    long done = -UNCOUNTED;
    for (const double end_s = now_s() + seconds; done <= 0 || now_s() < end_s; done++) {
        if (done == 0) {
            began_s = now_s();
            spent_s = cpu_s();
        }
        send_request(fd, x);
        take_reply(fd, x->reply_bytes);
    }
    printf("%.3f %.1f\n", 1e6 * (cpu_s() - spent_s) / (double)done,
           (double)done / (now_s() - began_s));
}

int main(int count, char **arguments)
{
    if (count != 8) {
        (void)fprintf(stderr, "%s\n", USAGE);
        return 2;
    }
    exchange x = {.head = arguments[2], .body_bytes = (size_t)atol(arguments[3]), .pipe = {-1, -1}};
    x.tail = arguments[4];
    x.reply_bytes = (size_t)atol(arguments[5]);
    x.body = aligned_alloc(PAGE, (x.body_bytes / PAGE + 1) * PAGE);
    need(x.body != NULL, "memory");
    memset(x.body, 0, x.body_bytes);
    if (strcmp(arguments[7], "mapped") == 0) {
        need(pipe(x.pipe) == 0 && fcntl(x.pipe[1], F_SETPIPE_SZ, PIPE_BYTES) > 0, "pipe");
    }
    const int fd =
        strchr(arguments[1], '/') ? connect_unix(arguments[1]) : connect_tcp(arguments[1]);
    measure(fd, &x, atof(arguments[6]));
    return 0;
}
