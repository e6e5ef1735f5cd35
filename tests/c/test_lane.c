/* The books of one thread's share: what is admitted, which rows, and how each inference ended. */
#include "check.h"
#include "lane.h"
#include "load.h"

#define BEGIN UINT64_C(1000000000)
#define MS FB_NS_PER_MS

static const fb_reply ok_reply = {true, FB_OUTCOME_OK, "", "", false, false};
static const fb_reply timed_out_reply = {true, FB_OUTCOME_TIMEDOUT, "", "", false, false};

typedef struct rig {
    load load;
    fb_stream stream;
    fb_shared shared;
    fb_lane lane;
} rig;

/* Answers it, and has that recorded at once. */
static void answered(fb_lane *lane, const fb_slot *slot, const fb_reply *reply, uint64_t now_ns)
{
    fb_lane_replied(lane, slot, reply, now_ns);
    fb_lane_settle(lane);
}

/* One lane of `share` whose load begins at BEGIN; settings come from the caller's rig. */
static bool rig_begin(rig *r, uint32_t index, uint32_t share)
{
    r->load.config.threads = share;
    if (fb_stream_init(&r->stream, &r->load.stream, NULL) != FB_OK ||
        fb_lane_init(&r->lane, &r->stream, &r->load.config, &r->shared, index, NULL) != FB_OK) {
        return false;
    }
    fb_recorder_clear(&r->lane.recorder);
    fb_lane_begin(&r->lane, BEGIN);
    return true;
}

static void rig_close(rig *r)
{
    fb_lane_fini(&r->lane);
    fb_stream_fini(&r->stream);
}

static void rig_init(rig *r)
{
    *r = (rig){0};
    load_init(&r->load, "127.0.0.1", 1);
}

/* Shares of requests and connections add up to the whole, and connections are numbered on. */
static void test_shares_add_up(void)
{
    for (uint32_t share = 1; share <= 7; share++) {
        uint64_t requests = 0;
        uint64_t connections = 0;
        for (uint32_t i = 0; i < share; i++) {
            rig r;
            rig_init(&r);
            r.load.config.requests = 1000 + share;
            r.load.stream.connections = 10;
            REQUIRE(rig_begin(&r, i, share));
            CHECK_EQ(connections, r.lane.first_connection);
            requests += r.lane.quota;
            connections += r.lane.connections;
            rig_close(&r);
        }
        CHECK_EQ(1000 + share, requests);
        CHECK_EQ(10, connections);
    }
}

/* Admits all of one lane's requests and counts which rows they take and what its sequence gives. */
static void take_all(rig *r, uint32_t *rows, uint32_t *drawn)
{
    fb_slot slot;
    fb_source *source = &r->lane.source;
    while (fb_lane_admit(&r->lane, BEGIN, &slot)) {
        rows[slot.group]++;
        drawn[fb_keys_next(source->keys, &source->random, source->positions)]++;
    }
}

/* As many requests as rows take each row once, whatever the number of threads; so do sequences. */
static void test_each_row_once(void)
{
    enum { ROWS = 17 };
    static const uint8_t bytes[ROWS];
    const fb_data data = {.fd = -1, .row_bytes = 1, .rows = ROWS, .base = bytes};
    const fb_part parts[] = {load_text("x"), {.kind = FB_PART_PAYLOAD, .rows = 1}};
    const fb_keys_config sequence = {.kind = FB_KEYS_SEQUENCE, .low = 0, .high = ROWS - 1};
    for (uint32_t share = 1; share <= ROWS + 3; share++) {
        uint32_t seen[ROWS] = {0};
        uint32_t drawn[ROWS] = {0};
        for (uint32_t i = 0; i < share; i++) {
            rig r;
            rig_init(&r);
            r.load.config.requests = ROWS;
            r.load.stream.connections = share;
            r.load.message.parts = parts;
            r.load.message.n_parts = 2;
            r.load.stream.data = &data;
            r.load.stream.n_data = 1;
            r.load.stream.keys = &sequence;
            r.load.stream.n_keys = 1;
            REQUIRE(rig_begin(&r, i, share));
            take_all(&r, seen, drawn);
            rig_close(&r);
        }
        for (uint32_t k = 0; k < ROWS; k++) {
            CHECK_EQ(1, seen[k]);
            CHECK_EQ(1, drawn[k]);
        }
    }
}

/* By requests: warm-up is admitted unmeasured, then exactly the quota, then nothing. */
static void test_admits_by_number(void)
{
    rig r;
    fb_slot slot;
    rig_init(&r);
    r.load.config.requests = 3;
    r.load.config.warmup_ns = 10 * MS;
    REQUIRE(rig_begin(&r, 0, 1));
    for (int i = 0; i < 5; i++) {
        CHECK(fb_lane_admit(&r.lane, BEGIN + 10 * MS - 1, &slot));
        CHECK_EQ(0, slot.flags);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(!fb_lane_finished(&r.lane, BEGIN + 20 * MS));
        CHECK(fb_lane_admit(&r.lane, BEGIN + 10 * MS, &slot));
        CHECK_EQ(FB_SLOT_MEASURED, slot.flags);
    }
    CHECK(!fb_lane_admit(&r.lane, BEGIN + 10 * MS, &slot));
    CHECK_EQ(3, r.lane.counts.intended);
    CHECK(!fb_lane_finished(&r.lane, BEGIN + 20 * MS));
    rig_close(&r);
}

/* By duration: measured is what is intended in [begin, end); before and after is only load. */
static void test_admits_by_time(void)
{
    rig r;
    fb_slot slot;
    rig_init(&r);
    r.load.config.requests = 0;
    r.load.config.warmup_ns = 10 * MS;
    r.load.config.duration_ns = 5 * MS;
    REQUIRE(rig_begin(&r, 0, 1));
    const uint64_t instants[] = {BEGIN,           BEGIN + 10 * MS - 1,
                                 BEGIN + 10 * MS, BEGIN + 15 * MS - 1,
                                 BEGIN + 15 * MS, BEGIN + 90 * MS};
    const bool measured[] = {false, false, true, true, false, false};
    for (int i = 0; i < 6; i++) {
        CHECK(fb_lane_admit(&r.lane, instants[i], &slot));
        CHECK_EQ(measured[i], (slot.flags & FB_SLOT_MEASURED) != 0);
        CHECK_EQ(instants[i], slot.intended_ns);
    }
    CHECK_EQ(2, r.lane.counts.intended);
    CHECK(!fb_lane_finished(&r.lane, BEGIN + 100 * MS)); /* two are open */
    rig_close(&r);
}

/* Sends one measured inference, intended at BEGIN and sent 1 ms later. */
static fb_slot sent(rig *r)
{
    fb_slot slot;
    CHECK(fb_lane_admit(&r->lane, BEGIN, &slot));
    slot.sent_ns = BEGIN + MS;
    fb_lane_sent(&r->lane, &slot);
    return slot;
}

/* Each outcome goes into its own column, its interval and, only for a success, the histograms. */
static void test_outcomes(void)
{
    rig r;
    rig_init(&r);
    REQUIRE(rig_begin(&r, 0, 1));
    const fb_interval *now = r.lane.recorder.active;
    fb_slot slot = sent(&r);
    answered(&r.lane, &slot, &ok_reply, BEGIN + 4 * MS);
    CHECK_EQ(4 * MS, now->response.max_ns);
    CHECK_EQ(3 * MS, now->service.max_ns);
    CHECK_EQ(0, now->lag.total);
    slot = sent(&r);
    answered(&r.lane, &slot, &timed_out_reply, BEGIN + 5 * MS);
    slot = sent(&r);
    answered(&r.lane, &slot, &(fb_reply){true, FB_OUTCOME_ERROR, "ERR", "ERR no", false, false},
             BEGIN + 6 * MS);
    slot = sent(&r);
    fb_lane_lost(&r.lane, &slot, BEGIN + 7 * MS);
    slot = sent(&r);
    fb_lane_timed_out(&r.lane, &slot, BEGIN + 8 * MS);
    slot = sent(&r);
    fb_lane_abandoned(&r.lane, &slot, true);
    CHECK(fb_lane_admit(&r.lane, BEGIN, &slot));
    fb_lane_abandoned(&r.lane, &slot, false);
    const fb_counts c = r.lane.counts;
    CHECK_EQ(7, c.intended);
    CHECK_EQ(6, c.sent);
    CHECK_EQ(1, c.ok);
    CHECK_EQ(2, c.timeouts);
    CHECK_EQ(1, c.errors);
    CHECK_EQ(1, c.lost);
    CHECK_EQ(1, c.unfinished);
    CHECK_EQ(1, c.never_sent);
    CHECK_EQ(1, now->ok);
    CHECK_EQ(2, now->timeouts);
    CHECK_EQ(1, now->errors);
    CHECK_EQ(1, now->lost);
    CHECK_EQ(1, now->response.total);
    CHECK_EQ(1, now->service.total);
    CHECK_EQ(0, r.lane.open);
    CHECK_EQ(BEGIN + 8 * MS, r.lane.last_end_ns);
    CHECK_EQ(4, atomic_load(&r.shared.failures));
    rig_close(&r);
}

/* After a time-out only one more thing can happen, and it changes nothing but `late`. */
static void test_after_a_timeout(void)
{
    rig r;
    rig_init(&r);
    REQUIRE(rig_begin(&r, 0, 1));
    for (int i = 0; i < 3; i++) {
        fb_slot slot = sent(&r);
        fb_lane_timed_out(&r.lane, &slot, BEGIN + 2 * MS);
        if (i == 0) {
            answered(&r.lane, &slot, &ok_reply, BEGIN + 3 * MS);
        } else if (i == 1) {
            fb_lane_lost(&r.lane, &slot, BEGIN + 3 * MS);
        } else {
            fb_lane_abandoned(&r.lane, &slot, true);
        }
    }
    const fb_counts c = r.lane.counts;
    CHECK_EQ(3, c.timeouts);
    CHECK_EQ(0, c.ok + c.lost + c.unfinished);
    CHECK_EQ(1, r.lane.late);
    CHECK_EQ(0, r.lane.open);
    CHECK_EQ(0, r.lane.recorder.active->response.total);
    rig_close(&r);
}

/* What was intended in warm-up leaves no trace, however it ends. */
static void test_warm_up_leaves_no_trace(void)
{
    rig r;
    rig_init(&r);
    r.load.config.warmup_ns = 10 * MS;
    REQUIRE(rig_begin(&r, 0, 1));
    for (int i = 0; i < 4; i++) {
        fb_slot slot = sent(&r);
        if (i == 0) {
            answered(&r.lane, &slot, &ok_reply, BEGIN + 50 * MS);
        } else if (i == 1) {
            fb_lane_lost(&r.lane, &slot, BEGIN + 50 * MS);
        } else if (i == 2) {
            fb_lane_timed_out(&r.lane, &slot, BEGIN + 50 * MS);
        } else {
            fb_lane_abandoned(&r.lane, &slot, true);
        }
    }
    const fb_counts zero = {0};
    CHECK_EQ(0, memcmp(&zero, &r.lane.counts, sizeof zero));
    CHECK_EQ(0, r.lane.recorder.active->response.total);
    CHECK_EQ(0, r.lane.recorder.active->timeouts + r.lane.recorder.active->lost);
    CHECK_EQ(0, r.lane.last_end_ns);
    rig_close(&r);
}

/* In an open loop the lag of sending is recorded; response time holds it, service time not. */
static void test_lag(void)
{
    rig r;
    rig_init(&r);
    const fb_rate rate = {1000, 1000, 0};
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
    r.load.stream.max_outstanding = 10;
    REQUIRE(rig_begin(&r, 0, 1));
    const fb_slot slot = sent(&r);
    answered(&r.lane, &slot, &ok_reply, BEGIN + 4 * MS);
    CHECK_EQ(MS, r.lane.recorder.active->lag.max_ns);
    CHECK_EQ(4 * MS, r.lane.recorder.active->response.max_ns);
    rig_close(&r);
}

/* Successes alike are recorded together, each as often as it was; one that differs is kept apart.
 */
static void test_runs(void)
{
    rig r;
    rig_init(&r);
    REQUIRE(rig_begin(&r, 0, 1));
    const fb_interval *now = r.lane.recorder.active;
    const uint64_t received[] = {4, 4, 4, 5, 5, 4};
    for (int i = 0; i < 6; i++) {
        const fb_slot slot = sent(&r);
        fb_lane_replied(&r.lane, &slot, &ok_reply, BEGIN + received[i] * MS);
    }
    CHECK_EQ(5, r.lane.counts.ok);
    fb_lane_settle(&r.lane);
    fb_lane_settle(&r.lane); /* nothing twice */
    CHECK_EQ(6, r.lane.counts.ok);
    CHECK_EQ(6, now->ok);
    CHECK_EQ(6, atomic_load(&r.lane.completed));
    CHECK_EQ(0, r.lane.open);
    CHECK_EQ(6, now->response.total);
    CHECK_EQ(4, now->response.counts[fb_hist_index(4 * MS)]);
    CHECK_EQ(2, now->response.counts[fb_hist_index(5 * MS)]);
    CHECK(now->response.sum_ns == 26.0 * (double)MS);
    CHECK_EQ(6, now->service.total);
    CHECK_EQ(BEGIN + 5 * MS, r.lane.last_end_ns);
    rig_close(&r);
}

/* Error classes are told apart up to a limit; beyond it they are still counted. */
static void test_error_classes(void)
{
    rig r;
    uint64_t sum = 0;
    rig_init(&r);
    r.load.config.requests = 1000;
    REQUIRE(rig_begin(&r, 0, 1));
    for (int i = 0; i < 200; i++) {
        char name[FB_ERROR_CLASS_MAX];
        (void)snprintf(name, sizeof name, "C%d", i % 100);
        const fb_slot slot = sent(&r);
        answered(&r.lane, &slot, &(fb_reply){true, FB_OUTCOME_ERROR, name, "text", false, false},
                 BEGIN);
    }
    for (int i = 0; i < FB_LANE_ERROR_CLASSES; i++) {
        sum += r.lane.classes[i].count;
    }
    CHECK_EQ(200, sum);
    CHECK_STR("C0", r.lane.classes[0].name);
    CHECK_EQ(2, r.lane.classes[0].count);
    CHECK_STR(FB_LANE_OTHER_ERRORS, r.lane.classes[FB_LANE_ERROR_CLASSES - 1].name);
    rig_close(&r);
}

/* Threads begin at different rows, and each walks through all of them and around. */
static void test_rows(void)
{
    static const uint8_t bytes[100];
    const fb_data data = {.fd = -1, .row_bytes = 1, .rows = 20, .base = bytes};
    const fb_part parts[2] = {load_text("x"), {.kind = FB_PART_PAYLOAD, .rows = 2}};
    const uint64_t begins[] = {0, 4, 7};
    for (uint32_t index = 0; index < 3; index++) {
        rig r;
        fb_slot slot;
        rig_init(&r);
        r.load.config.requests = 1000;
        r.load.stream.data = &data;
        r.load.stream.n_data = 1;
        r.load.message.parts = parts;
        r.load.message.n_parts = 2;
        r.load.stream.connections = 3;
        REQUIRE(rig_begin(&r, index, 3));
        for (uint64_t i = 0; i < 25; i++) {
            CHECK(fb_lane_admit(&r.lane, BEGIN, &slot));
            CHECK_EQ((begins[index] + i) % 10, slot.group);
        }
        rig_close(&r);
    }
}

/* Messages come in the order of the pattern, over and over. */
static void test_pattern(void)
{
    const uint8_t pattern[] = {1, 0, 0};
    rig r;
    fb_slot slot;
    rig_init(&r);
    const fb_message_config two[] = {r.load.message, r.load.message};
    r.load.stream.messages = two;
    r.load.stream.n_messages = 2;
    r.load.stream.pattern = pattern;
    r.load.stream.n_pattern = 3;
    REQUIRE(rig_begin(&r, 0, 1));
    for (int i = 0; i < 10; i++) {
        CHECK(fb_lane_admit(&r.lane, BEGIN, &slot));
        CHECK_EQ(pattern[i % 3], slot.message);
    }
    rig_close(&r);
}

/* Open loop: a late thread is not finished before it has taken up all that was due in measure. */
static void test_late_thread_has_more_to_intend(void)
{
    rig r;
    fb_slot slot;
    const fb_rate rate = {.from_per_s = 100, .to_per_s = 100};
    rig_init(&r);
    r.load.config.requests = 0;
    r.load.config.duration_ns = 100 * MS;
    r.load.stream.max_outstanding = 1;
    r.load.stream.schedule =
        (fb_schedule){.arrivals = FB_ARRIVALS_CONSTANT, .rates = &rate, .n_rates = 1};
    REQUIRE(rig_begin(&r, 0, 1));
    while (fb_pacer_due(&r.lane.pacer) < BEGIN + 100 * MS) {
        CHECK(!fb_lane_finished(&r.lane, BEGIN + 200 * MS));
        CHECK(fb_lane_admit(&r.lane, fb_pacer_due(&r.lane.pacer), &slot));
        fb_pacer_advance(&r.lane.pacer);
        fb_lane_sent(&r.lane, &slot);
        fb_lane_lost(&r.lane, &slot, BEGIN + 150 * MS);
    }
    CHECK(r.lane.counts.intended > 0);
    CHECK(fb_lane_finished(&r.lane, BEGIN + 200 * MS));
    rig_close(&r);
}

/* Streams of a run are due at different instants, draw different numbers, and count connections. */
static void test_streams_are_apart(void)
{
    rig r[2];
    const fb_rate rate = {.from_per_s = 100, .to_per_s = 100};
    uint64_t due[2];
    for (uint32_t i = 0; i < 2; i++) {
        rig_init(&r[i]);
        r[i].load.stream.max_outstanding = 1;
        r[i].load.stream.schedule =
            (fb_schedule){.arrivals = FB_ARRIVALS_POISSON, .rates = &rate, .n_rates = 1};
        r[i].load.config.threads = 1;
        REQUIRE(fb_stream_init(&r[i].stream, &r[i].load.stream, NULL) == FB_OK);
        r[i].stream.index = i;
        r[i].stream.first_connection = i * 7;
        REQUIRE(fb_lane_init(&r[i].lane, &r[i].stream, &r[i].load.config, &r[i].shared, 0, NULL) ==
                FB_OK);
        fb_lane_begin(&r[i].lane, BEGIN);
        due[i] = fb_pacer_due(&r[i].lane.pacer);
        CHECK_EQ(i * 7, r[i].lane.first_connection);
    }
    CHECK(due[0] != due[1]);
    CHECK(fb_random_next(&r[0].lane.source.random) != fb_random_next(&r[1].lane.source.random));
    rig_close(&r[0]);
    rig_close(&r[1]);
}

/* Returns how many of n inferences are kept, and checks that they lie evenly. */
static uint32_t count_captures(uint32_t requests, uint32_t captures)
{
    rig r;
    fb_slot slot;
    uint32_t kept = 0;
    uint32_t last = 0;
    rig_init(&r);
    r.load.config.requests = requests;
    r.load.config.captures = captures;
    r.load.config.capture_bytes = 10;
    CHECK(rig_begin(&r, 0, 1));
    for (uint32_t i = 0; fb_lane_admit(&r.lane, BEGIN, &slot); i++) {
        if (slot.flags & FB_SLOT_CAPTURE) {
            CHECK_EQ(kept, slot.capture);
            CHECK(kept == 0 || i - last <= requests / captures + 2);
            last = i;
            kept++;
        }
    }
    CHECK(requests == 0 || requests - last <= requests / captures + 2);
    rig_close(&r);
    return kept;
}

/* By number, kept replies are spread over all of them; there are never more than replies. */
static void test_captures_by_number(void)
{
    CHECK_EQ(3, count_captures(10, 3));
    CHECK_EQ(10, count_captures(1000, 10));
    CHECK_EQ(7, count_captures(1000, 7));
    CHECK_EQ(5, count_captures(5, 5));
    CHECK_EQ(4, count_captures(4, 9));
    CHECK_EQ(1, count_captures(1, 1));
}

/* All are kept while there is room; what was taken makes room again, and what ended badly is no
 * answer. */
static void test_captures_of_all(void)
{
    rig r;
    fb_slot slots[4];
    fb_capture taken;
    uint8_t bytes[4];
    rig_init(&r);
    r.load.config.requests = 100;
    r.load.config.captures = FB_CAPTURE_ALL;
    r.load.config.capture_room = 3;
    r.load.config.capture_bytes = 4;
    REQUIRE(rig_begin(&r, 0, 1));
    for (int i = 0; i < 4; i++) {
        REQUIRE(fb_lane_admit(&r.lane, BEGIN, &slots[i]));
        CHECK_EQ(i < 3, (slots[i].flags & FB_SLOT_CAPTURE) != 0);
        fb_lane_sent(&r.lane, &slots[i]);
    }
    CHECK(!fb_lane_take_capture(&r.lane, bytes, &taken)); /* none has ended */
    fb_lane_capture(&r.lane, &slots[1], (const uint8_t *)"abcd", 4, true);
    answered(&r.lane, &slots[1], &ok_reply, BEGIN);
    fb_lane_lost(&r.lane, &slots[2], BEGIN);
    REQUIRE(fb_lane_take_capture(&r.lane, bytes, &taken));
    CHECK(taken.whole);
    CHECK_EQ(0, memcmp("abcd", taken.bytes, 4));
    REQUIRE(fb_lane_take_capture(&r.lane, bytes, &taken));
    CHECK(!taken.whole);
    CHECK(!fb_lane_take_capture(&r.lane, bytes, &taken));
    REQUIRE(fb_lane_admit(&r.lane, BEGIN, &slots[1]));
    REQUIRE(fb_lane_admit(&r.lane, BEGIN, &slots[2]));
    CHECK_EQ(1, slots[1].capture);
    CHECK_EQ(2, slots[2].capture);
    REQUIRE(fb_lane_admit(&r.lane, BEGIN, &slots[3]));
    CHECK(!(slots[3].flags & FB_SLOT_CAPTURE)); /* the first one still waits for its reply */
    rig_close(&r);
}

/* By duration, they are spread over time. */
static void test_captures_by_time(void)
{
    rig r;
    fb_slot slot;
    uint32_t kept[4] = {0};
    rig_init(&r);
    r.load.config.requests = 0;
    r.load.config.duration_ns = 400 * MS;
    r.load.config.captures = 8;
    REQUIRE(rig_begin(&r, 0, 1));
    for (uint64_t at = 0; at < 400; at++) {
        CHECK(fb_lane_admit(&r.lane, BEGIN + at * MS, &slot));
        kept[at / 100] += (slot.flags & FB_SLOT_CAPTURE) != 0;
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(2, kept[i]);
    }
    rig_close(&r);
}

/* A kept reply is whole when all of it fits; more than its room is never written. */
static void test_capture_bytes(void)
{
    rig r;
    rig_init(&r);
    r.load.config.captures = 2;
    r.load.config.capture_bytes = 6;
    r.load.config.requests = 2;
    REQUIRE(rig_begin(&r, 0, 1));
    const fb_slot first = sent(&r);
    const fb_slot second = sent(&r);
    fb_lane_capture(&r.lane, &first, (const uint8_t *)"abcd", 4, false);
    CHECK(!r.lane.captures[0].whole);
    fb_lane_capture(&r.lane, &second, (const uint8_t *)"12345678", 8, true);
    fb_lane_capture(&r.lane, &first, (const uint8_t *)"ef", 2, true);
    CHECK(r.lane.captures[0].whole);
    CHECK(!r.lane.captures[1].whole);
    CHECK_EQ(6, r.lane.captures[0].len);
    CHECK_EQ(6, r.lane.captures[1].len);
    CHECK_EQ(0, memcmp("abcdef123456", r.lane.captures[0].bytes, 12));
    rig_close(&r);
}

/* Intervals count from the begin of measure; before it there is only the first. */
static void test_interval(void)
{
    rig r;
    rig_init(&r);
    r.load.config.warmup_ns = 10 * MS;
    r.load.config.interval_ns = 50 * MS;
    REQUIRE(rig_begin(&r, 0, 1));
    CHECK_EQ(0, fb_lane_interval(&r.lane, BEGIN));
    CHECK_EQ(0, fb_lane_interval(&r.lane, BEGIN + 60 * MS - 1));
    CHECK_EQ(1, fb_lane_interval(&r.lane, BEGIN + 60 * MS));
    CHECK_EQ(100, fb_lane_interval(&r.lane, BEGIN + 10 * MS + 5000 * MS));
    rig_close(&r);
}

int main(void)
{
    RUN(test_shares_add_up);
    RUN(test_each_row_once);
    RUN(test_admits_by_number);
    RUN(test_admits_by_time);
    RUN(test_outcomes);
    RUN(test_after_a_timeout);
    RUN(test_warm_up_leaves_no_trace);
    RUN(test_lag);
    RUN(test_runs);
    RUN(test_error_classes);
    RUN(test_rows);
    RUN(test_pattern);
    RUN(test_captures_by_number);
    RUN(test_captures_by_time);
    RUN(test_captures_of_all);
    RUN(test_capture_bytes);
    RUN(test_late_thread_has_more_to_intend);
    RUN(test_streams_are_apart);
    RUN(test_interval);
    return check_result();
}
