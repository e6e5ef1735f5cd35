/* Pages of a dataset are brought into memory, and what is not there is not claimed. */
#include "check.h"
#include "fastbench.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 50

static size_t page;

static uint8_t *map_file(int fd)
{
    CHECK_EQ(0, ftruncate(fd, (off_t)(PAGES * page)));
    void *at = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* A file on disk, where pages are not there before they are asked for. */
static int disk_file(void)
{
    char name[] = "/tmp/fastbench-pagecache-XXXXXX";
    const int fd = mkstemp(name);
    (void)unlink(name);
    return fd;
}

/* All of it, then an odd stretch of it: as many bytes are resident as were asked for. */
static void test_populates(void)
{
    const int fd = disk_file();
    uint8_t *at = map_file(fd);
    size_t resident = 1;
    REQUIRE(at != NULL);
    CHECK_EQ(FB_OK, fb_pagecache_populate(at, PAGES * page, &resident, NULL));
    CHECK_EQ(PAGES * page, resident);
    CHECK_EQ(FB_OK, fb_pagecache_populate(at + 100, 3 * page + 7, &resident, NULL));
    CHECK_EQ(3 * page + 7, resident);
    CHECK_EQ(FB_OK, fb_pagecache_populate(at + page - 1, 2, &resident, NULL));
    CHECK_EQ(2, resident);
    (void)munmap(at, PAGES * page);
    (void)close(fd);
}

/* Nothing asked, nothing there. */
static void test_nothing(void)
{
    const int fd = disk_file();
    uint8_t *at = map_file(fd);
    size_t resident = 1;
    REQUIRE(at != NULL);
    CHECK_EQ(FB_OK, fb_pagecache_populate(at, 0, &resident, NULL));
    CHECK_EQ(0, resident);
    (void)munmap(at, PAGES * page);
    (void)close(fd);
}

/* A file that was cut off: no crash, and the missing part does not count as resident. */
static void test_cut_off_file(void)
{
    const int fd = disk_file();
    uint8_t *at = map_file(fd);
    size_t resident = 0;
    REQUIRE(at != NULL);
    CHECK_EQ(0, ftruncate(fd, (off_t)(10 * page)));
    CHECK_EQ(FB_OK, fb_pagecache_populate(at, PAGES * page, &resident, NULL));
    CHECK(resident <= 10 * page);
    (void)munmap(at, PAGES * page);
    (void)close(fd);
}

int main(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    RUN(test_populates);
    RUN(test_nothing);
    RUN(test_cut_off_file);
    return check_result();
}
