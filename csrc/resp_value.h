/* How RESP spells numbers: pure functions of the text of a line, which has no NUL behind it.
 *
 * Owns nothing; any thread. Source: the specification of RESP3, redis.io. */
#ifndef FB_RESP_VALUE_H
#define FB_RESP_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 1 when the text begins with one of these signs, else 0. */
size_t fb_resp_sign(const char *text, size_t len, const char *signs);

/* -?(0|[1-9][0-9]*) within 64 bits, the one spelling that servers use; else false. */
bool fb_resp_integer(const char *text, size_t len, int64_t *value);

/* inf, nan, or a decimal number with at least one digit and perhaps an exponent. */
bool fb_resp_is_double(const char *text, size_t len);

/* A piece of a big number, which may be long, that begins at this place of its line. */
bool fb_resp_is_big_number_piece(const char *text, size_t len, uint32_t place);

#endif
