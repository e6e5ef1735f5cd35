/* Fields of HTTP/2 for both sides of gRPC in tests: said to nghttp2, and kept as text. */
#ifndef FB_TEST_H2_FIELDS_H
#define FB_TEST_H2_FIELDS_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline nghttp2_nv h2_field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static inline bool h2_is(const char *word, const uint8_t *name, size_t len)
{
    return strlen(word) == len && memcmp(word, name, len) == 0;
}

/* Keeps a value as a string, cut to fit. */
static inline void h2_keep(char *to, size_t room, const uint8_t *value, size_t len)
{
    const size_t n = len < room - 1 ? len : room - 1;
    memcpy(to, value, n);
    to[n] = '\0';
}

/* The last frame of its stream from that side. */
static inline bool h2_ends_stream(const nghttp2_frame *frame)
{
    return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
           (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA);
}

#endif
