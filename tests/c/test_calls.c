/* Calls under way: places are taken and given back, ends are told in their order. */
#include "calls.h"
#include "check.h"

static void test_places(void)
{
    fb_calls c;
    REQUIRE(fb_calls_init(&c, 2, 3, NULL) == FB_OK);
    CHECK_EQ(0, fb_calls_under_way(&c));
    const uint32_t first = fb_calls_take(&c);
    const uint32_t second = fb_calls_take(&c);
    CHECK(first != second && first < 2 && second < 2);
    CHECK_EQ(FB_CALLS_NONE, fb_calls_take(&c));
    CHECK_EQ(2, fb_calls_under_way(&c));
    fb_calls_give_back(&c, first);
    CHECK_EQ(first, fb_calls_take(&c));
    fb_calls_fini(&c);
}

/* A place that is taken anew knows nothing of the call before. */
static void test_a_place_is_taken_anew(void)
{
    fb_calls c;
    REQUIRE(fb_calls_init(&c, 1, 3, NULL) == FB_OK);
    fb_call *call = &c.calls[fb_calls_take(&c)];
    CHECK_EQ(FB_OK, fb_outq_push_mem(&call->body, "abc", 3));
    call->begin = call->end = 7;
    call->refused = true;
    fb_calls_give_back(&c, 0);
    CHECK_EQ(0, fb_calls_take(&c));
    CHECK(fb_outq_empty(&call->body) && call->body.pushed == 0);
    CHECK(call->begin == FB_CALLS_NOT_YET && call->end == FB_CALLS_NOT_YET && !call->refused);
    fb_calls_fini(&c);
}

/* Ends are told once each, in order, any number of times around the ring. */
static void test_ends(void)
{
    fb_calls c;
    uint32_t place;
    REQUIRE(fb_calls_init(&c, 3, 1, NULL) == FB_OK);
    for (uint32_t round = 0; round < 5; round++) {
        CHECK(!fb_calls_next_ended(&c, &place));
        fb_calls_end(&c, 2);
        fb_calls_end(&c, 0);
        CHECK(fb_calls_next_ended(&c, &place));
        CHECK_EQ(2, place);
        CHECK(fb_calls_next_ended(&c, &place));
        CHECK_EQ(0, place);
    }
    fb_calls_fini(&c);
}

static void test_reset(void)
{
    fb_calls c;
    uint32_t place;
    REQUIRE(fb_calls_init(&c, 2, 1, NULL) == FB_OK);
    fb_calls_end(&c, fb_calls_take(&c));
    c.greeted = c.leaves = c.answered = true;
    c.room = 9;
    fb_calls_reset(&c);
    CHECK_EQ(0, fb_calls_under_way(&c));
    CHECK(!fb_calls_next_ended(&c, &place));
    CHECK(!c.greeted && !c.leaves && !c.answered && c.room == 0);
    fb_calls_fini(&c);
}

int main(void)
{
    RUN(test_places);
    RUN(test_a_place_is_taken_anew);
    RUN(test_ends);
    RUN(test_reset);
    return check_result();
}
