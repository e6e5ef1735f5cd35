/* A stream is checked as a whole before start: what it lacks is said, what it has fits. */
#include "check.h"
#include "load.h"
#include "stream.h"

/* Inits and frees; returns the code and checks that a failure says something. */
static int init_code(const fb_stream_config *config)
{
    fb_stream s;
    fb_error err = {0};
    const int rc = fb_stream_init(&s, config, &err);
    CHECK_EQ(rc, err.code);
    CHECK((rc == FB_OK) == (err.text[0] == '\0'));
    fb_stream_fini(&s);
    fb_stream_fini(&s); /* again is allowed */
    return rc;
}

static fb_part payload(uint32_t rows, uint32_t data)
{
    return (fb_part){.kind = FB_PART_PAYLOAD, .rows = rows, .data = data};
}

/* The usual stream stands; without any of its needs it does not. */
static void test_needs(void)
{
    load l;
    load_init(&l, "127.0.0.1", 1);
    CHECK_EQ(FB_OK, init_code(&l.stream));
    l.stream.protocol = 77;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    load_init(&l, "127.0.0.1", 1);
    l.stream.n_endpoints = 0;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    load_init(&l, "127.0.0.1", 1);
    l.stream.pipeline = 0;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    load_init(&l, "127.0.0.1", 1);
    l.stream.connections = 0;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    load_init(&l, "127.0.0.1", 1);
    l.stream.n_messages = 0;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    load_init(&l, "127.0.0.1", 1);
    l.message.replies = 0;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
}

/* Hosts are numeric; with port 0 they are the path of a unix socket. */
static void test_addresses(void)
{
    load l;
    load_init(&l, "example.org", 1);
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    load_init(&l, "::1", 6379);
    CHECK_EQ(FB_OK, init_code(&l.stream));
    load_init(&l, "/tmp/some.sock", 0);
    CHECK_EQ(FB_OK, init_code(&l.stream));
    load_init(&l, "", 0);
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
}

/* An open loop has a schedule and a queue. */
static void test_open_loop(void)
{
    fb_rate rate = {100, 100, 0};
    load l;
    load_init(&l, "127.0.0.1", 1);
    l.stream.max_outstanding = 10;
    l.stream.schedule.arrivals = FB_ARRIVALS_POISSON;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream)); /* no rate */
    l.stream.schedule.rates = &rate;
    l.stream.schedule.n_rates = 1;
    CHECK_EQ(FB_OK, init_code(&l.stream));
    l.stream.max_outstanding = 0;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    l.stream.max_outstanding = 10;
    rate.to_per_s = -1;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    rate.to_per_s = 100;
    l.stream.schedule.arrivals = 99;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
}

/* Every message must find its rows, those of an opening and of several parts together too. */
static void test_rows(void)
{
    static const uint8_t bytes[64];
    const fb_data data = {.fd = -1, .row_bytes = 8, .rows = 5, .base = bytes};
    fb_part parts[3] = {load_text("x"), payload(5, 0), payload(1, 0)};
    load l;
    load_init(&l, "127.0.0.1", 1);
    l.stream.data = &data;
    l.message.parts = parts;
    l.message.n_parts = 2;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream)); /* no dataset */
    l.stream.n_data = 1;
    CHECK_EQ(FB_OK, init_code(&l.stream));
    l.message.n_parts = 3;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    parts[1].rows = 6;
    l.message.n_parts = 2;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    /* The same as an opening. */
    load_init(&l, "127.0.0.1", 1);
    l.stream.data = &data;
    l.stream.n_data = 1;
    l.stream.n_openings = 1;
    l.opening.parts = parts;
    l.opening.n_parts = 2;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    parts[1].rows = 5;
    CHECK_EQ(FB_OK, init_code(&l.stream));
    l.opening.n_parts = 3;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
}

/* The dataset is cut into whole inferences; what is left over at its end is not sent. */
static void test_groups(void)
{
    static const uint8_t bytes[64];
    const fb_data data = {.fd = -1, .row_bytes = 8, .rows = 8, .base = bytes};
    const fb_part parts[2] = {load_text("x"), payload(3, 0)};
    load l;
    fb_stream s;
    load_init(&l, "127.0.0.1", 1);
    REQUIRE(fb_stream_init(&s, &l.stream, NULL) == FB_OK);
    CHECK_EQ(1, s.groups);
    fb_stream_fini(&s);
    l.stream.data = &data;
    l.stream.n_data = 1;
    l.message.parts = parts;
    l.message.n_parts = 2;
    REQUIRE(fb_stream_init(&s, &l.stream, NULL) == FB_OK);
    CHECK_EQ(3, s.rows);
    CHECK_EQ(2, s.groups);
    fb_stream_fini(&s);
}

/* A pattern may name only messages that are there. */
static void test_pattern(void)
{
    const uint8_t pattern[] = {0, 1, 0};
    load l;
    load_init(&l, "127.0.0.1", 1);
    l.stream.pattern = pattern;
    l.stream.n_pattern = 3;
    CHECK_EQ(FB_E_INVAL, init_code(&l.stream));
    const fb_message_config two[] = {l.message, l.message};
    l.stream.messages = two;
    l.stream.n_messages = 2;
    CHECK_EQ(FB_OK, init_code(&l.stream));
}

/* The queue has room for a full pipeline of the longest message, and for each opening. */
static void test_room_in_the_queue(void)
{
    static const uint8_t bytes[64];
    const fb_data data = {.fd = -1, .row_bytes = 8, .rows = 8, .base = bytes};
    const fb_part parts[3] = {load_text("x"), payload(1, 0), load_text("y")};
    load l;
    fb_stream s;
    load_init(&l, "127.0.0.1", 1);
    l.stream.data = &data;
    l.stream.n_data = 1;
    l.stream.pipeline = 7;
    l.message.parts = parts;
    l.message.n_parts = 3;
    REQUIRE(fb_stream_init(&s, &l.stream, NULL) == FB_OK);
    CHECK(s.pieces >= 7 * 3);
    CHECK_EQ(2, s.text_max);
    fb_stream_fini(&s);
}

int main(void)
{
    RUN(test_needs);
    RUN(test_addresses);
    RUN(test_open_loop);
    RUN(test_rows);
    RUN(test_groups);
    RUN(test_pattern);
    RUN(test_room_in_the_queue);
    return check_result();
}
