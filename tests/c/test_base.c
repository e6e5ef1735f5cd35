/* The error context. */
#include "base.h"
#include "check.h"

/* A failure fills every field and comes back as the code. */
static void test_fills_error(void)
{
    fb_error err;
    memset(&err, 0xff, sizeof err);
    CHECK_EQ(FB_E_SYS, fb_error_set(&err, FB_E_SYS, 13, "cannot open %s: %d", "x", 7));
    CHECK_EQ(FB_E_SYS, err.code);
    CHECK_EQ(13, err.sys_errno);
    CHECK_STR("cannot open x: 7", err.text);
}

/* A caller that does not want the context passes NULL. */
static void test_without_context(void)
{
    CHECK_EQ(FB_E_INVAL, fb_error_set(NULL, FB_E_INVAL, 0, "%d", 1));
}

/* Text that is too long is cut and still ends with NUL. */
static void test_cuts_long_text(void)
{
    fb_error err;
    (void)fb_error_set(&err, FB_E_DATA, 0, "%0500d", 0);
    CHECK_EQ(sizeof err.text - 1, strlen(err.text));
}

/* Whatever the arguments hold, the text is one line. */
static void test_one_line(void)
{
    fb_error err;
    (void)fb_error_set(&err, FB_E_DATA, 0, "%s", "a\r\nb\nc");
    CHECK_STR("a  b c", err.text);
}

int main(void)
{
    RUN(test_fills_error);
    RUN(test_without_context);
    RUN(test_cuts_long_text);
    RUN(test_one_line);
    return check_result();
}
