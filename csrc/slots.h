/* Hash slots of a Redis cluster: which of 16384 a key belongs to.
 *
 * CRC16 (polynomial 0x1021, start 0: "XMODEM") of the key modulo 16384; where the key holds a
 * non-empty "{tag}", of the first one's inside alone, so that keys with one tag stay together
 * (Redis cluster specification, "Key distribution model" and "Hash tags"). Pure functions. */
#ifndef FB_SLOTS_H
#define FB_SLOTS_H

#include "base.h"

#define FB_SLOTS 16384
#define FB_SLOTS_NOBODY UINT16_MAX /* in a table of owners: no node is known */

/* CRC16 of len bytes. */
uint16_t fb_slots_crc16(const uint8_t *bytes, size_t len);

/* The hash slot of a key. */
uint16_t fb_slots_of(const uint8_t *key, size_t len);

#endif
