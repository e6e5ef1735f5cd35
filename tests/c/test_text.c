/* Characters by kind, whole words, and text made fit for a reader's eyes. */
#include "check.h"
#include "text.h"

/* Of all bytes ten are digits, 22 hexadecimal ones with the values that strtol gives them, and two
 * blanks. */
static void test_kinds(void)
{
    for (int byte = 0; byte < 256; byte++) {
        const char *const all = "0123456789abcdefABCDEF";
        const char *at = byte ? strchr(all, byte) : NULL;
        const long place = at ? at - all : -1;
        CHECK_EQ(place >= 0 && place < 10, fb_is_digit((char)byte));
        CHECK_EQ(byte == 0x20 || byte == 0x09, fb_is_blank((char)byte));
        CHECK_EQ(place < 16 ? place : place - 6, fb_hex_digit((char)byte));
    }
}

/* A word is the whole text, in the same case; bytes behind the text are not looked at. */
static void test_words(void)
{
    CHECK(fb_text_is("NA", "NAN", 2));
    CHECK(!fb_text_is("NA", "NAN", 3));
    CHECK(!fb_text_is("NA", "N", 1));
    CHECK(!fb_text_is("NA", "na", 2));
    CHECK(fb_text_is("", "x", 0));
}

/* Control characters become blanks, bytes of UTF-8 stay, and room is for the NUL, too. */
static void test_copies(void)
{
    char to[9] = "~~~~~~~~";
    CHECK_EQ(6, fb_text_copy(to, sizeof to, "a\r\n\x7f\xc3\xa9", 6));
    CHECK_STR("a   \xc3\xa9", to);
    CHECK_EQ('~', to[7]); /* nothing is written behind the NUL */
    CHECK_EQ(3, fb_text_copy(to, 4, "abcdef", 6));
    CHECK_STR("abc", to);
    CHECK_EQ(0, fb_text_copy(to, sizeof to, "abc", 0));
    CHECK_STR("", to);
    char same[] = "x\ty";
    CHECK_EQ(3, fb_text_copy(same, sizeof same, same, 3));
    CHECK_STR("x y", same);
}

int main(void)
{
    RUN(test_kinds);
    RUN(test_words);
    RUN(test_copies);
    return check_result();
}
