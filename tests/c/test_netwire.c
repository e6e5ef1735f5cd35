#include "netwire.h"

#include "check.h"
#include "clock.h"
#include "sockets.h"

static const fb_nettest TEST = {FB_NETWIRE_RR, 602112, 4004, 7, 9};

/* A hello says what was written; one of another version, size or test is answered by why not. */
static void test_hello(void)
{
    uint8_t hello[FB_NETWIRE_HELLO_LEN];
    fb_nettest read = {0};
    fb_netwire_write_hello(hello, &TEST);
    CHECK_EQ(FB_NETWIRE_ACCEPTED, fb_netwire_read_hello(hello, &read));
    CHECK_EQ(602112, read.request_bytes);
    CHECK_EQ(4004, read.response_bytes);
    CHECK_EQ(7, read.warmup_ns);
    CHECK_EQ(9, read.duration_ns);
    CHECK_EQ(FB_NETWIRE_RR, read.kind);

    hello[15]++;
    CHECK_EQ(FB_NETWIRE_VERSION_DIFFERS, fb_netwire_read_hello(hello, &read));
    hello[15]--;
    hello[0]++;
    CHECK_EQ(FB_E_PROTOCOL, fb_netwire_read_hello(hello, &read));
}

static void test_limits(void)
{
    static const fb_nettest wrong[] = {
        {0, 1, 1, 0, 1},
        {4, 1, 1, 0, 1},
        {FB_NETWIRE_RR, 0, 1, 0, 1},
        {FB_NETWIRE_RR, 1, 0, 0, 1},
        {FB_NETWIRE_RR, FB_NETWIRE_MAX_BYTES + 1, 1, 0, 1},
        {FB_NETWIRE_RR, 1, UINT64_MAX, 0, 1},
        {FB_NETWIRE_RR, 1, 1, 0, 0},
        {FB_NETWIRE_RR, 1, 1, FB_NETWIRE_MAX_NS + 1, 1},
        {FB_NETWIRE_RR, 1, 1, 0, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t hello[FB_NETWIRE_HELLO_LEN];
        fb_nettest read;
        fb_error err = {0};
        CHECK_EQ(FB_E_INVAL, fb_netwire_check(&wrong[i], &err));
        CHECK(err.text[0] != '\0');
        fb_netwire_write_hello(hello, &wrong[i]);
        CHECK_EQ(FB_NETWIRE_LIMITS, fb_netwire_read_hello(hello, &read));
    }
    const fb_nettest largest = {FB_NETWIRE_MAERTS, FB_NETWIRE_MAX_BYTES, FB_NETWIRE_MAX_BYTES,
                                FB_NETWIRE_MAX_NS, FB_NETWIRE_MAX_NS};
    CHECK_EQ(FB_OK, fb_netwire_check(&largest, NULL));
}

static void test_answer(void)
{
    uint8_t answer[FB_NETWIRE_ANSWER_LEN];
    uint64_t version = 0;
    uint64_t status = 0;
    fb_netwire_write_answer(answer, FB_NETWIRE_BUSY);
    CHECK_EQ(FB_OK, fb_netwire_read_answer(answer, &version, &status));
    CHECK_EQ(FB_NETWIRE_VERSION, version);
    CHECK_EQ(FB_NETWIRE_BUSY, status);
    answer[7] = 'x';
    CHECK_EQ(FB_E_PROTOCOL, fb_netwire_read_answer(answer, &version, &status));
}

/* Each number of a report comes back at its own place, and a name is ended whatever was sent. */
static void test_report(void)
{
    const fb_netcounts counts = {1, 2, 3, 4,
                                 5, 6, 7, {"reno", 1, 65483, 10, 11, 12, 13, UINT64_MAX}};
    uint8_t report[FB_NETWIRE_REPORT_LEN];
    fb_netcounts read = {0};
    fb_netwire_write_report(report, &counts);
    CHECK_EQ(FB_OK, fb_netwire_read_report(report, &read));
    CHECK(memcmp(&counts, &read, sizeof read) == 0);

    memset(report + FB_NETWIRE_REPORT_LEN - 16, 'x', 16);
    CHECK_EQ(FB_OK, fb_netwire_read_report(report, &read));
    CHECK_STR("xxxxxxxxxxxxxxx", read.socket.congestion);
    report[15] = 99;
    CHECK_EQ(FB_E_PROTOCOL, fb_netwire_read_report(report, &read));
}

/* What is sent from a small block arrives whole in a small buffer, in the block's order. */
static void test_bytes_arrive(void)
{
    const uint8_t block[7] = {1, 2, 3, 4, 5, 6, 7};
    uint8_t got[20] = {0};
    int pair[2];
    REQUIRE(sockets_tcp_pair(pair));
    const uint64_t deadline = fb_now_ns() + 30 * FB_NS_PER_S;
    fb_netwire_block(pair[0], 30 * FB_NS_PER_S);
    fb_netwire_block(pair[1], 30 * FB_NS_PER_S);
    CHECK_EQ(FB_OK, fb_netwire_send(pair[0], block, sizeof block, 20, deadline));
    CHECK_EQ(FB_OK, fb_netwire_receive(pair[1], got, sizeof got, sizeof got, deadline));
    for (size_t i = 0; i < sizeof got; i++) {
        CHECK_EQ(block[i % sizeof block], got[i]);
    }
    CHECK_EQ(FB_OK, fb_netwire_send(pair[0], block, sizeof block, 1000, deadline));
    CHECK_EQ(FB_OK, fb_netwire_receive(pair[1], got, 3, 1000, deadline));
    sockets_close(pair);
}

/* A silent peer ends in a time-out, one that drips in the deadline, one that has gone in CLOSED. */
static void test_peers_that_do_not_answer(void)
{
    uint8_t byte[2] = {0};
    int pair[2];
    REQUIRE(sockets_tcp_pair(pair));
    fb_netwire_block(pair[0], 20 * FB_NS_PER_MS);
    CHECK_EQ(FB_E_SYS, fb_netwire_receive(pair[0], byte, 1, 1, UINT64_MAX));
    CHECK_EQ(ETIMEDOUT, errno);

    CHECK_EQ(1, send(pair[1], byte, 1, 0));
    CHECK_EQ(FB_E_SYS, fb_netwire_receive(pair[0], byte, 2, 2, fb_now_ns()));
    CHECK_EQ(ETIMEDOUT, errno);

    (void)shutdown(pair[1], SHUT_RDWR);
    CHECK_EQ(FB_E_CLOSED, fb_netwire_receive(pair[0], byte, 1, 1, UINT64_MAX));
    CHECK_EQ(0, fb_netwire_receive_some(pair[0], byte, 1));
    sockets_close(pair);
}

/* A peer that reads nothing: sending ends, too. */
static void test_full_buffer(void)
{
    const uint8_t block[4096] = {0};
    int pair[2];
    REQUIRE(sockets_tcp_pair(pair));
    fb_netwire_block(pair[0], 20 * FB_NS_PER_MS);
    CHECK_EQ(FB_E_SYS,
             fb_netwire_send(pair[0], block, sizeof block, UINT64_C(1) << 30, UINT64_MAX));
    CHECK_EQ(ETIMEDOUT, errno);
    sockets_close(pair);
}

/* The window holds what came after the warm-up, up to the first bytes after its time. */
static void test_window(void)
{
    fb_netwindow window = {.warmup_ns = 100, .duration_ns = 50};
    fb_netcounts counts = {0};
    uint8_t bytes[1000];
    memset(bytes, 1, sizeof bytes);
    CHECK(!fb_netwire_count(&window, &counts, bytes, 10, 1000));
    CHECK(!fb_netwire_count(&window, &counts, bytes, 20, 1099));
    CHECK(!fb_netwire_count(&window, &counts, bytes, 40, 1101)); /* opens it */
    CHECK_EQ(0, counts.window_bytes);
    CHECK(!fb_netwire_count(&window, &counts, bytes, 80, 1111));
    CHECK_EQ(80, counts.window_bytes);
    CHECK_EQ(10, counts.window_ns);
    CHECK(fb_netwire_count(&window, &counts, bytes, 160, 1200));
    CHECK_EQ(240, counts.window_bytes);
    CHECK_EQ(99, counts.window_ns);
    memset(bytes, 2, sizeof bytes);
    CHECK(fb_netwire_count(&window, &counts, bytes, 100, 1300));
    CHECK_EQ(240, counts.window_bytes);
    CHECK_EQ(99, counts.window_ns);
    CHECK_EQ(410, counts.received_bytes);
    for (size_t i = 0; i < FB_NETWIRE_REPORT_LEN; i++) {
        CHECK_EQ(i < FB_NETWIRE_REPORT_LEN - 100 ? 1 : 2, window.tail[i]);
    }
}

/* What the kernel says of a socket of ours on loopback. */
static void test_describe(void)
{
    fb_netsocket found;
    int pair[2];
    REQUIRE(sockets_tcp_pair(pair));
    fb_netwire_describe(pair[0], &found);
    CHECK_STR("reno", found.congestion);
    CHECK_EQ(1, found.nodelay);
    CHECK(found.mss > 0 && found.send_buffer > 0 && found.receive_buffer > 0);
    CHECK_EQ(0, found.retransmits);
    sockets_close(pair);
    fb_netwire_describe(-1, &found);
    CHECK_STR("", found.congestion);
    CHECK_EQ(0, found.mss);
}

int main(void)
{
    RUN(test_hello);
    RUN(test_limits);
    RUN(test_answer);
    RUN(test_report);
    RUN(test_bytes_arrive);
    RUN(test_peers_that_do_not_answer);
    RUN(test_full_buffer);
    RUN(test_window);
    RUN(test_describe);
    return check_result();
}
