#include "text.h"

size_t fb_text_copy(char *to, size_t room, const char *from, size_t len)
{
    size_t n = 0;
    for (; n < len && n + 1 < room; n++) {
        to[n] = (unsigned char)from[n] < 0x20 || from[n] == 0x7f ? ' ' : from[n];
    }
    to[n] = '\0';
    return n;
}
