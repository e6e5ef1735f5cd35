/* HTTP behind the protocol seam: it knows HEAD by the message, ends with the connection, explains.
 */
#include "check.h"
#include "protocol.h"

#include <stdlib.h>

static char post_text[] = "POST /x HTTP/1.1\r\n\r\n";
static char head_text[] = "HEAD /x HTTP/1.1\r\n\r\n";

static fb_message message(char *text)
{
    return (fb_message){.text = (uint8_t *)text, .text_max = (uint32_t)strlen(text)};
}

static long feed(void *state, char *sent, const char *bytes, fb_reply *reply)
{
    const fb_message m = message(sent);
    return fb_http_protocol.feed(state, &m, (const uint8_t *)bytes, strlen(bytes), reply);
}

static void *new_state(void)
{
    void *state = calloc(1, fb_http_protocol.state_bytes);
    if (state != NULL) {
        fb_http_protocol.reset(state);
    }
    return state;
}

/* The reply to HEAD has no body, to any other method it has. */
static void test_head_has_no_body(void)
{
    const char reply_head[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    void *state = new_state();
    REQUIRE(state != NULL);
    fb_reply reply;
    CHECK_EQ(sizeof reply_head - 1, feed(state, head_text, reply_head, &reply));
    CHECK(reply.done);
    CHECK_EQ(sizeof reply_head - 1, feed(state, post_text, reply_head, &reply));
    CHECK(!reply.done);
    CHECK_EQ(2, feed(state, post_text, "ab", &reply));
    CHECK(reply.done && !reply.last);
    free(state);
}

/* A body without a length ends with the connection, one with a length does not. */
static void test_end(void)
{
    void *state = new_state();
    REQUIRE(state != NULL);
    fb_reply reply;
    CHECK(feed(state, post_text, "HTTP/1.1 200 OK\r\n\r\nabc", &reply) > 0);
    CHECK(!reply.done);
    CHECK(fb_http_protocol.end(state, &reply));
    CHECK(reply.done && reply.last);
    fb_http_protocol.reset(state);
    CHECK(!fb_http_protocol.end(state, &reply));
    free(state);
}

/* Bytes that are not HTTP fail with their place; a reset makes the state new again. */
static void test_explains_and_resets(void)
{
    void *state = new_state();
    REQUIRE(state != NULL);
    fb_reply reply;
    fb_error err = {0};
    CHECK_EQ(FB_E_PROTOCOL, feed(state, post_text, "-ERR what?\r\n", &reply));
    fb_http_protocol.explain(state, &err);
    CHECK_EQ(FB_E_PROTOCOL, err.code);
    CHECK(strstr(err.text, "not HTTP/1.1 at byte 0") != NULL);
    fb_http_protocol.reset(state);
    CHECK(feed(state, post_text, "HTTP/1.1 204 No\r\n\r\n", &reply) > 0);
    CHECK(reply.done);
    free(state);
}

int main(void)
{
    RUN(test_head_has_no_body);
    RUN(test_end);
    RUN(test_explains_and_resets);
    return check_result();
}
