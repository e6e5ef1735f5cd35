/* Text from the wire, whatever the protocol: characters by kind, and what a reader gets to see.
 *
 * Owns nothing; any thread; cannot fail. */
#ifndef FB_TEXT_H
#define FB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool fb_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool fb_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The value of a hexadecimal digit of either case; -1 when it is none. */
static inline int fb_hex_digit(char c)
{
    if (fb_is_digit(c)) {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Whether the text, which has no NUL behind it, is that word. */
static inline bool fb_text_is(const char *word, const char *text, size_t len)
{
    return strlen(word) == len && memcmp(word, text, len) == 0;
}

/* Copies for a reader's eyes: control characters become blanks, cut to fit room bytes with the NUL
 * behind it. Returns the bytes copied, the NUL apart. `to` may be `from`. */
size_t fb_text_copy(char *to, size_t room, const char *from, size_t len);

#endif
