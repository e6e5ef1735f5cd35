#include "netwire.h"

#include "clock.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

/* Ends like a line, so that servers which read lines answer it at once instead of waiting. */
static const uint8_t MAGIC[FB_NETWIRE_MAGIC_LEN] = {'f', 'b', 'n', 'e', 't', '1', '\r', '\n'};

/* ---- messages ---- */

static uint8_t *put(uint8_t *at, uint64_t value)
{
    const uint64_t wire = htobe64(value);
    memcpy(at, &wire, sizeof wire);
    return at + sizeof wire;
}

static const uint8_t *get(const uint8_t *at, uint64_t *value)
{
    uint64_t wire;
    memcpy(&wire, at, sizeof wire);
    *value = be64toh(wire);
    return at + sizeof wire;
}

bool fb_netwire_is_ours(const uint8_t magic[FB_NETWIRE_MAGIC_LEN])
{
    return memcmp(magic, MAGIC, sizeof MAGIC) == 0;
}

int fb_netwire_check(const fb_nettest *test, fb_error *err)
{
    if (test->kind < FB_NETWIRE_RR || test->kind > FB_NETWIRE_MAERTS) {
        return fb_error_set(err, FB_E_INVAL, 0, "there is no network test %llu",
                            (unsigned long long)test->kind);
    }
    if (test->request_bytes < 1 || test->request_bytes > FB_NETWIRE_MAX_BYTES ||
        test->response_bytes < 1 || test->response_bytes > FB_NETWIRE_MAX_BYTES) {
        return fb_error_set(err, FB_E_INVAL, 0, "a request and a response have 1 to %llu bytes",
                            (unsigned long long)FB_NETWIRE_MAX_BYTES);
    }
    if (test->warmup_ns > FB_NETWIRE_MAX_NS || test->duration_ns > FB_NETWIRE_MAX_NS ||
        test->duration_ns == 0) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "a network test measures for more than 0 and at most %llu s",
                            (unsigned long long)(FB_NETWIRE_MAX_NS / FB_NS_PER_S));
    }
    return FB_OK;
}

void fb_netwire_write_hello(uint8_t hello[FB_NETWIRE_HELLO_LEN], const fb_nettest *test)
{
    memcpy(hello, MAGIC, sizeof MAGIC);
    uint8_t *at = put(hello + sizeof MAGIC, FB_NETWIRE_VERSION);
    at = put(at, test->kind);
    at = put(at, test->request_bytes);
    at = put(at, test->response_bytes);
    at = put(at, test->warmup_ns);
    (void)put(at, test->duration_ns);
}

int fb_netwire_read_hello(const uint8_t hello[FB_NETWIRE_HELLO_LEN], fb_nettest *test)
{
    if (!fb_netwire_is_ours(hello)) {
        return FB_E_PROTOCOL;
    }
    uint64_t version;
    const uint8_t *at = get(hello + sizeof MAGIC, &version);
    at = get(at, &test->kind);
    at = get(at, &test->request_bytes);
    at = get(at, &test->response_bytes);
    at = get(at, &test->warmup_ns);
    (void)get(at, &test->duration_ns);
    if (version != FB_NETWIRE_VERSION) {
        return FB_NETWIRE_VERSION_DIFFERS;
    }
    return fb_netwire_check(test, NULL) == FB_OK ? FB_NETWIRE_ACCEPTED : FB_NETWIRE_LIMITS;
}

void fb_netwire_write_answer(uint8_t answer[FB_NETWIRE_ANSWER_LEN], int status)
{
    memcpy(answer, MAGIC, sizeof MAGIC);
    uint8_t *at = put(answer + sizeof MAGIC, FB_NETWIRE_VERSION);
    (void)put(at, (uint64_t)status);
}

int fb_netwire_read_answer(const uint8_t answer[FB_NETWIRE_ANSWER_LEN], uint64_t *version,
                           uint64_t *status)
{
    if (!fb_netwire_is_ours(answer)) {
        return FB_E_PROTOCOL;
    }
    (void)get(get(answer + sizeof MAGIC, version), status);
    return FB_OK;
}

/* The numbers of a report in their order on the wire. */
#define N_NUMBERS 14
static_assert(sizeof MAGIC + 8 * N_NUMBERS + sizeof((fb_netsocket *)0)->congestion + 8 ==
                  FB_NETWIRE_REPORT_LEN,
              "magic, version, numbers and a name make a report");

static uint64_t *number_of(fb_netcounts *counts, size_t i)
{
    fb_netsocket *s = &counts->socket;
    uint64_t *const listed[N_NUMBERS] = {
        &counts->transactions,
        &counts->received_bytes,
        &counts->sent_bytes,
        &counts->window_bytes,
        &counts->window_ns,
        &counts->cpu_ns,
        &counts->elapsed_ns,
        &s->nodelay,
        &s->mss,
        &s->send_buffer,
        &s->receive_buffer,
        &s->retransmits,
        &s->rtt_us,
        &s->path_mtu,
    };
    return listed[i];
}

void fb_netwire_write_report(uint8_t report[FB_NETWIRE_REPORT_LEN], const fb_netcounts *counts)
{
    fb_netcounts copy = *counts;
    memcpy(report, MAGIC, sizeof MAGIC);
    uint8_t *at = put(report + sizeof MAGIC, FB_NETWIRE_VERSION);
    for (size_t i = 0; i < N_NUMBERS; i++) {
        at = put(at, *number_of(&copy, i));
    }
    memcpy(at, copy.socket.congestion, sizeof copy.socket.congestion);
}

int fb_netwire_read_report(const uint8_t report[FB_NETWIRE_REPORT_LEN], fb_netcounts *counts)
{
    uint64_t version = 0;
    const uint8_t *at = get(report + sizeof MAGIC, &version);
    if (!fb_netwire_is_ours(report) || version != FB_NETWIRE_VERSION) {
        return FB_E_PROTOCOL;
    }
    for (size_t i = 0; i < N_NUMBERS; i++) {
        at = get(at, number_of(counts, i));
    }
    char *name = counts->socket.congestion;
    memcpy(name, at, sizeof counts->socket.congestion);
    name[sizeof counts->socket.congestion - 1] = '\0';
    return FB_OK;
}

/* ---- talking ---- */

void fb_netwire_block(int fd, uint64_t timeout_ns)
{
    const struct timeval limit = {.tv_sec = (time_t)(timeout_ns / FB_NS_PER_S),
                                  .tv_usec = (suseconds_t)(timeout_ns % FB_NS_PER_S / 1000)};
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

/* The code of a call that failed; 0 = to be tried again. */
static int failed(void)
{
    switch (errno) {
    case EINTR:
        return 0;
    case EAGAIN: /* SO_RCVTIMEO or SO_SNDTIMEO ran out */
        errno = ETIMEDOUT;
        return FB_E_SYS;
    case EPIPE:
    case ECONNRESET:
        return FB_E_CLOSED;
    default:
        return FB_E_SYS;
    }
}

static int too_late(void)
{
    errno = ETIMEDOUT;
    return FB_E_SYS;
}

int fb_netwire_send(int fd, const uint8_t *block, size_t block_len, uint64_t len,
                    uint64_t deadline_ns)
{
    for (uint64_t sent = 0; sent < len;) {
        const size_t from = (size_t)(sent % block_len);
        const uint64_t left = len - sent;
        const size_t n = left < block_len - from ? (size_t)left : block_len - from;
        const ssize_t done = send(fd, block + from, n, MSG_NOSIGNAL);
        const int code = done < 0 ? failed() : 0;
        if (code < 0) {
            return code;
        }
        sent += done < 0 ? 0 : (uint64_t)done;
        if (sent < len && fb_now_ns() > deadline_ns) {
            return too_late();
        }
    }
    return FB_OK;
}

long fb_netwire_receive_some(int fd, uint8_t *into, size_t room)
{
    for (;;) {
        const ssize_t n = recv(fd, into, room, 0);
        const int code = n < 0 ? failed() : 0;
        if (n >= 0 || code < 0) {
            return n < 0 ? code : n;
        }
    }
}

int fb_netwire_receive(int fd, uint8_t *into, size_t room, uint64_t len, uint64_t deadline_ns)
{
    for (uint64_t received = 0; received < len;) {
        const size_t at = (size_t)(received % room);
        const uint64_t left = len - received;
        const size_t n = left < room - at ? (size_t)left : room - at;
        const long done = fb_netwire_receive_some(fd, into + at, n);
        if (done <= 0) {
            return done == 0 ? FB_E_CLOSED : (int)done;
        }
        received += (uint64_t)done;
        if (received < len && fb_now_ns() > deadline_ns) {
            return too_late();
        }
    }
    return FB_OK;
}

static void keep_tail(uint8_t tail[FB_NETWIRE_REPORT_LEN], const uint8_t *bytes, size_t n)
{
    if (n >= FB_NETWIRE_REPORT_LEN) {
        memcpy(tail, bytes + n - FB_NETWIRE_REPORT_LEN, FB_NETWIRE_REPORT_LEN);
        return;
    }
    memmove(tail, tail + n, FB_NETWIRE_REPORT_LEN - n);
    memcpy(tail + FB_NETWIRE_REPORT_LEN - n, bytes, n);
}

bool fb_netwire_count(fb_netwindow *window, fb_netcounts *counts, const uint8_t *bytes, size_t n,
                      uint64_t now_ns)
{
    keep_tail(window->tail, bytes, n);
    counts->received_bytes += n;
    if (window->first_ns == 0) {
        window->first_ns = now_ns;
    }
    const uint64_t age = now_ns - window->first_ns;
    if (window->begin_ns == 0) {
        if (age >= window->warmup_ns) { /* what came up to here is not in the window */
            window->begin_ns = now_ns;
            window->begin_bytes = counts->received_bytes;
        }
        return false;
    }
    if (!window->ended) { /* it ends with the first bytes after its time: a pause counts */
        counts->window_bytes = counts->received_bytes - window->begin_bytes;
        counts->window_ns = now_ns - window->begin_ns;
        window->ended = age >= window->warmup_ns + window->duration_ns;
    }
    return window->ended;
}

/* ---- sockets ---- */

static uint64_t option_of(int fd, int level, int option)
{
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, option, &value, &length) == 0 && value > 0 ? (uint64_t)value : 0;
}

void fb_netwire_describe(int fd, fb_netsocket *found)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    (void)getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    *found = (fb_netsocket){
        .nodelay = option_of(fd, IPPROTO_TCP, TCP_NODELAY),
        .mss = info.tcpi_snd_mss,
        .send_buffer = option_of(fd, SOL_SOCKET, SO_SNDBUF),
        .receive_buffer = option_of(fd, SOL_SOCKET, SO_RCVBUF),
        .retransmits = info.tcpi_total_retrans,
        .rtt_us = info.tcpi_rtt,
        .path_mtu = info.tcpi_pmtu,
    };
    length = sizeof found->congestion - 1;
    (void)getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, found->congestion, &length);
}
