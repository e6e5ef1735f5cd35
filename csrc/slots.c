#include "slots.h"

#include <string.h>

/* What four bits leave behind when they are shifted out: multiples of the polynomial. */
static const uint16_t remainders[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

static uint16_t shift(uint16_t crc, uint8_t nibble)
{
    return (uint16_t)((crc << 4) ^ remainders[(crc >> 12) ^ nibble]);
}

uint16_t fb_slots_crc16(const uint8_t *bytes, size_t len)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc = shift(crc, bytes[i] >> 4);
        crc = shift(crc, bytes[i] & 15);
    }
    return crc;
}

uint16_t fb_slots_of(const uint8_t *key, size_t len)
{
    const uint8_t *open = len > 0 ? memchr(key, '{', len) : NULL;
    if (open) {
        const size_t rest = len - (size_t)(open + 1 - key);
        const uint8_t *close = rest > 0 ? memchr(open + 1, '}', rest) : NULL;
        if (close && close > open + 1) {
            key = open + 1;
            len = (size_t)(close - key);
        }
    }
    return fb_slots_crc16(key, len) % FB_SLOTS;
}
