/* What fields say about a body and a connection, however they are spelt, and those that may not be.
 */
#include "check.h"
#include "http_framing.h"

/* Takes a field as its reader does. Returns what is wrong with it, NULL = nothing. */
static const char *take(fb_http_framing *f, const char *field, bool *frames)
{
    const size_t name = fb_http_token(field, strlen(field));
    CHECK_EQ(':', field[name]);
    return fb_http_framing_take(f, field, strlen(field), name, frames);
}

static void check_good(fb_http_framing *f, const char *field)
{
    bool frames = false;
    CHECK(take(f, field, &frames) == NULL);
    CHECK(frames);
}

/* A token ends before the first byte that may not be in one. */
static void test_tokens(void)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    CHECK_EQ(7, fb_http_token("Az09-_~: x", 10));
    CHECK_EQ(3, fb_http_token("GET /", 5));
    CHECK_EQ(2, fb_http_token("GET", 2));
    CHECK_EQ(0, fb_http_token("", 0));
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        const bool letter = ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z' && byte < 128);
        const bool due = letter || (byte >= '0' && byte <= '9') || (byte && strchr(marks, byte));
        CHECK_EQ(due, fb_http_token(&c, 1));
    }
}

/* A length is a number of bytes; said twice it must be the same. */
static void test_lengths(void)
{
    fb_http_framing f = {0};
    check_good(&f, "Content-Length: 17 ");
    CHECK(f.has_length);
    CHECK_EQ(17, f.length);
    check_good(&f, "CONTENT-LENGTH:\t017");
    bool frames = false;
    CHECK_STR("a second length", take(&f, "content-length: 18", &frames));
    CHECK_EQ(17, f.length);

    f = (fb_http_framing){0};
    check_good(&f, "content-length: 1099511627776");
    CHECK_EQ(FB_HTTP_MAX_BODY, f.length);
}

static void test_lengths_that_are_none(void)
{
    static const char *const fields[] = {
        "content-length:",     "content-length: -1", "content-length: 1a",
        "content-length: 1 2", "content-length: +1", "content-length: 10000000000000000000",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        fb_http_framing f = {0};
        bool frames = false;
        CHECK_STR("length is not a number", take(&f, fields[i], &frames));
        CHECK(!f.has_length);
    }
    fb_http_framing f = {0};
    bool frames = false;
    CHECK_STR("body is too long", take(&f, "content-length: 1099511627777", &frames));
}

/* Chunks frame a body when they are the last of its codings, on whatever line that stands. */
static void test_codings(void)
{
    fb_http_framing f = {0};
    check_good(&f, "Transfer-Encoding: gzip, Chunked");
    CHECK(f.coded && f.chunked);
    check_good(&f, "transfer-encoding: gzip");
    CHECK(f.coded && !f.chunked);
    check_good(&f, "transfer-encoding: , \tchunked ,,");
    CHECK(f.coded && f.chunked);

    f = (fb_http_framing){0};
    check_good(&f, "transfer-encoding: ,");
    CHECK(!f.coded && !f.chunked);
    check_good(&f, "transfer-encoding: chunkedx");
    CHECK(f.coded && !f.chunked);
}

/* A connection's options add up. */
static void test_options(void)
{
    fb_http_framing f = {0};
    check_good(&f, "Connection: Keep-Alive, x");
    CHECK(f.keep && !f.close);
    check_good(&f, "connection: upgrade ,CLOSE");
    CHECK(f.keep && f.close);
}

/* All other fields say nothing, even those with names that are almost the same. */
static void test_other_fields(void)
{
    static const char *const fields[] = {"content-lengt: 1", "content-length2: 1", "te: chunked",
                                         "x-connection: close", "connections: close"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        fb_http_framing f = {0};
        bool frames = true;
        CHECK(take(&f, fields[i], &frames) == NULL);
        CHECK(!frames);
        CHECK(!f.has_length && !f.coded && !f.chunked && !f.close && !f.keep);
    }
}

int main(void)
{
    RUN(test_tokens);
    RUN(test_lengths);
    RUN(test_lengths_that_are_none);
    RUN(test_codings);
    RUN(test_options);
    RUN(test_other_fields);
    return check_result();
}
