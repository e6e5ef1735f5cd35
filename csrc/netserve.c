#include "netserve.h"

#include "clock.h"
#include "cpu.h"
#include "net.h"
#include "netwire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)1 << 20) /* one send call holds a tensor of 600 KB */
#define SCRATCH_BYTES ((size_t)1 << 18)
#define HELLO_NS (5 * FB_NS_PER_S)
#define SILENCE_NS (30 * FB_NS_PER_S)

/* FREE and DONE slots are the acceptor's, a BUSY one its thread's: it hands over by `state`. */
enum { FREE, BUSY, DONE };

typedef struct slot {
    fb_netserve *server;
    pthread_t thread;
    _Atomic int state;
    int fd; /* closed by the acceptor once the thread is joined */
    uint8_t *scratch;
    fb_nettest test;
    fb_netcounts counts;
} slot;

struct fb_netserve {
    slot slots[FB_NETSERVE_MAX_CLIENTS];
    uint8_t *block;
    uint8_t *scratch;
    pthread_t acceptor;
    int listener;
    int wake; /* an eventfd that becomes readable once, when the acceptor must end */
    uint16_t port;
    bool runs;
    _Atomic uint64_t served, refused, broken;
};

/* ---- one test, on the thread of its slot ---- */

static uint64_t deadline_of(const slot *s)
{
    return fb_now_ns() + s->test.warmup_ns + s->test.duration_ns + SILENCE_NS;
}

/* Requests and responses, until the client shuts its side down between two of them. */
static int serve_rr(slot *s)
{
    const fb_nettest *test = &s->test;
    const uint64_t deadline = deadline_of(s);
    for (;;) {
        const size_t room =
            test->request_bytes < SCRATCH_BYTES ? (size_t)test->request_bytes : SCRATCH_BYTES;
        const long n = fb_netwire_receive_some(s->fd, s->scratch, room);
        if (n <= 0) {
            return (int)n;
        }
        int rc = fb_netwire_receive(s->fd, s->scratch, SCRATCH_BYTES,
                                    test->request_bytes - (uint64_t)n, deadline);
        if (rc == FB_OK) {
            rc = fb_netwire_send(s->fd, s->server->block, BLOCK_BYTES, test->response_bytes,
                                 deadline);
        }
        if (rc != FB_OK) {
            return rc;
        }
        s->counts.transactions++;
        s->counts.received_bytes += test->request_bytes;
        s->counts.sent_bytes += test->response_bytes;
    }
}

/* A stream from the client, until it shuts its side down. */
static int serve_stream(slot *s)
{
    fb_netwindow window = {.warmup_ns = s->test.warmup_ns, .duration_ns = s->test.duration_ns};
    const uint64_t deadline = deadline_of(s);
    long n;
    while ((n = fb_netwire_receive_some(s->fd, s->scratch, SCRATCH_BYTES)) > 0) {
        const uint64_t now = fb_now_ns();
        (void)fb_netwire_count(&window, &s->counts, s->scratch, (size_t)n, now);
        if (now > deadline) {
            return FB_E_CLOSED;
        }
    }
    return (int)n;
}

/* A stream to the client, in whole blocks, until it shuts its side down. Looking for that costs one
 * call for each block, well below what sending the block costs. */
static int serve_maerts(slot *s)
{
    const uint64_t deadline = deadline_of(s);
    for (;;) {
        const int rc =
            fb_netwire_send(s->fd, s->server->block, BLOCK_BYTES, s->test.request_bytes, deadline);
        if (rc != FB_OK || fb_now_ns() > deadline) {
            return rc != FB_OK ? rc : FB_E_CLOSED;
        }
        s->counts.sent_bytes += s->test.request_bytes;
        uint8_t byte;
        const ssize_t n = recv(s->fd, &byte, 1, MSG_DONTWAIT);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return n == 0 ? FB_OK : FB_E_CLOSED;
        }
    }
}

static int serve_test(slot *s)
{
    switch (s->test.kind) {
    case FB_NETWIRE_RR:
        return serve_rr(s);
    case FB_NETWIRE_STREAM:
        return serve_stream(s);
    default:
        return serve_maerts(s);
    }
}

static int answer(int fd, int status)
{
    uint8_t message[FB_NETWIRE_ANSWER_LEN];
    fb_netwire_write_answer(message, status);
    return fb_netwire_send(fd, message, sizeof message, sizeof message, fb_now_ns() + HELLO_NS);
}

/* A client of something else reads at least what this is. */
static bool send_away(int fd)
{
    static const char line[] = "this is `fastbench net serve`: use `fastbench net HOST:PORT`\r\n";
    (void)fb_netwire_send(fd, (const uint8_t *)line, sizeof line - 1, sizeof line - 1,
                          fb_now_ns() + HELLO_NS);
    return false;
}

/* True when the client may have its test. */
static bool greet(slot *s)
{
    const uint64_t deadline = fb_now_ns() + HELLO_NS;
    const size_t rest = FB_NETWIRE_HELLO_LEN - FB_NETWIRE_MAGIC_LEN;
    uint8_t hello[FB_NETWIRE_HELLO_LEN];
    fb_netwire_block(s->fd, HELLO_NS);
    if (fb_netwire_receive(s->fd, hello, FB_NETWIRE_MAGIC_LEN, FB_NETWIRE_MAGIC_LEN, deadline) !=
        FB_OK) {
        return false;
    }
    if (!fb_netwire_is_ours(hello)) {
        return send_away(s->fd);
    }
    if (fb_netwire_receive(s->fd, hello + FB_NETWIRE_MAGIC_LEN, rest, rest, deadline) != FB_OK) {
        return false;
    }
    const int status = fb_netwire_read_hello(hello, &s->test);
    return answer(s->fd, status) == FB_OK && status == FB_NETWIRE_ACCEPTED;
}

static bool report(slot *s)
{
    uint8_t message[FB_NETWIRE_REPORT_LEN];
    fb_netwire_describe(s->fd, &s->counts.socket);
    fb_netwire_write_report(message, &s->counts);
    return fb_netwire_send(s->fd, message, sizeof message, sizeof message,
                           fb_now_ns() + SILENCE_NS) == FB_OK;
}

static void add_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void *run_slot(void *argument)
{
    slot *s = argument;
    fb_cpu_name_self("fb-net");
    if (!greet(s)) {
        add_one(&s->server->refused);
    } else {
        fb_netwire_block(s->fd, SILENCE_NS);
        const uint64_t cpu = fb_thread_cpu_ns();
        const uint64_t began = fb_now_ns();
        const int rc = serve_test(s);
        s->counts.cpu_ns = fb_thread_cpu_ns() - cpu;
        s->counts.elapsed_ns = fb_now_ns() - began;
        add_one(rc == FB_OK && report(s) ? &s->server->served : &s->server->broken);
    }
    (void)shutdown(s->fd, SHUT_RDWR); /* the client sees the end now, not when the slot is reused */
    /* Partner: the acquire loads in reap and free_slot. */
    atomic_store_explicit(&s->state, DONE, memory_order_release);
    return NULL;
}

/* ---- slots, on the acceptor's thread ---- */

static void reap(slot *s)
{
    (void)pthread_join(s->thread, NULL);
    (void)close(s->fd);
    atomic_store_explicit(&s->state, FREE, memory_order_relaxed);
}

static slot *free_slot(fb_netserve *server)
{
    for (int i = 0; i < FB_NETSERVE_MAX_CLIENTS; i++) {
        slot *s = &server->slots[i];
        const int state = atomic_load_explicit(&s->state, memory_order_acquire);
        if (state == DONE) {
            reap(s);
        }
        if (state != BUSY) {
            return s;
        }
    }
    return NULL;
}

/* Creates a thread with every signal blocked: they are the program's, not the server's. */
static int create(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int reason = pthread_create(thread, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

/* A client on another machine: congestion control as the system gives it to any other socket. */
static void use_system_default(int fd)
{
    char name[16] = {0};
    socklen_t length = sizeof name - 1;
    const int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fresh >= 0 && getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
    }
    if (fresh >= 0) {
        (void)close(fresh);
    }
}

/* Gives the connection to a thread of its own, or sends it away. */
static void admit(fb_netserve *server, int fd)
{
    slot *s = free_slot(server);
    if (s == NULL) {
        (void)answer(fd, FB_NETWIRE_BUSY);
    } else {
        s->fd = fd;
        s->counts = (fb_netcounts){0};
        atomic_store_explicit(&s->state, BUSY, memory_order_relaxed);
        if (create(&s->thread, run_slot, s) == 0) {
            return;
        }
        atomic_store_explicit(&s->state, FREE, memory_order_relaxed);
    }
    add_one(&server->refused);
    (void)close(fd);
}

static void accept_one(fb_netserve *server)
{
    fb_address peer = {.length = sizeof peer.storage};
    const int fd = accept4(server->listener, (struct sockaddr *)&peer.storage, &peer.length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (!fb_net_is_same_host(fd, &peer)) {
            use_system_default(fd);
        }
        admit(server, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        struct pollfd nothing = {.fd = server->wake, .events = POLLIN};
        (void)poll(&nothing, 1, 100); /* it would be readable at once, again and again */
    }
}

static void *run_acceptor(void *argument)
{
    fb_netserve *server = argument;
    struct pollfd watched[] = {{.fd = server->wake, .events = POLLIN},
                               {.fd = server->listener, .events = POLLIN}};
    fb_cpu_name_self("fb-net-accept");
    while (watched[0].revents == 0) {
        if (poll(watched, 2, -1) > 0 && watched[1].revents != 0) {
            accept_one(server);
        }
    }
    return NULL;
}

/* ---- life ---- */

fb_netserve *fb_netserve_new(const char *numeric_host, uint16_t port, fb_error *err)
{
    fb_netserve *server = calloc(1, sizeof *server);
    if (server == NULL) {
        (void)fb_error_set(err, FB_E_NOMEM, errno, "no memory for a network test server");
        return NULL;
    }
    server->listener = server->wake = -1;
    server->port = port;
    server->block = malloc(BLOCK_BYTES);
    server->scratch = malloc(SCRATCH_BYTES * FB_NETSERVE_MAX_CLIENTS);
    server->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->block == NULL || server->scratch == NULL || server->wake < 0) {
        (void)fb_error_set(err, FB_E_NOMEM, errno, "no memory for a network test server");
        fb_netserve_free(server);
        return NULL;
    }
    memset(server->block, 0xa5, BLOCK_BYTES); /* pages of its own, not the kernel's page of zeros */
    for (int i = 0; i < FB_NETSERVE_MAX_CLIENTS; i++) {
        server->slots[i].server = server;
        server->slots[i].scratch = server->scratch + SCRATCH_BYTES * (size_t)i;
    }
    server->listener = fb_net_listen_tcp(numeric_host, &server->port, err);
    if (server->listener < 0) {
        fb_netserve_free(server);
        return NULL;
    }
    return server;
}

uint16_t fb_netserve_port(const fb_netserve *server)
{
    return server->port;
}

int fb_netserve_start(fb_netserve *server, fb_error *err)
{
    const int reason = create(&server->acceptor, run_acceptor, server);
    if (reason != 0) {
        return fb_error_set(err, FB_E_SYS, reason, "cannot create a thread: %s", strerror(reason));
    }
    server->runs = true;
    return FB_OK;
}

void fb_netserve_count(const fb_netserve *server, fb_netserve_stats *stats)
{
    stats->served = atomic_load_explicit(&server->served, memory_order_relaxed);
    stats->refused = atomic_load_explicit(&server->refused, memory_order_relaxed);
    stats->broken = atomic_load_explicit(&server->broken, memory_order_relaxed);
}

void fb_netserve_stop(fb_netserve *server)
{
    if (!server->runs) {
        return;
    }
    server->runs = false;
    (void)eventfd_write(server->wake, 1);
    (void)pthread_join(server->acceptor, NULL);
    for (int i = 0; i < FB_NETSERVE_MAX_CLIENTS; i++) {
        slot *s = &server->slots[i];
        if (atomic_load_explicit(&s->state, memory_order_acquire) != FREE) {
            (void)shutdown(s->fd, SHUT_RDWR); /* whatever its thread waits for ends now */
            reap(s);
        }
    }
    (void)close(server->listener);
    server->listener = -1;
}

void fb_netserve_free(fb_netserve *server)
{
    if (server == NULL) {
        return;
    }
    fb_netserve_stop(server);
    if (server->listener >= 0) {
        (void)close(server->listener);
    }
    if (server->wake >= 0) {
        (void)close(server->wake);
    }
    free(server->scratch);
    free(server->block);
    free(server);
}
