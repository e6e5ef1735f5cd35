/* A test framework of one header: checks print file, line and both values, and go on.
 *
 * A test program is `int main(void) { RUN(test_one); RUN(test_two); return check_result(); }`.
 * Checks may be used from any thread; REQUIRE leaves the (void) function that it stands in. */
#ifndef FB_CHECK_H
#define FB_CHECK_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static atomic_int check_failures;

static inline bool check_true(bool ok, const char *text, const char *file, int line)
{
    if (!ok) {
        atomic_fetch_add(&check_failures, 1);
        fprintf(stderr, "%s:%d: not true: %s\n", file, line, text);
    }
    return ok;
}

static inline bool check_eq(intmax_t expected, intmax_t actual, const char *text, const char *file,
                            int line)
{
    if (expected != actual) {
        atomic_fetch_add(&check_failures, 1);
        fprintf(stderr, "%s:%d: %s: expected %" PRIdMAX ", got %" PRIdMAX "\n", file, line, text,
                expected, actual);
    }
    return expected == actual;
}

static inline bool check_str(const char *expected, const char *actual, const char *text,
                             const char *file, int line)
{
    const bool ok = actual != NULL && strcmp(expected, actual) == 0;
    if (!ok) {
        atomic_fetch_add(&check_failures, 1);
        fprintf(stderr, "%s:%d: %s: expected \"%s\", got \"%s\"\n", file, line, text, expected,
                actual != NULL ? actual : "(null)");
    }
    return ok;
}

/* cond holds. */
#define CHECK(cond) ((void)check_true((cond), #cond, __FILE__, __LINE__))

/* Two integers of any type are equal. */
#define CHECK_EQ(expected, actual) \
    ((void)check_eq((intmax_t)(expected), (intmax_t)(actual), #actual, __FILE__, __LINE__))

/* Two strings are equal. */
#define CHECK_STR(expected, actual) \
    ((void)check_str((expected), (actual), #actual, __FILE__, __LINE__))

/* cond holds, or the function ends here. */
#define REQUIRE(cond)                                       \
    do {                                                    \
        if (!check_true((cond), #cond, __FILE__, __LINE__)) \
            return;                                         \
    } while (0)

/* Runs one test function and names it when it failed. */
#define RUN(test)                                        \
    do {                                                 \
        const int before = atomic_load(&check_failures); \
        test();                                          \
        if (atomic_load(&check_failures) != before)      \
            fprintf(stderr, "FAILED %s\n", #test);       \
    } while (0)

/* What main returns: 0 when every check held. */
static inline int check_result(void)
{
    return atomic_load(&check_failures) == 0 ? 0 : 1;
}

#endif
