#include "resp_value.h"

#include "text.h"

#include <string.h>

static size_t count_digits(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && fb_is_digit(text[n]))
        n++;
    return n;
}

size_t fb_resp_sign(const char *text, size_t len, const char *signs)
{
    return len > 0 && text[0] != '\0' && strchr(signs, text[0]) != NULL ? 1 : 0;
}

bool fb_resp_integer(const char *text, size_t len, int64_t *value)
{
    const bool negative = fb_resp_sign(text, len, "-") == 1;
    const char *const digits = text + negative;
    const size_t n = len - negative;
    if (n == 0 || n > 19 || count_digits(digits, n) != n || (digits[0] == '0' && len > 1))
        return false;
    uint64_t magnitude = 0; /* 19 digits fit */
    for (size_t i = 0; i < n; i++)
        magnitude = magnitude * 10 + (uint64_t)(digits[i] - '0');
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool fb_resp_is_double(const char *text, size_t len)
{
    size_t at = fb_resp_sign(text, len, "+-");
    if (fb_text_is("inf", text + at, len - at) || fb_text_is("nan", text + at, len - at))
        return text[0] != '+';
    const size_t whole = count_digits(text + at, len - at);
    at += whole;
    size_t fraction = 0;
    if (at < len && text[at] == '.') {
        fraction = count_digits(text + at + 1, len - at - 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at == len)
        return true;
    if (text[at] != 'e' && text[at] != 'E')
        return false;
    at++;
    at += fb_resp_sign(text + at, len - at, "+-");
    return at < len && count_digits(text + at, len - at) == len - at;
}

bool fb_resp_is_big_number_piece(const char *text, size_t len, uint32_t place)
{
    const size_t sign = place == 0 ? fb_resp_sign(text, len, "+-") : 0;
    return count_digits(text + sign, len - sign) == len - sign;
}
