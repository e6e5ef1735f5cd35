/* splicer: what arrives is what was given, nothing stays in the pipe, and what it cannot do it
 * says.
 */
#include "check.h"
#include "sockets.h"
#include "splicer.h"

#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define DATA_BYTES (16 * FB_SPLICER_MAX)
#define THREADS 256
#define NOBODY 65534

ssize_t __real_splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t len,
                      unsigned flags);
ssize_t __wrap_splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t len,
                      unsigned flags);

static size_t splice_max = SIZE_MAX; /* bytes that one call moves at most */
static int splice_good = INT_MAX;    /* so many more calls are let through, */
static int splice_bad;               /* then so many fail */
static int splice_errno;             /* with this, and then all are let through */

ssize_t __wrap_splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t len,
                      unsigned flags)
{
    if (splice_good > 0) {
        splice_good--;
    } else if (splice_bad > 0) {
        splice_bad--;
        errno = splice_errno;
        return -1;
    }
    return __real_splice(from, from_at, to, to_at, len < splice_max ? len : splice_max, flags);
}

static void disturb_splice(size_t max, int good, int bad, int cause)
{
    splice_max = max;
    splice_good = good;
    splice_bad = bad;
    splice_errno = cause;
}

static void leave_splice_alone(void)
{
    disturb_splice(SIZE_MAX, INT_MAX, 0, 0);
}

static uint8_t *data; /* repeats only after 4 GiB */

static void fill_data(void)
{
    uint32_t *words = malloc(DATA_BYTES);
    for (uint32_t i = 0; i < DATA_BYTES / sizeof *words; i++) {
        words[i] = i * UINT32_C(2654435761);
    }
    data = (uint8_t *)words;
}

/* Sends from `from` on until the socket is full. Returns the bytes that it took. */
static size_t send_until_full(fb_splicer *s, int fd, size_t from)
{
    size_t sent = 0;
    for (s->full = false; !s->full && from + sent < DATA_BYTES;) {
        const ssize_t n =
            fb_splicer_send(s, fd, data + from + sent, DATA_BYTES - from - sent, true);
        if (n < 0) {
            CHECK_EQ(EAGAIN, errno);
            CHECK(s->full);
            break;
        }
        CHECK(n > 0 && (size_t)n <= FB_SPLICER_MAX);
        sent += (size_t)n;
    }
    return sent;
}

/* Reads len bytes and tells whether they are those of data. */
static bool arrives(int fd, size_t from, size_t len)
{
    static uint8_t buffer[1 << 20];
    for (size_t have = 0; have < len;) {
        const size_t want = len - have < sizeof buffer ? len - have : sizeof buffer;
        const ssize_t n = sockets_wait(fd, POLLIN) ? recv(fd, buffer, want, 0) : -1;
        if (n <= 0 || memcmp(buffer, data + from + have, (size_t)n) != 0) {
            return false;
        }
        have += (size_t)n;
    }
    return true;
}

/* Sockets in turn, each filled: no byte that one did not take reaches the other. */
static void test_full_sockets_share_one(void)
{
    fb_splicer s = {0};
    int pairs[2][2];
    size_t at[2] = {0, DATA_BYTES / 2 + 123};
    REQUIRE(fb_splicer_ready(&s));
    REQUIRE(sockets_unix_pair(pairs[0]) && sockets_tcp_pair(pairs[1]));
    for (int turn = 0; turn < 8; turn++) {
        const int i = turn % 2;
        const size_t n = send_until_full(&s, pairs[i][0], at[i]);
        CHECK(n > 0);
        CHECK(arrives(pairs[i][1], at[i], n));
        at[i] = (at[i] + n) % (DATA_BYTES / 2);
    }
    sockets_close(pairs[0]);
    sockets_close(pairs[1]);
    fb_splicer_close(&s);
}

/* Memory that is not there is EFAULT; what lies before it is sent. */
static void test_unreadable(void)
{
    fb_splicer s = {0};
    int pair[2];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *two = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(two != MAP_FAILED && munmap(two + page, page) == 0);
    REQUIRE(fb_splicer_ready(&s) && sockets_unix_pair(pair));
    CHECK_EQ(page, fb_splicer_send(&s, pair[0], two, 2 * page, false));
    CHECK(!s.full);
    CHECK_EQ(-1, fb_splicer_send(&s, pair[0], two + page, page, false));
    CHECK_EQ(EFAULT, errno);
    (void)munmap(two, page);
    sockets_close(pair);
    fb_splicer_close(&s);
}

/* A peer that is gone is EPIPE, and the next socket gets nothing of what was meant for it. */
static void test_closed_peer(void)
{
    fb_splicer s = {0};
    int gone[2];
    int pair[2];
    REQUIRE(fb_splicer_ready(&s) && sockets_unix_pair(gone) && sockets_unix_pair(pair));
    (void)close(gone[1]);
    CHECK_EQ(-1, fb_splicer_send(&s, gone[0], data, 70000, false));
    CHECK_EQ(EPIPE, errno);
    CHECK_EQ(70000, fb_splicer_send(&s, pair[0], data + 5, 70000, false));
    CHECK(arrives(pair[1], 5, 70000));
    (void)close(gone[0]);
    sockets_close(pair);
    fb_splicer_close(&s);
}

/* A splice that is cut short, though the socket has room, is gone on with. */
static void test_cut_short(void)
{
    fb_splicer s = {0};
    int pair[2];
    REQUIRE(fb_splicer_ready(&s) && sockets_unix_pair(pair));
    disturb_splice(10000, INT_MAX, 0, 0);
    CHECK_EQ(65000, fb_splicer_send(&s, pair[0], data, 65000, false));
    CHECK(!s.full);
    leave_splice_alone();
    CHECK(arrives(pair[1], 0, 65000));
    sockets_close(pair);
    fb_splicer_close(&s);
}

/* Bytes that wait in the pipe. */
static int waiting(const fb_splicer *s)
{
    int bytes = -1;
    CHECK_EQ(0, ioctl(s->pipe[0], FIONREAD, &bytes));
    return bytes;
}

/* What is left after a failure is dropped, in as many pieces as that takes, from the same pipe. */
static void test_drop_in_pieces(void)
{
    fb_splicer s = {0};
    int pair[2];
    REQUIRE(fb_splicer_ready(&s) && sockets_unix_pair(pair));
    const int before = s.pipe[0];
    disturb_splice(10000, 2, 1, EINTR);
    CHECK_EQ(20000, fb_splicer_send(&s, pair[0], data, 65000, true));
    CHECK(!s.full);
    CHECK(s.works);
    CHECK_EQ(before, s.pipe[0]);
    CHECK_EQ(0, waiting(&s));
    leave_splice_alone();
    CHECK_EQ(45000, fb_splicer_send(&s, pair[0], data + 20000, 45000, false));
    CHECK(arrives(pair[1], 0, 65000));
    sockets_close(pair);
    fb_splicer_close(&s);
}

/* A pipe that cannot be emptied is closed; the next use opens another, and nothing comes twice. */
static void test_drop_fails(void)
{
    fb_splicer s = {0};
    int pair[2];
    const int free_fd = dup(0);
    (void)close(free_fd);
    REQUIRE(fb_splicer_ready(&s) && sockets_unix_pair(pair));
    disturb_splice(10000, 1, INT_MAX, EINTR);
    CHECK_EQ(10000, fb_splicer_send(&s, pair[0], data, 65000, true));
    CHECK(!s.full);
    CHECK(!s.works && !s.tried);
    leave_splice_alone();
    REQUIRE(fb_splicer_ready(&s));
    CHECK_EQ(free_fd, s.pipe[0]); /* the descriptors are free again */
    CHECK_EQ(0, waiting(&s));
    CHECK_EQ(55000, fb_splicer_send(&s, pair[0], data + 10000, 55000, false));
    CHECK(arrives(pair[1], 0, 65000));
    sockets_close(pair);
    fb_splicer_close(&s);
}

/* Where splice is forbidden it is not ready, and keeps no descriptor. */
static void test_forbidden(void)
{
    fb_splicer s = {0};
    const int before = dup(0);
    (void)close(before);
    disturb_splice(SIZE_MAX, 0, INT_MAX, EPERM);
    CHECK(!fb_splicer_ready(&s));
    leave_splice_alone();
    CHECK(!fb_splicer_ready(&s));
    const int after = dup(0);
    CHECK_EQ(before, after);
    (void)close(after);
    fb_splicer_close(&s);
}

/* Without descriptors it is not ready, is not tried again, and keeps none. */
static void test_refused(void)
{
    fb_splicer s = {0};
    struct rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    const int next = dup(0);
    const int after = dup(0);
    (void)close(after);
    for (rlim_t more = 0; more < 3; more++) { /* the first, the second and the third are missing */
        const struct rlimit few = {.rlim_cur = (rlim_t)after + more, .rlim_max = before.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
        CHECK(!fb_splicer_ready(&s));
        REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(!fb_splicer_ready(&s));
        fb_splicer_close(&s);
        const int still = dup(0);
        CHECK_EQ(after, still);
        (void)close(still);
    }
    (void)close(next);
    CHECK(fb_splicer_ready(&s));
    fb_splicer_close(&s);
}

/* Few have the largest; many share half of what a user has by default, until they are too many. */
static void test_shares(void)
{
    CHECK_EQ(FB_SPLICER_MAX, fb_splicer_share(1));
    CHECK_EQ(FB_SPLICER_MAX, fb_splicer_share(32));
    CHECK_EQ(FB_SPLICER_MAX / 2, fb_splicer_share(33));
    CHECK_EQ((size_t)32 << 20, THREADS * fb_splicer_share(THREADS));
    CHECK_EQ(FB_SPLICER_MIN, fb_splicer_share(UINT32_MAX));
}

/* A call takes as much as its pipe has room for, also when that has been opened anew. */
static void test_less_room(void)
{
    fb_splicer s = {.room = FB_SPLICER_MIN};
    int pair[2];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t from = page - (uintptr_t)data % page; /* a part of a page takes as much room */
    for (int i = 0; i < 2; i++) {
        REQUIRE(fb_splicer_ready(&s) && sockets_unix_pair(pair));
        CHECK_EQ(FB_SPLICER_MIN, fb_splicer_send(&s, pair[0], data + from, FB_SPLICER_MAX, true));
        CHECK(!s.full);
        CHECK(arrives(pair[1], from, FB_SPLICER_MIN));
        sockets_close(pair);
        fb_splicer_close(&s);
    }
}

/* The limit of a user other than root, in pages; 0 = none. */
static long pages_of_pipes(void)
{
    FILE *file = fopen("/proc/sys/fs/pipe-user-pages-soft", "r");
    long pages = 0;
    if (file) {
        (void)fscanf(file, "%ld", &pages);
        (void)fclose(file);
    }
    return pages;
}

/* As a user other than root: how many splicers are ready at once. Its exit tells 0 when all are. */
static int open_unprivileged(void)
{
    static fb_splicer all[THREADS];
    int ready = 0;
    if (getuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) {
        return 2;
    }
    for (int i = 0; i < THREADS; i++) {
        all[i].room = fb_splicer_share(THREADS);
        ready += fb_splicer_ready(&all[i]);
    }
    if (ready < THREADS) {
        fprintf(stderr, "of %d splicers %d are ready\n", THREADS, ready);
    }
    return ready == THREADS ? 0 : 1;
}

/* Many threads find room for their pipes without privileges. */
static void test_many_threads_without_privileges(void)
{
    const long default_pages = 16384;
    const long pages = pages_of_pipes();
    struct rlimit files;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
    if ((pages > 0 && pages < default_pages) || files.rlim_cur < 3 * THREADS + 100) {
        fprintf(stderr, "skipped: this system allows fewer pipes or files than usual\n");
        return;
    }
    const pid_t child = fork();
    if (child == 0) {
        _exit(open_unprivileged());
    }
    int status = -1;
    CHECK_EQ(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the workers have it */
    fill_data();
    RUN(test_full_sockets_share_one);
    RUN(test_unreadable);
    RUN(test_closed_peer);
    RUN(test_cut_short);
    RUN(test_drop_in_pieces);
    RUN(test_drop_fails);
    RUN(test_forbidden);
    RUN(test_refused);
    RUN(test_shares);
    RUN(test_less_room);
    RUN(test_many_threads_without_privileges);
    free(data);
    return check_result();
}
