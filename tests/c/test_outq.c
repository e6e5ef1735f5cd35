/* The send queue: what arrives is what was pushed, whatever the pieces and the socket's room. */
#include "check.h"
#include "outq.h"
#include "sockets.h"

#include <signal.h>
#include <sys/mman.h>

#define DATA_BYTES (4 << 20)

static const uint8_t *data; /* the test file, mapped */
static int data_fd;
static fb_splicer *by; /* how long ranges of a file are sent; NULL = sendfile */

/* A file that no folder knows, filled with bytes that repeat only after 4 GiB. */
static int new_file(size_t len)
{
    const int fd = memfd_create("fastbench-test", MFD_CLOEXEC);
    uint32_t *words = malloc(len);
    for (uint32_t i = 0; i < len / sizeof *words; i++) {
        words[i] = i * UINT32_C(2654435761);
    }
    if (write(fd, words, len) != (ssize_t)len) {
        abort();
    }
    free(words);
    return fd;
}

/* What a test pushed, in order, and what came out at the other end. */
typedef struct transfer {
    fb_outq q;
    int pair[2];
    uint8_t *expected;
    size_t expected_len;
    size_t received;
    bool differs;
} transfer;

static bool transfer_open(transfer *t, uint32_t pieces, bool tcp)
{
    *t = (transfer){.expected = malloc(64 << 20)};
    return t->expected != NULL && fb_outq_init(&t->q, pieces, NULL) == FB_OK &&
           (tcp ? sockets_tcp_pair(t->pair) : sockets_unix_pair(t->pair));
}

static void transfer_close(transfer *t)
{
    sockets_close(t->pair);
    fb_outq_fini(&t->q);
    free(t->expected);
}

static void expect(transfer *t, const uint8_t *bytes, size_t len)
{
    memcpy(t->expected + t->expected_len, bytes, len);
    t->expected_len += len;
}

static void push_mem(transfer *t, size_t from, size_t len)
{
    CHECK_EQ(FB_OK, fb_outq_push_mem(&t->q, data + from, len));
    expect(t, data + from, len);
}

static void push_file(transfer *t, size_t from, size_t len)
{
    CHECK_EQ(FB_OK, fb_outq_push_file(&t->q, data_fd, (int64_t)from, data + from, len));
    expect(t, data + from, len);
}

/* Reads what has arrived, at most len bytes, and compares it. Returns the bytes read. */
static size_t take(transfer *t, size_t len)
{
    static uint8_t buffer[1 << 20];
    const size_t want = len < sizeof buffer ? len : sizeof buffer;
    const ssize_t n = recv(t->pair[1], buffer, want, 0);
    if (n <= 0) {
        return 0;
    }
    if (t->received + (size_t)n > t->expected_len ||
        memcmp(buffer, t->expected + t->received, (size_t)n) != 0) {
        t->differs = true;
    }
    t->received += (size_t)n;
    return (size_t)n;
}

/* Waits until there is something to read or, with bytes left to send, room for them. */
static bool moves(const transfer *t)
{
    struct pollfd polled[] = {
        {.fd = t->pair[1], .events = POLLIN},
        {.fd = t->pair[0], .events = fb_outq_empty(&t->q) ? 0 : POLLOUT},
    };
    return poll(polled, 2, SOCKETS_PATIENCE_MS) > 0;
}

/* Sends and reads in turn until everything is through; reads little where `slow`. */
static void pump(transfer *t, bool slow)
{
    while (t->received < t->expected_len) {
        const uint64_t before = t->q.sent;
        const long n = fb_outq_flush(&t->q, t->pair[0], by, NULL);
        REQUIRE(n >= 0);
        CHECK_EQ(t->q.sent - before, n);
        REQUIRE(moves(t));
        while (take(t, slow ? 3000 : SIZE_MAX) > 0 && !slow) {
        }
    }
    CHECK(!t->differs);
    CHECK(fb_outq_empty(&t->q));
    CHECK_EQ(t->q.pushed, t->q.sent);
}

/* Memory that continues the newest piece becomes part of it; other memory and files do not. */
static void test_coalescing(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 8, false));
    push_mem(&t, 0, 10);
    push_mem(&t, 10, 5);
    CHECK_EQ(7, fb_outq_room(&t.q));
    push_mem(&t, 100, 5);
    push_file(&t, 105, 5);
    push_mem(&t, 110, 5);
    push_mem(&t, 115, 0);
    push_file(&t, 115, 0);
    CHECK_EQ(4, fb_outq_room(&t.q));
    CHECK_EQ(30, t.q.pushed);
    pump(&t, false);
    CHECK_EQ(8, fb_outq_room(&t.q));
    transfer_close(&t);
}

/* A full ring refuses a piece and keeps what it has; memory that continues still fits. */
static void test_full(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 3, false)); /* rounded up to 4 */
    for (size_t i = 0; i < 4; i++) {
        push_mem(&t, 100 * i, 10);
    }
    CHECK_EQ(0, fb_outq_room(&t.q));
    CHECK_EQ(FB_E_NOMEM, fb_outq_push_mem(&t.q, data + 900, 1));
    CHECK_EQ(FB_E_NOMEM, fb_outq_push_file(&t.q, data_fd, 900, data + 900, 1));
    push_mem(&t, 310, 7);
    CHECK_EQ(47, t.q.pushed);
    pump(&t, false);
    transfer_close(&t);
}

/* Each step is one call: the head, then the long range, then the tail; positions follow. */
static void test_steps(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 8, false));
    push_mem(&t, 0, 100);
    push_file(&t, 1000, 20);
    push_file(&t, 4096, FB_OUTQ_ZEROCOPY_MIN);
    push_mem(&t, 500, 30);
    CHECK_EQ(120, fb_outq_step(&t.q, t.pair[0], by, NULL));
    CHECK_EQ(120, t.q.sent);
    CHECK_EQ(FB_OUTQ_ZEROCOPY_MIN, fb_outq_step(&t.q, t.pair[0], by, NULL));
    CHECK_EQ(30, fb_outq_step(&t.q, t.pair[0], by, NULL));
    CHECK(fb_outq_empty(&t.q));
    CHECK_EQ(0, fb_outq_step(&t.q, t.pair[0], by, NULL));
    CHECK_EQ(0, fb_outq_flush(&t.q, t.pair[0], by, NULL));
    pump(&t, false);
    transfer_close(&t);
}

/* A socket without room gives 0 and loses nothing. */
static void test_again(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 64, false));
    for (size_t i = 0; i < 16; i++) {
        push_mem(&t, i, 1 << 19);
    }
    CHECK(fb_outq_flush(&t.q, t.pair[0], by, NULL) > 0);
    CHECK(!fb_outq_empty(&t.q));
    CHECK_EQ(0, fb_outq_step(&t.q, t.pair[0], by, NULL));
    CHECK_EQ(0, fb_outq_flush(&t.q, t.pair[0], by, NULL));
    pump(&t, false);
    transfer_close(&t);
}

/* More pieces than one system call takes arrive in order. */
static void test_many_pieces(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 2000, true));
    for (size_t i = 0; i < 2000; i++) {
        push_mem(&t, i * 17, 1 + i % 16);
    }
    CHECK_EQ(2048 - 2000, fb_outq_room(&t.q));
    pump(&t, false);
    transfer_close(&t);
}

static size_t below(uint64_t *state, size_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(*state >> 33) % limit;
}

/* Any mixture of pieces, through a small or large socket and a fast or slow reader, arrives whole
 * and in order; the ring wraps around many times. */
static void random_mixture(bool tcp, uint64_t seed)
{
    transfer t;
    REQUIRE(transfer_open(&t, 16, tcp));
    const int room = seed % 2 == 0 ? 8192 : 1 << 20;
    (void)setsockopt(t.pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    for (int i = 0; i < 60; i++) {
        const size_t from = below(&seed, DATA_BYTES / 2);
        const size_t len = below(&seed, 3) == 0 ? below(&seed, 300000) : below(&seed, 3000);
        if (fb_outq_room(&t.q) == 0) {
            (void)fb_outq_flush(&t.q, t.pair[0], by, NULL);
            if (fb_outq_room(&t.q) == 0) {
                pump(&t, seed % 4 == 1);
            }
        }
        if (below(&seed, 2) == 0) {
            push_mem(&t, from, len);
        } else {
            push_file(&t, from, len);
        }
    }
    pump(&t, seed % 4 == 1);
    transfer_close(&t);
}

static void test_random_mixtures(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_mixture(seed % 3 == 0, seed);
    }
}

/* A peer that went away is FB_E_CLOSED for both kinds of call, and SIGPIPE does not end us. */
static void test_closed_peer(void)
{
    for (int file = 0; file < 2; file++) {
        transfer t;
        REQUIRE(transfer_open(&t, 8, false));
        if (file == 1) {
            push_file(&t, 0, FB_OUTQ_ZEROCOPY_MIN);
        } else {
            push_mem(&t, 0, 10);
        }
        (void)close(t.pair[1]);
        fb_error err;
        CHECK_EQ(FB_E_CLOSED, fb_outq_flush(&t.q, t.pair[0], by, &err));
        CHECK_EQ(FB_E_CLOSED, err.code);
        CHECK_EQ(EPIPE, err.sys_errno);
        t.pair[1] = -1;
        transfer_close(&t);
    }
}

/* A file that is shorter than its range, before or while it is sent, is FB_E_DATA: by sendfile,
 * and by its mapping. */
static void test_truncated_file(void)
{
    const size_t len = 1 << 20;
    for (int is_short = 0; is_short < 2; is_short++) {
        transfer t;
        REQUIRE(transfer_open(&t, 8, false));
        const int fd = new_file(len);
        const uint8_t *mapped = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
        REQUIRE(mapped != MAP_FAILED);
        const size_t piece = is_short ? 5000 : FB_OUTQ_ZEROCOPY_MIN + 1;
        CHECK_EQ(FB_OK, fb_outq_push_file(&t.q, fd, 8192, mapped + 8192, piece));
        CHECK_EQ(0, ftruncate(fd, is_short ? 0 : 12288));
        fb_error err;
        long n = fb_outq_step(&t.q, t.pair[0], by, &err);
        CHECK_EQ(is_short ? FB_E_DATA : 4096, n);
        n = fb_outq_step(&t.q, t.pair[0], by, &err);
        CHECK_EQ(FB_E_DATA, n);
        CHECK_EQ(FB_E_DATA, err.code);
        CHECK(strstr(err.text, "dataset") != NULL);
        (void)munmap((void *)(uintptr_t)mapped, len);
        (void)close(fd);
        transfer_close(&t);
    }
}

/* Any other failure is FB_E_SYS with its errno. */
static void test_other_failure(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 8, false));
    push_mem(&t, 0, 10);
    fb_error err;
    CHECK_EQ(FB_E_SYS, fb_outq_step(&t.q, -1, by, &err));
    CHECK_EQ(EBADF, err.sys_errno);
    CHECK_EQ(10, t.q.pushed - t.q.sent);
    transfer_close(&t);
}

/* Reset forgets everything, and the queue serves a new stream from position 0. */
static void test_reset(void)
{
    transfer t;
    REQUIRE(transfer_open(&t, 4, false));
    push_mem(&t, 0, 10);
    push_file(&t, 0, FB_OUTQ_ZEROCOPY_MIN);
    CHECK_EQ(10, fb_outq_step(&t.q, t.pair[0], by, NULL));
    fb_outq_reset(&t.q);
    CHECK(fb_outq_empty(&t.q));
    CHECK_EQ(0, t.q.pushed);
    CHECK_EQ(0, t.q.sent);
    CHECK_EQ(4, fb_outq_room(&t.q));
    t.expected_len = 10;
    push_mem(&t, 50, 10);
    pump(&t, false);
    transfer_close(&t);
}

/* Sizes outside the limits are refused; a queue that was never initialised may be freed. */
static void test_limits(void)
{
    fb_outq q;
    fb_error err;
    CHECK_EQ(FB_E_INVAL, fb_outq_init(&q, 0, &err));
    CHECK_EQ(FB_E_INVAL, fb_outq_init(&q, (1 << 20) + 1, &err));
    fb_outq_fini(&q);
    CHECK_EQ(FB_OK, fb_outq_init(&q, 1 << 20, &err));
    CHECK_EQ(1 << 20, fb_outq_room(&q));
    fb_outq_fini(&q);
}

/* What is moved from queue to queue is what was pushed, whatever the cuts: pieces stay pieces. */
static void test_move(void)
{
    transfer t;
    fb_outq from;
    REQUIRE(transfer_open(&t, 256, false));
    REQUIRE(fb_outq_init(&from, 8, NULL) == FB_OK);
    CHECK_EQ(FB_OK, fb_outq_push_mem(&from, data, 10));
    CHECK_EQ(FB_OK, fb_outq_push_file(&from, data_fd, 1000, data + 1000, 3000));
    CHECK_EQ(FB_OK, fb_outq_push_mem(&from, data + 50, 7));
    expect(&t, data, 10);
    expect(&t, data + 1000, 3000);
    expect(&t, data + 50, 7);
    fb_outq_move(&from, &t.q, 4);
    fb_outq_move(&from, &t.q, 1000); /* the end of a piece and the beginning of the next */
    CHECK_EQ(2, t.q.tail - t.q.head);
    CHECK_EQ(1004, t.q.pushed);
    fb_outq_move(&from, &t.q, 0);
    fb_outq_move(&from, &t.q, 2013);
    CHECK(fb_outq_empty(&from));
    CHECK_EQ(3017, t.q.pushed);
    const fb_piece *second = &t.q.ring[1];
    CHECK_EQ(data_fd, second->fd);
    CHECK_EQ(1000, second->offset);
    pump(&t, false);
    fb_outq_fini(&from);
    transfer_close(&t);
}

static void run_all(void)
{
    RUN(test_coalescing);
    RUN(test_full);
    RUN(test_steps);
    RUN(test_move);
    RUN(test_again);
    RUN(test_many_pieces);
    RUN(test_random_mixtures);
    RUN(test_closed_peer);
    RUN(test_truncated_file);
    RUN(test_other_failure);
    RUN(test_reset);
    RUN(test_limits);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the workers have it, for splice and sendfile */
    data_fd = new_file(DATA_BYTES);
    data = mmap(NULL, DATA_BYTES, PROT_READ, MAP_SHARED, data_fd, 0);
    if (data == MAP_FAILED) {
        return 1;
    }
    run_all();
    fb_splicer splicer = {0};
    by = &splicer;
    run_all();
    fb_splicer_close(&splicer);
    return check_result();
}
