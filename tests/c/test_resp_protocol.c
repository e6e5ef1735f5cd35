/* RESP behind the protocol seam: it feeds, and explains what was wrong where. */
#include "check.h"
#include "protocol.h"

#include <stdlib.h>

static const fb_message message = {.spec = {.replies = 2}};

static long feed(const fb_protocol *protocol, void *state, const char *bytes, fb_reply *reply)
{
    return protocol->feed(state, &message, (const uint8_t *)bytes, strlen(bytes), reply);
}

/* A message of two replies is complete with the second, and the next begins there. */
static void test_feeds_message_by_message(void)
{
    const fb_protocol *protocol = &fb_resp_protocol;
    void *state = calloc(1, protocol->state_bytes);
    REQUIRE(state != NULL);
    fb_reply reply;
    protocol->reset(state);
    CHECK_EQ(7, feed(protocol, state, "+OK\r\n+O", &reply));
    CHECK(!reply.done);
    CHECK_EQ(3, feed(protocol, state, "K\r\n-ERR x\r\n:1\r\n", &reply));
    CHECK(reply.done);
    CHECK_EQ(FB_OUTCOME_OK, reply.outcome);
    CHECK_EQ(12, feed(protocol, state, "-ERR x\r\n:1\r\n", &reply));
    CHECK(reply.done);
    CHECK_EQ(FB_OUTCOME_ERROR, reply.outcome);
    CHECK_STR("ERR", reply.error_class);
    free(state);
}

/* Bytes that are not RESP fail with their place; a reset makes the state new again. */
static void test_explains_and_resets(void)
{
    const fb_protocol *protocol = &fb_resp_protocol;
    void *state = calloc(1, protocol->state_bytes);
    REQUIRE(state != NULL);
    fb_reply reply;
    fb_error err = {0};
    protocol->reset(state);
    CHECK_EQ(FB_E_PROTOCOL, feed(protocol, state, "+OK\r\nHTTP/1.1", &reply));
    protocol->explain(state, &err);
    CHECK_EQ(FB_E_PROTOCOL, err.code);
    CHECK(strstr(err.text, "not RESP at byte 5") != NULL);
    protocol->reset(state);
    CHECK_EQ(8, feed(protocol, state, "+a\r\n+b\r\n", &reply));
    CHECK(reply.done);
    free(state);
}

int main(void)
{
    RUN(test_feeds_message_by_message);
    RUN(test_explains_and_resets);
    return check_result();
}
