/* What is found wrong with a reply of RESP: which of several findings counts, and its words. */
#include "check.h"
#include "resp_finding.h"

static const fb_resp_expect expected[] = {{'*', 2}, {'$', FB_RESP_ANY_LENGTH}, {':', 7}};
static const fb_resp_spec three = {.replies = 1, .expects = 3, .expect = expected};

static void check_found(const fb_resp_finding *f, fb_outcome outcome, const char *class,
                        const char *text)
{
    CHECK_EQ(outcome, fb_resp_outcome(f));
    CHECK_STR(class, f->error_class);
    CHECK_STR(text, f->error_text);
}

static void found_error(fb_resp_finding *f, const char *text)
{
    fb_resp_found_error(f, text, strlen(text));
}

/* An error counts by its first word, shows its first line, and has a class in any case. */
static void test_errors(void)
{
    static const struct {
        const char *said, *class, *text;
    } cases[] = {
        {"ERR no such key", "ERR", "ERR no such key"},
        {"OOM", "OOM", "OOM"},
        {"ERR a\tb\r\nmore", "ERR", "ERR a b"},
        {" odd", "ERR", " odd"},
        {"", "ERR", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fb_resp_finding f = {0};
        found_error(&f, cases[i].said);
        check_found(&f, FB_OUTCOME_ERROR, cases[i].class, cases[i].text);
    }
}

/* Words and texts that are too long are cut, not written past their ends. */
static void test_long_errors(void)
{
    char said[1000];
    fb_resp_finding f = {0};
    memset(said, 'E', sizeof said);
    fb_resp_found_error(&f, said, sizeof said);
    CHECK_EQ(sizeof f.error_text - 1, strlen(f.error_text));
    CHECK_EQ(sizeof f.error_class - 1, strlen(f.error_class));
}

/* The first error or time-out decides, and either outweighs what was not expected. */
static void test_weights(void)
{
    fb_resp_finding f = {0};
    fb_resp_found_unexpected(&f, &three, 0, '+', FB_RESP_NO_LENGTH);
    found_error(&f, "ERR first");
    found_error(&f, "OOM second");
    fb_resp_found_timeout(&f);
    fb_resp_found_unexpected(&f, &three, 0, '+', FB_RESP_NO_LENGTH);
    fb_resp_found_too_few(&f, &three, 1);
    check_found(&f, FB_OUTCOME_ERROR, "ERR", "ERR first");

    f = (fb_resp_finding){0};
    fb_resp_found_too_few(&f, &three, 1);
    fb_resp_found_timeout(&f);
    found_error(&f, "ERR late");
    check_found(&f, FB_OUTCOME_TIMEDOUT, "", "");
}

/* A difference says which element, what was expected there and what came; the first one counts. */
static void test_differences(void)
{
    fb_resp_finding f = {0};
    check_found(&f, FB_OUTCOME_OK, "", "");
    fb_resp_found_unexpected(&f, &three, 0, '*', 3);
    check_found(&f, FB_OUTCOME_ERROR, "UNEXPECTED",
                "UNEXPECTED element 1 of the reply: expected *2, got *3");
    fb_resp_found_unexpected(&f, &three, 1, '*', 3);
    CHECK_STR("UNEXPECTED element 1 of the reply: expected *2, got *3", f.error_text);

    f = (fb_resp_finding){0};
    fb_resp_found_unexpected(&f, &three, 1, ':', FB_RESP_NO_LENGTH);
    CHECK_STR("UNEXPECTED element 2 of the reply: expected $, got :", f.error_text);

    f = (fb_resp_finding){0}; /* an integer has no length */
    fb_resp_found_unexpected(&f, &three, 2, '$', 0);
    CHECK_STR("UNEXPECTED element 3 of the reply: expected :, got $0", f.error_text);
}

/* So do elements that are too many or too few. */
static void test_numbers_of_elements(void)
{
    fb_resp_finding f = {0};
    fb_resp_found_unexpected(&f, &three, 3, '$', -1);
    check_found(&f, FB_OUTCOME_ERROR, "UNEXPECTED",
                "UNEXPECTED element 4 of the reply: expected only 3, got $-1");

    f = (fb_resp_finding){0};
    fb_resp_found_too_few(&f, &three, 2);
    check_found(&f, FB_OUTCOME_ERROR, "UNEXPECTED",
                "UNEXPECTED end of the reply: expected 3 elements, got 2");
}

int main(void)
{
    RUN(test_errors);
    RUN(test_long_errors);
    RUN(test_weights);
    RUN(test_differences);
    RUN(test_numbers_of_elements);
    return check_result();
}
