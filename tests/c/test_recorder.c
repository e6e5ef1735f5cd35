/* Intervals change hands without locks: nothing recorded is lost or seen twice. */
#include "check.h"
#include "recorder.h"

#include <pthread.h>
#include <stdlib.h>

/* A full interval is offered once; giving it back makes room for the next. */
static void test_hands_over_in_order(void)
{
    fb_recorder r = {0};
    REQUIRE(fb_recorder_init(&r, NULL) == FB_OK);
    fb_recorder_clear(&r);
    r.active->ok = 3;
    fb_hist_record(&r.active->response, 1000);
    CHECK(fb_recorder_offer(&r) == NULL);
    fb_recorder_rotate(&r, 0);
    CHECK(fb_recorder_offer(&r) == NULL);
    fb_recorder_rotate(&r, 1);
    const fb_interval *offer = fb_recorder_offer(&r);
    REQUIRE(offer != NULL);
    CHECK_EQ(0, offer->index);
    CHECK_EQ(3, offer->ok);
    CHECK_EQ(1, offer->response.total);
    CHECK_EQ(1, r.active->index);
    CHECK_EQ(0, r.active->ok);
    fb_recorder_give_back(&r);
    CHECK(fb_recorder_offer(&r) == NULL);
    fb_recorder_fini(&r);
}

/* While the reader keeps one interval, the other grows instead of losing anything. */
static void test_slow_reader_makes_intervals_grow(void)
{
    fb_recorder r = {0};
    REQUIRE(fb_recorder_init(&r, NULL) == FB_OK);
    fb_recorder_clear(&r);
    for (uint64_t i = 0; i < 10; i++) {
        fb_recorder_rotate(&r, i);
        r.active->ok++;
    }
    REQUIRE(fb_recorder_offer(&r) != NULL);
    CHECK_EQ(1, fb_recorder_offer(&r)->ok);
    fb_recorder_give_back(&r);
    fb_recorder_rotate(&r, 10);
    REQUIRE(fb_recorder_offer(&r) != NULL);
    CHECK_EQ(1, fb_recorder_offer(&r)->index);
    CHECK_EQ(9, fb_recorder_offer(&r)->ok);
    CHECK_EQ(10, r.active->index);
    fb_recorder_fini(&r);
}

/* At the end, what was last filled is offered exactly once. */
static void test_finish_offers_the_rest_once(void)
{
    fb_recorder r = {0};
    REQUIRE(fb_recorder_init(&r, NULL) == FB_OK);
    fb_recorder_clear(&r);
    r.active->lost = 2;
    CHECK(fb_recorder_finish(&r));
    REQUIRE(fb_recorder_offer(&r) != NULL);
    CHECK_EQ(2, fb_recorder_offer(&r)->lost);
    fb_recorder_give_back(&r);
    CHECK(!fb_recorder_finish(&r));
    CHECK(fb_recorder_offer(&r) == NULL);
    fb_recorder_fini(&r);
}

/* A recorder whose thread never ran is empty, not random. */
static void test_unused_is_empty(void)
{
    fb_recorder r = {0};
    REQUIRE(fb_recorder_init(&r, NULL) == FB_OK);
    CHECK(fb_recorder_finish(&r));
    CHECK_EQ(0, fb_recorder_offer(&r)->ok);
    CHECK_EQ(0, fb_recorder_offer(&r)->response.total);
    CHECK_EQ(0, fb_recorder_offer(&r)->index);
    fb_recorder_fini(&r);
}

/* Adding two intervals adds every count and every histogram. */
static void test_add(void)
{
    fb_interval *a = malloc(sizeof *a);
    fb_interval *b = malloc(sizeof *b);
    REQUIRE(a != NULL && b != NULL);
    fb_interval_clear(a, 4);
    fb_interval_clear(b, 9);
    a->ok = b->ok = 1;
    b->errors = 2;
    b->timeouts = 3;
    b->lost = 4;
    fb_hist_record(&b->response, 100);
    fb_hist_record(&b->service, 200);
    fb_hist_record(&b->lag, 300);
    fb_interval_add(a, b);
    CHECK_EQ(4, a->index);
    CHECK_EQ(2, a->ok);
    CHECK_EQ(2, a->errors);
    CHECK_EQ(3, a->timeouts);
    CHECK_EQ(4, a->lost);
    CHECK_EQ(100, a->response.max_ns);
    CHECK_EQ(200, a->service.max_ns);
    CHECK_EQ(300, a->lag.max_ns);
    free(a);
    free(b);
}

#define RECORDS 200000

static void *record_many(void *arg)
{
    fb_recorder *r = arg;
    for (uint64_t i = 0; i < RECORDS; i++) {
        fb_recorder_rotate(r, i / 100);
        r->active->ok++;
        fb_hist_record(&r->active->service, i);
    }
    return NULL;
}

/* One thread records, another takes: the sums are those of all records, in rising order. */
static void test_two_threads(void)
{
    fb_recorder r = {0};
    REQUIRE(fb_recorder_init(&r, NULL) == FB_OK);
    fb_recorder_clear(&r);
    pthread_t writer;
    REQUIRE(pthread_create(&writer, NULL, record_many, &r) == 0);
    uint64_t ok = 0;
    uint64_t recorded = 0;
    uint64_t last = 0;
    double sum = 0;
    bool joined = false;
    for (;;) {
        const fb_interval *offer = fb_recorder_offer(&r);
        if (offer) {
            CHECK(offer->index >= last);
            last = offer->index;
            ok += offer->ok;
            recorded += offer->service.total;
            sum += offer->service.sum_ns;
            fb_recorder_give_back(&r);
        } else if (joined && !fb_recorder_finish(&r)) {
            break;
        } else if (!joined && ok > RECORDS / 2) {
            CHECK_EQ(0, pthread_join(writer, NULL));
            joined = true;
        } else if (!joined) {
            /* The writer may be through already, with nothing on offer any more. */
            joined = pthread_tryjoin_np(writer, NULL) == 0;
        }
    }
    CHECK_EQ(RECORDS, ok);
    CHECK_EQ(RECORDS, recorded);
    CHECK(sum == (double)RECORDS * (RECORDS - 1) / 2);
    fb_recorder_fini(&r);
}

int main(void)
{
    RUN(test_hands_over_in_order);
    RUN(test_slow_reader_makes_intervals_grow);
    RUN(test_finish_offers_the_rest_once);
    RUN(test_unused_is_empty);
    RUN(test_add);
    RUN(test_two_threads);
    return check_result();
}
