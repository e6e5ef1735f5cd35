/* Addresses, connecting and listening, on loopback and unix sockets. */
#include "check.h"
#include "clock.h"
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>

int __real_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

/* The congestion control of the last TCP socket: when it was opened, when it was to connect. */
static char opened_with[16], connects_with[16];
static bool stays_here; /* no TCP socket really connects */

static bool read_congestion(int fd, char name[16])
{
    socklen_t length = 16;
    return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0;
}

/* Every TCP socket begins with another one than reno, whatever this system's own is. */
int __wrap_socket(int domain, int type, int protocol)
{
    const int fd = __real_socket(domain, type, protocol);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    (void)read_congestion(fd, opened_with);
    return fd;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    if (read_congestion(fd, connects_with) && stays_here) {
        errno = EINPROGRESS;
        return -1;
    }
    return __real_connect(fd, address, length);
}

/* A path in a new folder, so that nothing else is there. */
static bool new_path(char *folder, char *path, size_t len)
{
    strcpy(folder, "/tmp/fastbench-test-XXXXXX");
    return mkdtemp(folder) != NULL && snprintf(path, len, "%s/socket", folder) > 0;
}

/* Numeric hosts of both families become what inet_pton makes of them. */
static void test_tcp_addresses(void)
{
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", 6379, NULL) == FB_OK);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address.storage;
    CHECK_EQ(AF_INET, v4->sin_family);
    CHECK_EQ(6379, ntohs(v4->sin_port));
    CHECK_EQ(INADDR_LOOPBACK, ntohl(v4->sin_addr.s_addr));
    CHECK_EQ(sizeof *v4, address.length);

    REQUIRE(fb_address_tcp(&address, "2001:db8::7", 65535, NULL) == FB_OK);
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address.storage;
    struct in6_addr expected;
    CHECK_EQ(1, inet_pton(AF_INET6, "2001:db8::7", &expected));
    CHECK_EQ(AF_INET6, v6->sin6_family);
    CHECK_EQ(65535, ntohs(v6->sin6_port));
    CHECK_EQ(0, memcmp(&expected, &v6->sin6_addr, sizeof expected));
    CHECK_EQ(sizeof *v6, address.length);
}

/* Names and nonsense are refused with a line that names them, without a look-up. */
static void test_not_numeric(void)
{
    static const char *const hosts[] = {"localhost", "", "1.2.3.4.5", "::g", "256.0.0.1", "a b"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        fb_address address;
        fb_error err;
        CHECK_EQ(FB_E_INVAL, fb_address_tcp(&address, hosts[i], 1, &err));
        CHECK(strstr(err.text, hosts[i]) != NULL);
    }
}

/* A unix path has 1 to 107 bytes. */
static void test_unix_addresses(void)
{
    char path[109];
    memset(path, 'a', sizeof path);
    fb_address address;
    fb_error err;
    path[108] = '\0';
    CHECK_EQ(FB_E_INVAL, fb_address_unix(&address, path, &err));
    path[107] = '\0';
    CHECK_EQ(FB_OK, fb_address_unix(&address, path, &err));
    CHECK_STR(path, ((const struct sockaddr_un *)&address.storage)->sun_path);
    CHECK_EQ(FB_E_INVAL, fb_address_unix(&address, "", &err));
}

static int tcp_option(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    CHECK_EQ(0, getsockopt(fd, IPPROTO_TCP, option, &value, &length));
    return value;
}

static void check_tuned(int fd)
{
    char name[16] = "";
    CHECK_EQ(1, tcp_option(fd, TCP_NODELAY));
    CHECK(read_congestion(fd, name));
    CHECK_STR("reno", name);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* A loopback connection stands, does not delay, and is not paced, at both ends. */
static void test_tcp_connection(void)
{
    int pair[2] = {-1, -1};
    REQUIRE(sockets_tcp_pair(pair));
    check_tuned(pair[0]);
    CHECK_EQ(1, tcp_option(pair[1], TCP_NODELAY));
    CHECK_EQ(4, send(pair[0], "ping", 4, 0));
    char got[8] = "";
    REQUIRE(sockets_wait(pair[1], POLLIN));
    CHECK_EQ(4, recv(pair[1], got, sizeof got, 0));
    CHECK_STR("ping", got);
    sockets_close(pair);
}

/* The same over IPv6, where this machine has it. */
static void test_ipv6_connection(void)
{
    uint16_t port = 0;
    const int listener = fb_net_listen_tcp("::1", &port, NULL);
    if (listener < 0) {
        return;
    }
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "::1", port, NULL) == FB_OK);
    const int fd = fb_net_connect(&address, NULL);
    REQUIRE(fd >= 0);
    REQUIRE(sockets_wait(fd, POLLOUT));
    CHECK_EQ(0, fb_net_connect_result(fd));
    check_tuned(fd);
    (void)close(fd);
    (void)close(listener);
}

/* A socket has its congestion control before it connects: one that leads to this host reno, as one
 * that has once been bbr's stays paced; any other the system's own. */
static void check_congestion(const char *host, bool is_home)
{
    fb_address address;
    REQUIRE(fb_address_tcp(&address, host, 9, NULL) == FB_OK);
    connects_with[0] = '\0';
    const int fd = fb_net_connect(&address, NULL);
    if (fd < 0) { /* no IPv6 here */
        CHECK_STR("::1", host);
        return;
    }
    CHECK_STR(is_home ? "reno" : opened_with, connects_with);
    (void)close(fd);
}

static void test_congestion_before_connecting(void)
{
    uint16_t port = 0;
    const int listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    REQUIRE(listener >= 0);
    (void)close(listener);
    if (strcmp(opened_with, "reno") == 0) {
        fprintf(stderr, "not tested: this system has no congestion control but reno\n");
        return;
    }
    stays_here = true;
    check_congestion("127.0.0.1", true);
    check_congestion("127.9.8.7", true);
    check_congestion("::1", true);
    check_congestion("192.0.2.1", false);
    stays_here = false;
}

/* A port that nobody listens on ends in ECONNREFUSED. */
static void test_tcp_refused(void)
{
    uint16_t port = 0;
    const int listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    REQUIRE(listener >= 0);
    (void)close(listener);
    fb_address address;
    REQUIRE(fb_address_tcp(&address, "127.0.0.1", port, NULL) == FB_OK);
    fb_error err;
    const int fd = fb_net_connect(&address, &err);
    if (fd < 0) {
        CHECK_EQ(ECONNREFUSED, err.sys_errno);
        return;
    }
    REQUIRE(sockets_wait(fd, POLLOUT));
    CHECK_EQ(ECONNREFUSED, fb_net_connect_result(fd));
    (void)close(fd);
}

/* A port that is taken, and an address that is not ours, cannot be listened on. */
static void test_listen_failures(void)
{
    uint16_t port = 0;
    const int listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    REQUIRE(listener >= 0);
    CHECK(port != 0);
    fb_error err;
    CHECK_EQ(FB_E_SYS, fb_net_listen_tcp("127.0.0.1", &port, &err));
    CHECK_EQ(EADDRINUSE, err.sys_errno);
    (void)close(listener);
    port = 0;
    CHECK_EQ(FB_E_SYS, fb_net_listen_tcp("192.0.2.1", &port, &err));
    CHECK_EQ(FB_E_INVAL, fb_net_listen_tcp("nowhere", &port, &err));
}

/* A unix socket connects; a path that exists, or that nobody listens at, is refused. */
static void test_unix_connection(void)
{
    char folder[64];
    char path[96];
    REQUIRE(new_path(folder, path, sizeof path));
    fb_address address;
    fb_error err;
    REQUIRE(fb_address_unix(&address, path, &err) == FB_OK);
    CHECK_EQ(FB_E_CONNECT, fb_net_connect(&address, &err));
    CHECK_EQ(ENOENT, err.sys_errno);

    const int listener = fb_net_listen_unix(path, &err);
    REQUIRE(listener >= 0);
    CHECK_EQ(FB_E_SYS, fb_net_listen_unix(path, &err));
    CHECK_EQ(EADDRINUSE, err.sys_errno);
    const int fd = fb_net_connect(&address, &err);
    REQUIRE(fd >= 0);
    CHECK_EQ(0, fb_net_connect_result(fd));
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    (void)close(listener);
    CHECK_EQ(FB_E_CONNECT, fb_net_connect(&address, &err));
    CHECK_EQ(ECONNREFUSED, err.sys_errno);
    (void)close(fd);
    CHECK_EQ(0, unlink(path));
    CHECK_EQ(0, rmdir(folder));
}

/* Two ends of a connection on loopback; false when there is none. */
static bool connect_pair(int *client, int *server)
{
    uint16_t port = 0;
    fb_address address;
    const int listener = fb_net_listen_tcp("127.0.0.1", &port, NULL);
    if (listener < 0 || fb_address_tcp(&address, "127.0.0.1", port, NULL) != FB_OK) {
        return false;
    }
    *client = fb_net_connect(&address, NULL);
    struct pollfd incoming = {.fd = listener, .events = POLLIN};
    (void)poll(&incoming, 1, 10000);
    *server = accept(listener, NULL, NULL);
    (void)close(listener);
    return *client >= 0 && *server >= 0;
}

/* Sends three bytes, waits 20 ms, and reads them with their stamp. True when the stamp says at
 * least that and not more than the time since they were sent. */
static bool stamp_is_right(int client, int server)
{
    const uint64_t sent_ns = fb_now_ns();
    CHECK_EQ(3, send(server, "abc", 3, 0));
    (void)poll(NULL, 0, 20);
    char bytes[8];
    uint64_t lag_ns = 0;
    CHECK_EQ(3, fb_net_recv_stamped(client, bytes, sizeof bytes, &lag_ns));
    return lag_ns >= 19 * FB_NS_PER_MS && lag_ns <= fb_now_ns() - sent_ns + FB_NS_PER_MS;
}

/* The kernel says since when bytes lay there. Stamps are taken by a clock that may be set while
 * the test runs, so one of several attempts must be right. */
static void test_receive_stamps(void)
{
    int client = -1;
    int server = -1;
    REQUIRE(connect_pair(&client, &server));
    CHECK(fb_net_stamp_receives(client));
    bool right = false;
    for (int i = 0; i < 50 && !right; i++) {
        right = stamp_is_right(client, server);
    }
    CHECK(right);
    char byte;
    uint64_t lag_ns = 0;
    CHECK_EQ(-1, fb_net_recv_stamped(client, &byte, 1, &lag_ns));
    CHECK_EQ(EAGAIN, errno);
    CHECK_EQ(FB_NET_NO_STAMP, lag_ns);
    (void)close(client);
    (void)close(server);
}

/* Where nobody asked for stamps, or on a unix socket, there are none, and the bytes come anyway. */
static void test_no_stamps(void)
{
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(!fb_net_stamp_receives(pair[0]));
    CHECK_EQ(1, send(pair[1], "x", 1, 0));
    char byte;
    uint64_t lag_ns = 0;
    CHECK_EQ(1, fb_net_recv_stamped(pair[0], &byte, 1, &lag_ns));
    CHECK_EQ(FB_NET_NO_STAMP, lag_ns);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

/* A descriptor that is no socket has an errno as its result. */
static void test_result_of_no_socket(void)
{
    CHECK_EQ(EBADF, fb_net_connect_result(-1));
}

int main(void)
{
    RUN(test_tcp_addresses);
    RUN(test_not_numeric);
    RUN(test_unix_addresses);
    RUN(test_tcp_connection);
    RUN(test_ipv6_connection);
    RUN(test_congestion_before_connecting);
    RUN(test_tcp_refused);
    RUN(test_listen_failures);
    RUN(test_unix_connection);
    RUN(test_receive_stamps);
    RUN(test_no_stamps);
    RUN(test_result_of_no_socket);
    return check_result();
}
