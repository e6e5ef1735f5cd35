/* The string of a reply is kept whole however it is cut, and what is no string is an error. */
#include "check.h"
#include "resp_body.h"

#include <stdlib.h>

typedef struct kept {
    fb_reply reply;
    fb_body body;
    uint8_t bytes[64];
    size_t consumed;
} kept;

static const fb_resp_spec one = {.replies = 1};

/* Feeds text cut at `cut` (none when that is 0); stops where the reply does. */
static void read_cut(kept *k, fb_resp_reader *r, const char *text, size_t cut)
{
    const size_t len = strlen(text);
    *k = (kept){0};
    k->body = (fb_body){.bytes = k->bytes, .room = sizeof k->bytes};
    if (cut > 0) {
        k->consumed =
            (size_t)fb_resp_body_feed(r, &one, &k->body, (const uint8_t *)text, cut, &k->reply);
    }
    if (!k->reply.done) {
        k->consumed += (size_t)fb_resp_body_feed(r, &one, &k->body, (const uint8_t *)text + cut,
                                                 len - cut, &k->reply);
    }
}

/* Each of these is a string, with the bytes it must be found to have. */
static void test_strings_cut_everywhere(void)
{
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"$5\r\nhello\r\n", "hello"},
        {"$0\r\n\r\n", ""},
        {"$12\r\na\r\nb\n$3\r\nxyz\r\n", "a\r\nb\n$3\r\nxyz"},
        {">2\r\n$4\r\npush\r\n$1\r\nx\r\n$2\r\nok\r\n", "ok"}, /* RESP3: a push comes before */
        {"|1\r\n$1\r\nk\r\n$1\r\nv\r\n$3\r\nabc\r\n", "abc"},  /* and an attribute */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t cut = 0; cut < strlen(cases[i].text); cut++) {
            kept k;
            fb_resp_reader r;
            fb_resp_init(&r);
            read_cut(&k, &r, cases[i].text, cut);
            CHECK(k.reply.done);
            CHECK_EQ(FB_OUTCOME_OK, k.reply.outcome);
            CHECK_EQ(strlen(cases[i].text), k.consumed);
            CHECK_EQ(strlen(cases[i].value), k.body.len);
            CHECK(memcmp(cases[i].value, k.bytes, strlen(cases[i].value)) == 0);
        }
    }
}

/* Nothing, another type, and what the server calls an error, however they are cut. */
static void test_what_is_no_string(void)
{
    static const struct {
        const char *text, *class;
    } cases[] = {
        {"$-1\r\n", "NIL"},
        {"_\r\n", "NIL"},
        {"+OK\r\n", "UNEXPECTED"},
        {":1\r\n", "UNEXPECTED"},
        {"*1\r\n$1\r\nx\r\n", "UNEXPECTED"},
        {"-WRONGTYPE not this\r\n", "WRONGTYPE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t cut = 0; cut < strlen(cases[i].text); cut++) {
            kept k;
            fb_resp_reader r;
            fb_resp_init(&r);
            read_cut(&k, &r, "_\r\n", 0); /* what came before must not matter */
            read_cut(&k, &r, cases[i].text, cut);
            CHECK(k.reply.done);
            CHECK_EQ(FB_OUTCOME_ERROR, k.reply.outcome);
            CHECK_STR(cases[i].class, k.reply.error_class);
            CHECK(!k.body.found);
        }
    }
}

/* The bytes behind a reply belong to the next one; what has no room is counted, not written. */
static void test_ends_and_limits(void)
{
    kept k;
    fb_resp_reader r;
    fb_resp_init(&r);
    read_cut(&k, &r, "$2\r\nab\r\n$2\r\ncd\r\n", 0);
    CHECK_EQ(8, k.consumed);
    CHECK_EQ(2, k.body.len);
    k.body = (fb_body){.bytes = k.bytes, .room = 3};
    memset(k.bytes, '.', sizeof k.bytes);
    CHECK_EQ(14, fb_resp_body_feed(&r, &one, &k.body, (const uint8_t *)"$8\r\nabcdefgh\r\n", 14,
                                   &k.reply));
    CHECK(k.reply.done);
    CHECK_EQ(8, k.body.len);
    CHECK(memcmp(k.bytes, "abc.", 4) == 0);
}

/* Bytes that are not RESP break the reader. */
static void test_not_resp(void)
{
    fb_reply reply;
    fb_resp_reader r;
    fb_body body = {0};
    fb_resp_init(&r);
    CHECK_EQ(FB_E_PROTOCOL,
             fb_resp_body_feed(&r, &one, &body, (const uint8_t *)"HTTP/1.1\r\n", 10, &reply));
}

int main(void)
{
    RUN(test_strings_cut_everywhere);
    RUN(test_what_is_no_string);
    RUN(test_ends_and_limits);
    RUN(test_not_resp);
    return check_result();
}
