#include "nullserver.h"

#include "clock.h"
#include "cpu.h"
#include "http.h"
#include "net.h"
#include "nullconn.h"
#include "nullgrpc.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 256

typedef struct client client;

typedef struct thread {
    _Alignas(FB_CACHE_LINE) fb_nullserver *server;
    fb_nullspace space;
    pthread_t id;
    int cpu; /* -1 = not pinned */
    int epoll_fd;
    bool runs;
    fb_error pin_error;
    uint64_t ended_cpu_ns;
    _Atomic uint32_t clients; /* written by the acceptor, too */
} thread;

/* Touched by its thread only, once it stands in that thread's epoll set. */
struct client {
    fb_nullconn *conn;
    thread *owner;
    client *next, *previous; /* under server->lock */
    bool blocked;            /* EPOLLOUT is watched */
};

struct fb_nullserver {
    fb_nullreplies replies;
    fb_tls *tls; /* NULL = in plain text */
    thread *threads;
    uint32_t n_threads;
    int listener;
    int wake; /* an eventfd that becomes readable once, when the threads must end */
    uint16_t port;
    uint64_t started_ns, stopped_ns; /* 0 = not yet */
    sem_t ready;                     /* posted by each new thread once it is pinned */
    char unix_path[108];             /* "" = TCP */
    pthread_mutex_t lock;
    client *clients;
};

/* ---- clients ---- */

/* Edge-triggered: the same call also asks for a new event where there is something to read.
 * EPOLLOUT only while it is waited for, as a unix socket reports it for every reply taken. */
static void watch(client *c, int operation)
{
    const uint32_t out = c->blocked ? EPOLLOUT : 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | out, .data.ptr = c};
    (void)epoll_ctl(c->owner->epoll_fd, operation, fb_nullconn_fd(c->conn), &event);
}

static void enlist(client *c)
{
    fb_nullserver *server = c->owner->server;
    (void)pthread_mutex_lock(&server->lock);
    c->previous = NULL;
    c->next = server->clients;
    if (c->next != NULL) {
        c->next->previous = c;
    }
    server->clients = c;
    (void)pthread_mutex_unlock(&server->lock);
    atomic_fetch_add_explicit(&c->owner->clients, 1, memory_order_relaxed);
}

static void dismiss(client *c)
{
    fb_nullserver *server = c->owner->server;
    (void)pthread_mutex_lock(&server->lock);
    if (c->previous != NULL) {
        c->previous->next = c->next;
    } else {
        server->clients = c->next;
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    (void)pthread_mutex_unlock(&server->lock);
    atomic_fetch_sub_explicit(&c->owner->clients, 1, memory_order_relaxed);
    fb_nullconn_free(c->conn);
    free(c);
}

/* Something happened on a connection. */
static void serve(client *c, uint32_t events)
{
    const bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    const fb_nullconn_state state = fb_nullconn_serve(c->conn, ends);
    if (state == FB_NULLCONN_GONE) {
        dismiss(c);
        return;
    }
    const bool was_blocked = c->blocked;
    c->blocked = state == FB_NULLCONN_BLOCKED;
    if (state == FB_NULLCONN_READY || c->blocked != was_blocked) {
        watch(c, EPOLL_CTL_MOD);
    }
}

static thread *least_busy(fb_nullserver *server)
{
    thread *best = &server->threads[0];
    for (uint32_t i = 1; i < server->n_threads; i++) {
        if (server->threads[i].clients < best->clients) {
            best = &server->threads[i];
        }
    }
    return best;
}

/* Gives a new connection to the thread that has the fewest; a listener per thread would leave a
 * handful of connections to chance. */
static bool admit(fb_nullserver *server, int fd)
{
    thread *owner = least_busy(server);
    client *c = malloc(sizeof *c);
    fb_nullconn *conn =
        c != NULL ? fb_nullconn_new(fd, &server->replies, server->tls, &owner->space) : NULL;
    if (conn == NULL) {
        free(c);
        return false;
    }
    *c = (client){.conn = conn, .owner = owner};
    enlist(c);
    watch(c, EPOLL_CTL_ADD);
    return true;
}

/* Edge-triggered, so that running out of descriptors does not spin. */
static void accept_all(fb_nullserver *server)
{
    for (;;) {
        const int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (!admit(server, fd)) {
                (void)close(fd);
            }
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- threads ---- */

/* False when the thread must end. */
static bool handle(thread *t, const struct epoll_event *event)
{
    if (event->data.ptr == &t->server->wake) {
        return false;
    }
    if (event->data.ptr == &t->server->listener) {
        accept_all(t->server);
    } else {
        serve(event->data.ptr, event->events);
    }
    return true;
}

static void *run(void *argument)
{
    thread *t = argument;
    struct epoll_event events[EVENTS_PER_WAIT];
    fb_cpu_name_self("fb-null");
    if (t->cpu >= 0) {
        (void)fb_cpu_pin_self(t->cpu, &t->pin_error);
    }
    (void)sem_post(&t->server->ready);
    for (bool goes_on = true; goes_on;) {
        const int n = epoll_wait(t->epoll_fd, events, EVENTS_PER_WAIT, -1);
        for (int i = 0; i < n && goes_on; i++) {
            goes_on = handle(t, &events[i]);
        }
    }
    t->ended_cpu_ns = fb_thread_cpu_ns();
    return NULL;
}

/* ---- set-up ---- */

/* A longer path is not kept of a request, so that nothing would match it. */
static int check_answer(const fb_nullanswer *answer, fb_error *err)
{
    const size_t path = answer->path ? strlen(answer->path) : 0;
    return path >= 1 && path <= FB_HTTP_PATH && answer->body_len <= FB_NULLSERVER_MAX_REPLY
               ? FB_OK
               : fb_error_set(err, FB_E_INVAL, 0,
                              "a null server's answer has a path of 1 to %d bytes and a body of at "
                              "most %d",
                              FB_HTTP_PATH, FB_NULLSERVER_MAX_REPLY);
}

static int check_config(const fb_nullserver_config *config, fb_error *err)
{
    if (config->threads < 1 || config->threads > FB_NULLSERVER_MAX_THREADS) {
        return fb_error_set(err, FB_E_INVAL, 0, "the null server needs 1 to %d threads, not %u",
                            FB_NULLSERVER_MAX_THREADS, config->threads);
    }
    if (config->replies.reply_bytes > FB_NULLSERVER_MAX_REPLY) {
        return fb_error_set(err, FB_E_INVAL, 0, "a null server's reply has at most %d bytes",
                            FB_NULLSERVER_MAX_REPLY);
    }
    const int protocol = config->replies.protocol;
    if (protocol < FB_PROTOCOL_RESP || protocol > FB_PROTOCOL_GRPC) {
        return fb_error_set(err, FB_E_INVAL, 0, "a null server speaks no protocol number %d",
                            protocol);
    }
    for (uint32_t i = 0; i < config->replies.n_answers; i++) {
        const int rc = check_answer(&config->replies.answers[i], err);
        if (rc != FB_OK) {
            return rc;
        }
    }
    return protocol == FB_PROTOCOL_GRPC ? fb_nullgrpc_check(err) : FB_OK;
}

static int set_up_failed(fb_error *err)
{
    return fb_error_set(err, FB_E_SYS, errno, "cannot set up a null server: %s", strerror(errno));
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void free_thread(thread *t)
{
    close_if_open(t->epoll_fd);
    fb_nullspace_fini(&t->space);
}

/* Level-triggered and never read: every thread sees it. */
static bool watch_for_end(thread *t)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &t->server->wake};
    return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->server->wake, &event) == 0;
}

static int make_thread(thread *t, const fb_nullserver_config *config, fb_error *err)
{
    const int rc = fb_nullspace_init(&t->space, err);
    if (rc != FB_OK) {
        return rc;
    }
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll_fd < 0 || !watch_for_end(t)) {
        return set_up_failed(err);
    }
    t->cpu = config->cpus != NULL ? config->cpus[t - t->server->threads] : -1;
    return FB_OK;
}

static int make_threads(fb_nullserver *server, const fb_nullserver_config *config, fb_error *err)
{
    server->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->threads = aligned_alloc(FB_CACHE_LINE, config->threads * sizeof(thread));
    if (server->wake < 0 || server->threads == NULL) {
        return set_up_failed(err);
    }
    memset(server->threads, 0, config->threads * sizeof(thread));
    for (; server->n_threads < config->threads; server->n_threads++) {
        thread *t = &server->threads[server->n_threads];
        t->server = server;
        t->epoll_fd = -1;
        const int rc = make_thread(t, config, err);
        if (rc != FB_OK) {
            free_thread(t);
            return rc;
        }
    }
    return FB_OK;
}

static int open_listener(fb_nullserver *server, const fb_nullserver_config *config, fb_error *err)
{
    if (config->unix_path == NULL) {
        server->port = config->port;
        return server->listener = fb_net_listen_tcp(config->host, &server->port, err);
    }
    server->listener = fb_net_listen_unix(config->unix_path, err);
    if (server->listener >= 0) {
        (void)snprintf(server->unix_path, sizeof server->unix_path, "%s", config->unix_path);
    }
    return server->listener;
}

static bool set_up_tls(fb_nullserver *server, const fb_nullserver_config *config, fb_error *err)
{
    server->tls = config->tls ? fb_tls_new_server(config->tls_suite, err) : NULL;
    return !config->tls || server->tls != NULL;
}

fb_nullserver *fb_nullserver_new(const fb_nullserver_config *config, fb_error *err)
{
    if (check_config(config, err) != FB_OK) {
        return NULL;
    }
    fb_nullserver *server = calloc(1, sizeof *server);
    if (server == NULL) {
        (void)fb_error_set(err, FB_E_NOMEM, errno, "no memory for a null server");
        return NULL;
    }
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)sem_init(&server->ready, 0, 0);
    server->listener = server->wake = -1;
    if (fb_nullreplies_init(&server->replies, &config->replies, err) != FB_OK ||
        !set_up_tls(server, config, err) || make_threads(server, config, err) != FB_OK ||
        open_listener(server, config, err) < 0) {
        fb_nullserver_free(server);
        return NULL;
    }
    return server;
}

uint16_t fb_nullserver_port(const fb_nullserver *server)
{
    return server->port;
}

/* Creates one thread with every signal blocked: they are the program's, not the server's. */
static int create(thread *t)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int reason = pthread_create(&t->id, NULL, run, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->runs = reason == 0;
    return reason;
}

static void wait_until_ready(fb_nullserver *server)
{
    while (sem_wait(&server->ready) != 0) {
        /* interrupted by a signal */
    }
}

int fb_nullserver_start(fb_nullserver *server, fb_error *err)
{
    int rc = FB_OK;
    server->started_ns = fb_now_ns();
    for (uint32_t i = 0; i < server->n_threads && rc == FB_OK; i++) {
        thread *t = &server->threads[i];
        const int reason = create(t);
        if (reason != 0) {
            rc = fb_error_set(err, FB_E_SYS, reason, "cannot create a null server's thread: %s",
                              strerror(reason));
            break;
        }
        wait_until_ready(server);
        if (t->pin_error.code != FB_OK) {
            rc = fb_error_set(err, t->pin_error.code, t->pin_error.sys_errno, "%s",
                              t->pin_error.text);
        }
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &server->listener};
    if (rc == FB_OK &&
        epoll_ctl(server->threads[0].epoll_fd, EPOLL_CTL_ADD, server->listener, &event) != 0) {
        rc = fb_error_set(err, FB_E_SYS, errno, "cannot watch a listener: %s", strerror(errno));
    }
    if (rc != FB_OK) {
        fb_nullserver_stop(server);
    }
    return rc;
}

/* CPU time of a thread that runs, or of one that ended. */
static uint64_t cpu_time(const thread *t)
{
    clockid_t clock;
    struct timespec used;
    if (!t->runs || pthread_getcpuclockid(t->id, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return t->ended_cpu_ns;
    }
    return (uint64_t)used.tv_sec * FB_NS_PER_S + (uint64_t)used.tv_nsec;
}

void fb_nullserver_stats(const fb_nullserver *server, uint32_t thread_index,
                         fb_nullserver_usage *usage)
{
    const thread *t = &server->threads[thread_index];
    const uint64_t until = server->stopped_ns != 0 ? server->stopped_ns : fb_now_ns();
    usage->cpu_ns = cpu_time(t);
    usage->elapsed_ns = server->started_ns != 0 ? until - server->started_ns : 0;
    usage->requests = atomic_load_explicit(&t->space.requests, memory_order_relaxed);
    usage->bytes = atomic_load_explicit(&t->space.bytes, memory_order_relaxed);
}

static void join_all(fb_nullserver *server)
{
    (void)eventfd_write(server->wake, 1);
    for (uint32_t i = 0; i < server->n_threads; i++) {
        if (server->threads[i].runs) {
            (void)pthread_join(server->threads[i].id, NULL);
            server->threads[i].runs = false;
        }
    }
    server->stopped_ns = fb_now_ns();
}

static void close_all(fb_nullserver *server)
{
    while (server->clients != NULL) {
        dismiss(server->clients);
    }
    close_if_open(server->listener);
    server->listener = -1;
    if (server->unix_path[0] != '\0') {
        (void)unlink(server->unix_path);
        server->unix_path[0] = '\0';
    }
}

void fb_nullserver_stop(fb_nullserver *server)
{
    if (server->stopped_ns == 0) {
        join_all(server);
        close_all(server);
    }
}

void fb_nullserver_free(fb_nullserver *server)
{
    if (server == NULL) {
        return;
    }
    fb_nullserver_stop(server);
    for (uint32_t i = 0; i < server->n_threads; i++) {
        free_thread(&server->threads[i]);
    }
    free(server->threads);
    close_if_open(server->wake);
    fb_tls_free(server->tls);
    fb_nullreplies_fini(&server->replies);
    (void)sem_destroy(&server->ready);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}
