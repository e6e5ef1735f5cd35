/* How RESP spells numbers: what is one, what only looks like one, and what it is worth. */
#include "check.h"
#include "resp_value.h"

#include <stdlib.h>

/* The one spelling of an integer, up to both ends of 64 bits; values as strtoll has them. */
static void test_integers(void)
{
    static const char *const good[] = {
        "0", "7", "-1", "1234567890", "9223372036854775807", "-9223372036854775808"};
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      "-0",
                                      "01",
                                      "1 ",
                                      " 1",
                                      "1a",
                                      "0x1",
                                      "--1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t value = 42;
        CHECK(fb_resp_integer(good[i], strlen(good[i]), &value));
        CHECK_EQ(strtoll(good[i], NULL, 10), value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t value = 42;
        CHECK(!fb_resp_integer(bad[i], strlen(bad[i]), &value));
        CHECK_EQ(42, value);
    }
}

/* The text ends where its length says: there is no NUL behind it. */
static void test_length_counts(void)
{
    int64_t value = 0;
    CHECK(fb_resp_integer("123456", 3, &value));
    CHECK_EQ(123, value);
    CHECK(fb_resp_is_double("1.5x", 3));
    CHECK(!fb_resp_is_double("inf", 2));
    CHECK(fb_resp_is_big_number_piece("12x", 2, 0));
    CHECK_EQ(0, fb_resp_sign("-", 0, "-"));
}

/* Decimal numbers with an exponent or without, and the words for what is none. */
static void test_doubles(void)
{
    static const char *const good[] = {"0",    "1.5",     "-1.5", "+2",   "10.", ".5",  "1e5",
                                       "1E-5", "-.5e+07", "inf",  "-inf", "nan", "-nan"};
    static const char *const bad[] = {"",    ".",        "-",     "e5",   "1e",
                                      "1e+", "1.5.",     "1,5",   "+inf", "+nan",
                                      "INF", "infinity", "0x1p3", "1 ",   " 1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(fb_resp_is_double(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!fb_resp_is_double(bad[i], strlen(bad[i])));
    }
}

/* A big number may come in pieces, of which only the first may have a sign. */
static void test_big_numbers(void)
{
    CHECK(fb_resp_is_big_number_piece("-123", 4, 0));
    CHECK(fb_resp_is_big_number_piece("+", 1, 0));
    CHECK(fb_resp_is_big_number_piece("", 0, 7));
    CHECK(fb_resp_is_big_number_piece("0099", 4, 7));
    CHECK(!fb_resp_is_big_number_piece("-123", 4, 1));
    CHECK(!fb_resp_is_big_number_piece("--1", 3, 0));
    CHECK(!fb_resp_is_big_number_piece("12a", 3, 0));
}

/* A sign is one of those that may be there; a NUL is none. */
static void test_signs(void)
{
    CHECK_EQ(1, fb_resp_sign("-1", 2, "+-"));
    CHECK_EQ(0, fb_resp_sign("+1", 2, "-"));
    CHECK_EQ(0, fb_resp_sign("\0", 1, "+-"));
}

int main(void)
{
    RUN(test_integers);
    RUN(test_length_counts);
    RUN(test_doubles);
    RUN(test_big_numbers);
    RUN(test_signs);
    return check_result();
}
