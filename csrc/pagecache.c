#include "fastbench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define WINDOW_PAGES 65536 /* pages asked for at a time: bounds the memory for mincore's answer */

static size_t count_resident(void *addr, size_t len, size_t page, unsigned char *map)
{
    size_t resident = 0;
    if (mincore(addr, len, map) != 0) {
        return 0;
    }
    for (size_t i = 0; i < (len + page - 1) / page; i++) {
        resident += map[i] & 1;
    }
    return resident * page;
}

int fb_pagecache_populate(const void *addr, size_t len, size_t *resident, fb_error *err)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = (uintptr_t)addr & ~(page - 1);
    const size_t span = (uintptr_t)addr + len - begin;
    unsigned char *map = malloc(WINDOW_PAGES);
    if (!map) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory");
    }
    *resident = 0;
    for (size_t at = 0; at < span; at += WINDOW_PAGES * page) {
        const size_t n = span - at < WINDOW_PAGES * page ? span - at : WINDOW_PAGES * page;
        /* Old kernels (< 5.14) do not know it: reading ahead is the next best. */
        if (madvise((void *)(begin + at), n, MADV_POPULATE_READ) != 0 && errno == EINVAL) {
            (void)madvise((void *)(begin + at), n, MADV_WILLNEED);
        }
    }
    for (size_t at = 0; at < span; at += WINDOW_PAGES * page) {
        const size_t n = span - at < WINDOW_PAGES * page ? span - at : WINDOW_PAGES * page;
        *resident += count_resident((void *)(begin + at), n, page, map);
    }
    *resident = *resident < len ? *resident : len;
    free(map);
    return FB_OK;
}
