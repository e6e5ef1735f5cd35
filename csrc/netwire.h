/* What `fastbench net` and `fastbench net serve` say to each other, and how they say it.
 *
 *     client  hello   magic, version, test, sizes, times              56 bytes
 *     server  answer  magic, version, accepted or not                 24 bytes
 *     both    the data of the test, until the client shuts its side down
 *     server  report  magic, what it counted, its socket             144 bytes, then it closes
 *
 * All integers are 64-bit, big-endian. Nothing here allocates or owns: descriptors (blocking) and
 * buffers are the caller's. Any thread. Functions that talk return FB_OK, FB_E_CLOSED when the peer
 * has gone, or FB_E_SYS with errno set, which is ETIMEDOUT when the peer took too long. */
#ifndef FB_NETWIRE_H
#define FB_NETWIRE_H

#include "net.h"

#define FB_NETWIRE_VERSION 1
#define FB_NETWIRE_MAGIC_LEN 8
#define FB_NETWIRE_HELLO_LEN 56
#define FB_NETWIRE_ANSWER_LEN 24
#define FB_NETWIRE_REPORT_LEN 144

#define FB_NETWIRE_MAX_BYTES (UINT64_C(1) << 30)         /* of one request, response or block */
#define FB_NETWIRE_MAX_NS (UINT64_C(3600) * FB_NS_PER_S) /* of warm-up, and of measuring */

/* netperf's names: request and response; a stream to the server; a stream from it. */
enum { FB_NETWIRE_RR = 1, FB_NETWIRE_STREAM = 2, FB_NETWIRE_MAERTS = 3 };

/* What the server answers to a hello. */
enum {
    FB_NETWIRE_ACCEPTED = 0,
    FB_NETWIRE_VERSION_DIFFERS = 1,
    FB_NETWIRE_BUSY = 2,
    FB_NETWIRE_LIMITS = 3
};

/* What is to be done. A stream sends blocks of request_bytes; its response_bytes do not count. */
typedef struct fb_nettest {
    uint64_t kind;
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t warmup_ns;
    uint64_t duration_ns;
} fb_nettest;

/* A TCP socket as the kernel has it; numbers are 0 where it does not tell. */
typedef struct fb_netsocket {
    char congestion[16]; /* the algorithm's name, NUL-terminated */
    uint64_t nodelay;    /* 1: TCP_NODELAY is on */
    uint64_t mss;
    uint64_t send_buffer; /* SO_SNDBUF, bytes */
    uint64_t receive_buffer;
    uint64_t retransmits; /* segments sent again since the connection stands */
    uint64_t rtt_us;      /* the kernel's smoothed round-trip time */
    uint64_t path_mtu;
} fb_netsocket;

/* What one end counted over the whole connection, and, as the receiver of a stream, in the window
 * between warm-up and the end of measuring, by its own clock. */
typedef struct fb_netcounts {
    uint64_t transactions;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t window_bytes;
    uint64_t window_ns;
    uint64_t cpu_ns; /* of the thread, user and system */
    uint64_t elapsed_ns;
    fb_netsocket socket;
} fb_netcounts;

/* FB_OK, or FB_E_INVAL with the limit that is broken. */
int fb_netwire_check(const fb_nettest *test, fb_error *err);

void fb_netwire_write_hello(uint8_t hello[FB_NETWIRE_HELLO_LEN], const fb_nettest *test);

/* Tells whether a message begins as ours do; so much of it can be judged before the rest is there.
 */
bool fb_netwire_is_ours(const uint8_t magic[FB_NETWIRE_MAGIC_LEN]);

/* FB_NETWIRE_ACCEPTED, another answer to give, or FB_E_PROTOCOL when it is no hello at all. */
int fb_netwire_read_hello(const uint8_t hello[FB_NETWIRE_HELLO_LEN], fb_nettest *test);

void fb_netwire_write_answer(uint8_t answer[FB_NETWIRE_ANSWER_LEN], int status);

/* FB_OK, and the peer's version and status; or FB_E_PROTOCOL when it is no answer at all. */
int fb_netwire_read_answer(const uint8_t answer[FB_NETWIRE_ANSWER_LEN], uint64_t *version,
                           uint64_t *status);

void fb_netwire_write_report(uint8_t report[FB_NETWIRE_REPORT_LEN], const fb_netcounts *counts);

/* FB_OK, or FB_E_PROTOCOL when it is no report. */
int fb_netwire_read_report(const uint8_t report[FB_NETWIRE_REPORT_LEN], fb_netcounts *counts);

/* Makes a connected descriptor blocking, each call on it ending after at most timeout_ns. */
void fb_netwire_block(int fd, uint64_t timeout_ns);

/* Sends len bytes, `block` (of block_len bytes) over and over. */
int fb_netwire_send(int fd, const uint8_t *block, size_t block_len, uint64_t len,
                    uint64_t deadline_ns);

/* Receives len bytes into `into`, which has room bytes and is filled over and over. */
int fb_netwire_receive(int fd, uint8_t *into, size_t room, uint64_t len, uint64_t deadline_ns);

/* One recv: > 0 bytes, 0 at the end of the stream, < 0 as above. */
long fb_netwire_receive_some(int fd, uint8_t *into, size_t room);

/* The receiver's view of a stream, from {.warmup_ns, .duration_ns}: the window opens with the first
 * bytes after the warm-up, which are not in it, and closes with the first after its time. */
typedef struct fb_netwindow {
    uint64_t warmup_ns;
    uint64_t duration_ns;
    uint64_t first_ns; /* 0 = nothing came yet */
    uint64_t begin_ns; /* 0 = not open yet */
    uint64_t begin_bytes;
    bool ended;
    uint8_t tail[FB_NETWIRE_REPORT_LEN]; /* the last bytes that came: a report, in the end */
} fb_netwindow;

/* Counts n bytes that came now; true once the window has ended. */
bool fb_netwire_count(fb_netwindow *window, fb_netcounts *counts, const uint8_t *bytes, size_t n,
                      uint64_t now_ns);

/* Fills `found` for a connected TCP socket. */
void fb_netwire_describe(int fd, fb_netsocket *found);

#endif
