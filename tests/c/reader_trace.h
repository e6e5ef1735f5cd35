/* What a reader of the wire says of bytes that it is fed in pieces, written down as text.
 *
 * Two ways of cutting the same bytes are right when their traces are equal. */
#ifndef FB_READER_TRACE_H
#define FB_READER_TRACE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader_trace {
    char text[8192]; /* what was said of each reply, a ";" after it, then how it ended */
    size_t len;
    bool wrong_count; /* the reader returned a number of bytes that it must not */
} reader_trace;

/* Forgets what was written down. */
static inline void reader_trace_clear(reader_trace *t)
{
    t->len = 0;
    t->wrong_count = false;
    t->text[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static inline void reader_trace_add(reader_trace *t,
                                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const size_t room = sizeof t->text - t->len;
    const int n = vsnprintf(t->text + t->len, room, format, args);
    va_end(args);
    t->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

/* Returns what a reader that was given `left` bytes returned, -1 where it must not: without the
 * end of a reply it takes them all. */
static inline long reader_trace_count(reader_trace *t, long n, size_t left, bool done)
{
    if (n >= 0 && (n == 0 || n > (long)left || (!done && n != (long)left))) {
        t->wrong_count = true;
        return -1;
    }
    return n;
}

/* Returns a copy of a piece, to be freed, so that AddressSanitizer sees its exact bounds. */
static inline uint8_t *reader_trace_copy(const uint8_t *bytes, size_t len)
{
    uint8_t *const piece = malloc(len > 0 ? len : 1);
    if (piece != NULL)
        memcpy(piece, bytes, len);
    return piece;
}

#endif
