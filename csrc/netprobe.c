#include "netprobe.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)1 << 20) /* one send call holds a tensor of 600 KB */
#define SCRATCH_BYTES ((size_t)1 << 18)
#define TICK_MS 50 /* how soon a stop is seen while connecting */

struct fb_netprobe {
    fb_address address;
    fb_nettest test;
    uint64_t timeout_ns;
    int fd;           /* opened in new's thread or run's, closed by free: stop may use it */
    _Atomic int shut; /* the fd that stop may shut down; -1 = none */
    _Atomic bool stopped;
    uint8_t *block;
    uint8_t *scratch;
    fb_netprobe_result result;
};

/* ---- what goes wrong ---- */

static int explain(const fb_netprobe *p, int code, const char *doing, fb_error *err)
{
    const int cause = errno;
    if (code == FB_OK || code == FB_E_BROKEN) {
        return code; /* said already */
    }
    if (atomic_load_explicit(&p->stopped, memory_order_acquire)) {
        return fb_error_set(err, FB_E_CLOSED, 0, "stopped");
    }
    if (code == FB_E_SYS && cause == ETIMEDOUT) {
        return fb_error_set(err, FB_E_CONNECT, cause, "nothing came for %.3g s while %s",
                            (double)p->timeout_ns / (double)FB_NS_PER_S, doing);
    }
    if (code == FB_E_CLOSED) {
        return fb_error_set(err, code, 0, "the server closed the connection while %s", doing);
    }
    return fb_error_set(err, code, cause, "%s failed: %s", doing, strerror(cause));
}

static int refused(uint64_t version, uint64_t status, fb_error *err)
{
    switch (status) {
    case FB_NETWIRE_ACCEPTED:
        return FB_OK;
    case FB_NETWIRE_VERSION_DIFFERS:
        return fb_error_set(err, FB_E_REPLY, 0,
                            "the server speaks version %llu of the network test, this is %d: use "
                            "the same fastbench at both ends",
                            (unsigned long long)version, FB_NETWIRE_VERSION);
    case FB_NETWIRE_BUSY:
        return fb_error_set(err, FB_E_REPLY, 0, "the server has no room for another test: wait");
    default:
        return fb_error_set(err, FB_E_REPLY, 0, "the server refuses this test (status %llu)",
                            (unsigned long long)status);
    }
}

/* ---- connecting ---- */

static int wait_connected(fb_netprobe *p, fb_error *err)
{
    const uint64_t deadline = fb_now_ns() + p->timeout_ns;
    struct pollfd polled = {.fd = p->fd, .events = POLLOUT};
    while (poll(&polled, 1, TICK_MS) <= 0) {
        if (atomic_load_explicit(&p->stopped, memory_order_acquire) || fb_now_ns() > deadline) {
            errno = ETIMEDOUT;
            return explain(p, FB_E_SYS, "connecting", err);
        }
    }
    const int cause = fb_net_connect_result(p->fd);
    return cause == 0 ? FB_OK
                      : fb_error_set(err, FB_E_CONNECT, cause,
                                     "cannot connect: %s; is `fastbench "
                                     "net serve` running there?",
                                     strerror(cause));
}

/* Says hello; what comes back tells whether this is the right kind of server. */
static int greet(fb_netprobe *p, fb_error *err)
{
    const uint64_t deadline = fb_now_ns() + p->timeout_ns;
    uint8_t hello[FB_NETWIRE_HELLO_LEN];
    uint8_t answer[FB_NETWIRE_ANSWER_LEN] = {0};
    uint64_t version = 0;
    uint64_t status = 0;
    fb_netwire_write_hello(hello, &p->test);
    int rc = fb_netwire_send(p->fd, hello, sizeof hello, sizeof hello, deadline);
    if (rc == FB_OK) {
        rc = fb_netwire_receive(p->fd, answer, sizeof answer, sizeof answer, deadline);
    }
    /* Whoever answers less than that, and then waits or goes, is a stranger, too. */
    if ((rc != FB_OK && answer[0] != 0) ||
        (rc == FB_OK && fb_netwire_read_answer(answer, &version, &status) != FB_OK)) {
        return fb_error_set(err, FB_E_PROTOCOL, 0, "what answers is no `fastbench net serve`");
    }
    return rc == FB_OK ? refused(version, status, err)
                       : explain(p, rc, "waiting for its greeting", err);
}

static int connect_to(fb_netprobe *p, fb_error *err)
{
    p->fd = fb_net_connect(&p->address, err);
    if (p->fd < 0) {
        return p->fd;
    }
    int rc = wait_connected(p, err);
    if (rc != FB_OK) {
        return rc;
    }
    fb_netwire_block(p->fd, p->timeout_ns);
    /* Either stop sees the descriptor and shuts it, or the load sees that stop came before. */
    atomic_store_explicit(&p->shut, p->fd, memory_order_seq_cst);
    if (atomic_load_explicit(&p->stopped, memory_order_seq_cst)) {
        return explain(p, FB_E_CLOSED, "connecting", err);
    }
    return greet(p, err);
}

/* ---- the tests ---- */

static bool is_stopped(fb_netprobe *p)
{
    return atomic_load_explicit(&p->stopped, memory_order_relaxed);
}

/* After the client has shut its side down: the report, and nothing after it. */
static int take_report(fb_netprobe *p, fb_error *err)
{
    uint8_t report[FB_NETWIRE_REPORT_LEN];
    (void)shutdown(p->fd, SHUT_WR);
    const int rc = fb_netwire_receive(p->fd, report, sizeof report, sizeof report,
                                      fb_now_ns() + p->timeout_ns);
    if (rc != FB_OK) {
        return explain(p, rc, "waiting for its report", err);
    }
    return fb_netwire_read_report(report, &p->result.server) == FB_OK
               ? FB_OK
               : fb_error_set(err, FB_E_PROTOCOL, 0, "the server's report is damaged");
}

static int transact(fb_netprobe *p, uint64_t deadline_ns)
{
    const fb_nettest *test = &p->test;
    fb_netcounts *counts = &p->result.client;
    int rc = fb_netwire_send(p->fd, p->block, BLOCK_BYTES, test->request_bytes, deadline_ns);
    if (rc == FB_OK) {
        rc =
            fb_netwire_receive(p->fd, p->scratch, SCRATCH_BYTES, test->response_bytes, deadline_ns);
    }
    if (rc == FB_OK) {
        counts->transactions++;
        counts->sent_bytes += test->request_bytes;
        counts->received_bytes += test->response_bytes;
    }
    return rc;
}

static int run_rr(fb_netprobe *p, fb_error *err)
{
    fb_netprobe_result *result = &p->result;
    const uint64_t begin = fb_now_ns() + p->test.warmup_ns;
    const uint64_t end = begin + p->test.duration_ns;
    uint64_t first = 0;
    for (;;) {
        const uint64_t sent = fb_now_ns();
        if ((sent >= end && result->measured > 0) || is_stopped(p)) {
            break; /* at least one is measured, however long they take */
        }
        const int rc = transact(p, sent + p->timeout_ns);
        if (rc != FB_OK) {
            return explain(p, rc, "in the middle of a transaction", err);
        }
        if (sent >= begin) {
            const uint64_t received = fb_now_ns();
            first = first == 0 ? sent : first;
            fb_hist_record(&result->latency, received - sent);
            result->measured++;
            result->measured_ns = received - first;
        }
    }
    return take_report(p, err);
}

static int run_stream(fb_netprobe *p, fb_error *err)
{
    const uint64_t end = fb_now_ns() + p->test.warmup_ns + p->test.duration_ns;
    do {
        const int rc = fb_netwire_send(p->fd, p->block, BLOCK_BYTES, p->test.request_bytes,
                                       fb_now_ns() + p->timeout_ns);
        if (rc != FB_OK) {
            return explain(p, rc, "sending a stream", err);
        }
        p->result.client.sent_bytes += p->test.request_bytes;
    } while (fb_now_ns() < end && !is_stopped(p));
    return take_report(p, err);
}

static int run_maerts(fb_netprobe *p, fb_error *err)
{
    fb_netwindow window = {.warmup_ns = p->test.warmup_ns, .duration_ns = p->test.duration_ns};
    fb_netcounts *counts = &p->result.client;
    bool told = false;
    uint64_t deadline = UINT64_MAX;
    long n;
    while ((n = fb_netwire_receive_some(p->fd, p->scratch, SCRATCH_BYTES)) > 0) {
        const uint64_t now = fb_now_ns();
        const bool ended = fb_netwire_count(&window, counts, p->scratch, (size_t)n, now);
        if (ended && !told) {
            (void)shutdown(p->fd, SHUT_WR);
            told = true;
            deadline = now + p->timeout_ns; /* what is under way, and the report */
        }
        if (now > deadline) {
            errno = ETIMEDOUT;
            n = FB_E_SYS;
            break;
        }
    }
    if (n < 0 || !told) {
        return explain(p, n < 0 ? (int)n : FB_E_CLOSED, "receiving a stream", err);
    }
    if (counts->received_bytes < FB_NETWIRE_REPORT_LEN ||
        fb_netwire_read_report(window.tail, &p->result.server) != FB_OK) {
        return fb_error_set(err, FB_E_PROTOCOL, 0, "the stream does not end with a report");
    }
    counts->received_bytes -= FB_NETWIRE_REPORT_LEN;
    return FB_OK;
}

static int run_test(fb_netprobe *p, fb_error *err)
{
    switch (p->test.kind) {
    case FB_NETWIRE_RR:
        return run_rr(p, err);
    case FB_NETWIRE_STREAM:
        return run_stream(p, err);
    default:
        return run_maerts(p, err);
    }
}

/* Whatever one end sent, the other has received. */
static int check_books(const fb_netprobe *p, fb_error *err)
{
    const fb_netcounts *client = &p->result.client;
    const fb_netcounts *server = &p->result.server;
    if (client->sent_bytes == server->received_bytes &&
        client->received_bytes == server->sent_bytes &&
        client->transactions == server->transactions) {
        return FB_OK;
    }
    return fb_error_set(
        err, FB_E_BROKEN, 0, "bytes were lost: sent %llu and %llu arrived; %llu came back of %llu",
        (unsigned long long)client->sent_bytes, (unsigned long long)server->received_bytes,
        (unsigned long long)client->received_bytes, (unsigned long long)server->sent_bytes);
}

/* ---- life ---- */

fb_netprobe *fb_netprobe_new(const char *numeric_host, uint16_t port, const fb_nettest *test,
                             uint64_t timeout_ns, fb_error *err)
{
    fb_address address;
    if (fb_netwire_check(test, err) != FB_OK ||
        fb_address_tcp(&address, numeric_host, port, err) != FB_OK) {
        return NULL;
    }
    fb_netprobe *p = calloc(1, sizeof *p);
    uint8_t *block = malloc(BLOCK_BYTES);
    uint8_t *scratch = malloc(SCRATCH_BYTES);
    if (p == NULL || block == NULL || scratch == NULL) {
        free(p);
        free(block);
        free(scratch);
        (void)fb_error_set(err, FB_E_NOMEM, errno, "no memory for a network test");
        return NULL;
    }
    memset(block, 0x5a, BLOCK_BYTES); /* pages of its own, not the kernel's page of zeros */
    memset(scratch, 0, SCRATCH_BYTES);
    p->address = address;
    p->test = *test;
    p->timeout_ns = timeout_ns;
    p->fd = -1;
    p->block = block;
    p->scratch = scratch;
    atomic_store_explicit(&p->shut, -1, memory_order_relaxed);
    fb_hist_clear(&p->result.latency);
    return p;
}

static int run_connected(fb_netprobe *p, fb_error *err)
{
    const uint64_t cpu = fb_thread_cpu_ns();
    const uint64_t began = fb_now_ns();
    const int rc = run_test(p, err);
    p->result.client.cpu_ns = fb_thread_cpu_ns() - cpu;
    p->result.client.elapsed_ns = fb_now_ns() - began;
    fb_netwire_describe(p->fd, &p->result.client.socket);
    if (rc == FB_OK && is_stopped(p)) {
        return explain(p, FB_E_CLOSED, "stopping", err);
    }
    return rc == FB_OK ? check_books(p, err) : rc;
}

int fb_netprobe_run(fb_netprobe *p, fb_error *err)
{
    int rc = connect_to(p, err);
    if (rc == FB_OK) {
        rc = run_connected(p, err);
    }
    if (p->fd >= 0) {
        (void)shutdown(p->fd, SHUT_RDWR); /* the server sees the end now, whenever p is freed */
    }
    return rc;
}

void fb_netprobe_stop(fb_netprobe *p)
{
    atomic_store_explicit(&p->stopped, true, memory_order_seq_cst);
    const int fd = atomic_load_explicit(&p->shut, memory_order_seq_cst);
    if (fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
}

const fb_netprobe_result *fb_netprobe_outcome(const fb_netprobe *p)
{
    return &p->result;
}

void fb_netprobe_free(fb_netprobe *p)
{
    if (p == NULL) {
        return;
    }
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    free(p->scratch);
    free(p->block);
    free(p);
}
