/* gRPC calls against nghttp2's server in this process: every byte between them is carried here. */
#include "check.h"
#include "fastbench.h"
#include "h2_server.h"
#include "protocol.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLACES 4
#define ROW (5 << 20)
#define ALL SIZE_MAX

static const fb_field head[] = {
    {":method", "POST"},
    {":scheme", "http"},
    {":path", "/package.Service/Method"},
    {":authority", "127.0.0.1:1"},
    {"content-type", "application/grpc"},
    {"te", "trailers"},
};

typedef struct rig {
    void *state;
    fb_calls *calls;
    fb_outq out;
    uint64_t longest_file; /* bytes of the longest piece of a file that was queued */
    fb_data data;
    fb_message message;
    uint8_t *text;
    fb_source source;
    uint64_t position;
    uint8_t *expected; /* the body of each request */
    size_t expected_len;
    h2_server server;
    size_t cut; /* bytes carried at a time, either way */
} rig;

static const fb_multiplexed *table(void)
{
    return fb_grpc_protocol.multiplexed;
}

/* The dataset: one row in a file, mapped. */
static bool make_data(rig *r, size_t row)
{
    const int fd = memfd_create("fastbench-test", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)row) != 0) {
        return false;
    }
    uint8_t *bytes = mmap(NULL, row, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        return false;
    }
    for (size_t i = 0; i < row; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 24);
    }
    r->data = (fb_data){.fd = fd, .row_bytes = row, .rows = 1, .base = bytes};
    return true;
}

/* A message of a text, a row and a text; what it must be on the wire. */
static bool make_message(rig *r, size_t row)
{
    static const char before[] = "\0\0\0\0\1before", after[] = "after";
    const fb_part parts[] = {
        {.kind = FB_PART_TEXT, .bytes = (const uint8_t *)before, .len = sizeof before - 1},
        {.kind = FB_PART_PAYLOAD, .rows = 1},
        {.kind = FB_PART_TEXT, .bytes = (const uint8_t *)after, .len = sizeof after - 1},
    };
    const fb_message_config config = {.head = head,
                                      .n_head = sizeof head / sizeof *head,
                                      .parts = parts,
                                      .n_parts = 3,
                                      .replies = 1};
    r->expected_len = sizeof before - 1 + row + sizeof after - 1;
    r->expected = malloc(r->expected_len);
    if (!r->expected || fb_message_init(&r->message, &config, 0, 1, false, NULL) != FB_OK) {
        return false;
    }
    memcpy(r->expected, before, sizeof before - 1);
    memcpy(r->expected + sizeof before - 1, r->data.base, row);
    memcpy(r->expected + sizeof before - 1 + row, after, sizeof after - 1);
    r->text = malloc((size_t)PLACES * r->message.text_max);
    return r->text != NULL;
}

/* A new connection on both sides; `row`: bytes of the dataset's row. */
static bool rig_open(rig *r, size_t row, uint32_t pieces, const nghttp2_settings_entry *settings,
                     size_t n)
{
    *r = (rig){.cut = ALL};
    r->state = calloc(1, fb_grpc_protocol.state_bytes);
    if (!r->state || !make_data(r, row) || !make_message(r, row) ||
        fb_outq_init(&r->out, pieces, NULL) != FB_OK ||
        table()->init(r->state, PLACES, fb_message_pieces(&r->message), NULL) != FB_OK ||
        !h2_init(&r->server, settings, n)) {
        return false;
    }
    r->server.expected = r->expected;
    r->server.expected_len = r->expected_len;
    r->calls = r->state;
    r->source = (fb_source){.data = &r->data, .positions = &r->position};
    fb_grpc_protocol.reset(r->state);
    return true;
}

static void rig_close(rig *r)
{
    CHECK(!r->server.differs);
    h2_fini(&r->server);
    table()->fini(r->state);
    fb_message_fini(&r->message);
    fb_outq_fini(&r->out);
    (void)munmap((void *)(uintptr_t)r->data.base, r->data.row_bytes);
    (void)close(r->data.fd);
    free(r->expected);
    free(r->text);
    free(r->state);
}

/* Carries the oldest piece that waits to be sent, or as much of it as is carried at a time. */
static void carry_piece(rig *r)
{
    const fb_piece piece = r->out.ring[r->out.head & r->out.mask];
    const uint64_t n = piece.length < r->cut ? piece.length : r->cut;
    if (piece.fd >= 0 && piece.length > r->longest_file) {
        r->longest_file = piece.length;
    }
    CHECK(h2_receive(&r->server, piece.bytes, n));
    fb_outq_advance(&r->out, n);
}

static int carry_back(rig *r, const uint8_t *bytes, size_t len)
{
    int rc = FB_OK;
    while (rc == FB_OK && len > 0) {
        const size_t n = len < r->cut ? len : r->cut;
        rc = table()->take(r->state, bytes, n);
        bytes += n;
        len -= n;
    }
    return rc;
}

/* Carries until neither side has anything to say. What failed, if anything did. */
static int carry(rig *r)
{
    for (bool moved = true; moved;) {
        const int rc = table()->pump(r->state, &r->out);
        if (rc != FB_OK) {
            return rc;
        }
        const uint8_t *bytes = NULL;
        moved = !fb_outq_empty(&r->out);
        while (!fb_outq_empty(&r->out)) {
            carry_piece(r);
        }
        for (size_t n = h2_send(&r->server, &bytes); n > 0; n = h2_send(&r->server, &bytes)) {
            moved = true;
            const int taken = carry_back(r, bytes, n);
            if (taken != FB_OK) {
                return taken;
            }
        }
    }
    return FB_OK;
}

static fb_call *call(uint32_t nth, rig *r)
{
    return &r->calls->calls[nth];
}

/* Begins a call; its place. */
static uint32_t submit(rig *r)
{
    const uint32_t place = fb_calls_take(r->calls);
    CHECK(place < PLACES);
    uint8_t *text = r->text + (size_t)place * r->message.text_max;
    fb_message_prepare(&r->message, text, 0);
    fb_message_push(&r->message, text, &r->source, 0, 0, &call(place, r)->body);
    table()->submit(r->state, place, &r->message);
    return place;
}

/* The next call that ended, in whichever place: its reply. */
static const fb_reply *next_ended(rig *r, uint32_t *place)
{
    static const fb_reply none = {.error_class = "none ended", .error_text = ""};
    *place = FB_CALLS_NONE;
    return fb_calls_next_ended(r->calls, place) ? &call(*place, r)->reply : &none;
}

/* The call in that place ended next, and well. */
static void check_ok(rig *r, uint32_t place)
{
    uint32_t ended;
    const fb_reply *reply = next_ended(r, &ended);
    CHECK_EQ(place, ended);
    CHECK_STR("", reply->error_class);
    CHECK(reply->done && reply->outcome == FB_OUTCOME_OK);
    fb_calls_give_back(r->calls, place);
}

/* The call in that place ended next, with an error. */
static void check_error(rig *r, uint32_t place, const char *error_class, const char *text)
{
    uint32_t ended;
    const fb_reply *reply = next_ended(r, &ended);
    CHECK_EQ(place, ended);
    CHECK_STR(error_class, reply->error_class);
    CHECK_STR(text, reply->error_text);
    CHECK(reply->done && reply->outcome == FB_OUTCOME_ERROR);
    fb_calls_give_back(r->calls, place);
}

/* Before the server's SETTINGS nothing may be sent, after them what it allows is known. */
static void test_greeting(void)
{
    rig r;
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3}};
    REQUIRE(rig_open(&r, 10, 64, settings, 1));
    CHECK(!r.calls->greeted && r.calls->room == 0);
    CHECK_EQ(FB_OK, carry(&r));
    CHECK(r.calls->greeted && !r.calls->leaves);
    CHECK_EQ(3, r.calls->room);
    rig_close(&r);

    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    CHECK(r.calls->greeted && r.calls->room >= PLACES);
    rig_close(&r);
}

/* One call, with every cut of the bytes between the two. */
static void test_call_in_any_pieces(void)
{
    for (size_t cut = 1; cut < 120; cut += cut < 20 ? 1 : 17) {
        rig r;
        REQUIRE(rig_open(&r, 100, 64, NULL, 0));
        r.cut = cut;
        CHECK_EQ(FB_OK, carry(&r));
        const uint64_t before = r.out.pushed;
        const uint32_t place = submit(&r);
        CHECK_EQ(FB_CALLS_NOT_YET, call(place, &r)->begin);
        CHECK_EQ(FB_OK, carry(&r));
        CHECK_EQ(before, call(place, &r)->begin);
        CHECK_EQ(r.out.sent, call(place, &r)->end);
        REQUIRE(r.server.n_calls == 1 && r.server.calls[0].whole);
        CHECK_EQ(r.expected_len, r.server.calls[0].body_len);
        CHECK_STR("/package.Service/Method", r.server.calls[0].path);
        CHECK_STR("trailers", r.server.calls[0].te);
        h2_reply_ok(&r.server, 0);
        CHECK_EQ(FB_OK, carry(&r));
        check_ok(&r, place);
        CHECK(r.calls->answered);
        rig_close(&r);
    }
}

/* Replies come in the order in which the server ends its calls; places are used again. */
static void test_any_order(void)
{
    rig r;
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    for (uint32_t round = 0; round < 5; round++) {
        const uint32_t first = r.server.n_calls;
        const uint32_t a = submit(&r);
        const uint32_t b = submit(&r);
        const uint32_t c = submit(&r);
        CHECK_EQ(FB_OK, carry(&r));
        CHECK(call(b, &r)->begin > call(a, &r)->begin);
        h2_reply_ok(&r.server, first + 2);
        CHECK_EQ(FB_OK, carry(&r));
        check_ok(&r, c);
        h2_refuse(&r.server, first, "200", "5", "no%20such thing");
        CHECK_EQ(FB_OK, carry(&r));
        check_error(&r, a, "GRPC 5 NOT_FOUND", "no such thing");
        h2_reply_ok(&r.server, first + 1);
        CHECK_EQ(FB_OK, carry(&r));
        check_ok(&r, b);
        CHECK_EQ(0, fb_calls_under_way(r.calls));
    }
    rig_close(&r);
}

/* A window of one byte lets one byte through at a time. */
static void test_narrow_window(void)
{
    rig r;
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1}};
    REQUIRE(rig_open(&r, 50, 64, settings, 1));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    const uint32_t b = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    REQUIRE(r.server.n_calls == 2 && r.server.calls[0].whole && r.server.calls[1].whole);
    CHECK_EQ(1, r.server.longest_frame);
    h2_reply_ok(&r.server, 0);
    h2_reply_ok(&r.server, 1);
    CHECK_EQ(FB_OK, carry(&r));
    check_ok(&r, a);
    check_ok(&r, b);
    rig_close(&r);
}

/* Frames are as long as the server allows, and hold the file's pieces as they are. */
static void test_frame_sizes(void)
{
    static const uint32_t sizes[] = {16384, 65536, 1 << 20, 4 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rig r;
        const nghttp2_settings_entry settings[] = {
            {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX},
            {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, sizes[i]}};
        REQUIRE(rig_open(&r, ROW, 64, settings, 2));
        CHECK_EQ(0, nghttp2_session_set_local_window_size(r.server.session, NGHTTP2_FLAG_NONE, 0,
                                                          INT32_MAX));
        CHECK_EQ(FB_OK, carry(&r));
        const uint32_t place = submit(&r);
        CHECK_EQ(FB_OK, carry(&r));
        REQUIRE(r.server.n_calls == 1 && r.server.calls[0].whole);
        CHECK_EQ(sizes[i], r.server.longest_frame);
        CHECK(r.longest_file > sizes[i] - 16); /* the text before the row stands in the first */
        h2_reply_ok(&r.server, 0);
        CHECK_EQ(FB_OK, carry(&r));
        check_ok(&r, place);
        rig_close(&r);
    }
}

/* A queue of few pieces is filled and emptied as often as it takes. */
static void test_short_queue(void)
{
    rig r;
    REQUIRE(rig_open(&r, 1 << 20, 4, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    const uint32_t b = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    REQUIRE(r.server.n_calls == 2 && r.server.calls[0].whole && r.server.calls[1].whole);
    h2_reply_ok(&r.server, 0);
    h2_reply_ok(&r.server, 1);
    CHECK_EQ(FB_OK, carry(&r));
    check_ok(&r, a);
    check_ok(&r, b);
    rig_close(&r);
}

/* GOAWAY: what the server took up ends, the rest is to be sent again, nothing new begins. */
static void test_goaway(void)
{
    rig r;
    uint32_t place;
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    const uint32_t b = submit(&r);
    const uint32_t c = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    static const char why[] = "too\nold";
    CHECK_EQ(0, nghttp2_submit_goaway(r.server.session, NGHTTP2_FLAG_NONE, r.server.calls[0].id,
                                      NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)why, 7));
    CHECK_EQ(FB_OK, carry(&r));
    CHECK(r.calls->leaves && r.calls->room == 0);
    CHECK_STR("GOAWAY ENHANCE_YOUR_CALM: too old", r.calls->farewell);
    for (uint32_t i = 0; i < 2; i++) {
        REQUIRE(fb_calls_next_ended(r.calls, &place));
        CHECK(place == b || place == c);
        CHECK(call(place, &r)->refused);
        fb_calls_give_back(r.calls, place);
    }
    CHECK(!fb_calls_next_ended(r.calls, &place));
    h2_reply_ok(&r.server, 0);
    CHECK_EQ(FB_OK, carry(&r));
    check_ok(&r, a);
    CHECK_EQ(0, fb_calls_under_way(r.calls));
    /* What is begun all the same is refused too, not lost. */
    const uint32_t late = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    REQUIRE(fb_calls_next_ended(r.calls, &place));
    CHECK_EQ(late, place);
    CHECK(call(place, &r)->refused);
    rig_close(&r);
}

/* A server that leaves gracefully says so twice (RFC 9113, 6.8): first that nothing new may begin,
 * later what it took up. Only the second decides what is sent again. */
static void test_goaway_in_two_steps(void)
{
    rig r;
    uint32_t place;
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    const uint32_t b = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    CHECK_EQ(0, nghttp2_submit_shutdown_notice(r.server.session));
    CHECK_EQ(FB_OK, carry(&r));
    CHECK(r.calls->leaves && r.calls->room == 0);
    CHECK(!fb_calls_next_ended(r.calls, &place));
    CHECK_EQ(0, nghttp2_submit_goaway(r.server.session, NGHTTP2_FLAG_NONE, r.server.calls[0].id,
                                      NGHTTP2_NO_ERROR, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    REQUIRE(fb_calls_next_ended(r.calls, &place));
    CHECK_EQ(b, place);
    CHECK(call(place, &r)->refused);
    fb_calls_give_back(r.calls, place);
    h2_reply_ok(&r.server, 0);
    CHECK_EQ(FB_OK, carry(&r));
    check_ok(&r, a);
    CHECK_EQ(0, fb_calls_under_way(r.calls));
    rig_close(&r);
}

/* RST_STREAM is an error with its name; the connection goes on. */
static void test_reset_by_the_server(void)
{
    rig r;
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    const uint32_t b = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    (void)nghttp2_submit_rst_stream(r.server.session, NGHTTP2_FLAG_NONE, r.server.calls[0].id,
                                    NGHTTP2_INTERNAL_ERROR);
    (void)nghttp2_submit_rst_stream(r.server.session, NGHTTP2_FLAG_NONE, r.server.calls[1].id,
                                    NGHTTP2_REFUSED_STREAM);
    CHECK_EQ(FB_OK, carry(&r));
    check_error(&r, a, "RST INTERNAL_ERROR", "the server reset the stream");
    check_error(&r, b, "RST REFUSED_STREAM", "the server reset the stream");
    const uint32_t c = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    h2_reply_ok(&r.server, 2);
    CHECK_EQ(FB_OK, carry(&r));
    check_ok(&r, c);
    rig_close(&r);
}

/* An error that comes before the request is whole ends the call; the rest is not sent. */
static void test_early_error(void)
{
    rig r;
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 7}};
    REQUIRE(rig_open(&r, 1000, 64, settings, 1));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    CHECK_EQ(FB_OK, table()->pump(r.state, &r.out)); /* as much as the window allows */
    while (!fb_outq_empty(&r.out)) {
        carry_piece(&r);
    }
    REQUIRE(r.server.n_calls == 1 && !r.server.calls[0].whole);
    h2_refuse(&r.server, 0, "200", "8", "too large");
    CHECK_EQ(FB_OK, carry(&r));
    check_error(&r, a, "GRPC 8 RESOURCE_EXHAUSTED", "too large");
    CHECK_EQ(FB_CALLS_NOT_YET, call(a, &r)->end);
    CHECK(r.server.calls[0].reset);
    CHECK(r.server.calls[0].body_len < r.expected_len);
    rig_close(&r);
}

/* Replies that are none of gRPC's. */
static void test_odd_replies(void)
{
    rig r;
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    const uint32_t b = submit(&r);
    const uint32_t c = submit(&r);
    const uint32_t d = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    h2_refuse(&r.server, 0, "503", NULL, NULL);
    CHECK_EQ(FB_OK, carry(&r));
    check_error(&r, a, "HTTP 503", "an HTTP reply that is not gRPC's");
    h2_reply(&r.server, 1, "\0\0\0\0\2hi", 7, NULL);
    CHECK_EQ(FB_OK, carry(&r));
    check_error(&r, b, "UNEXPECTED", "the reply ended without a grpc-status");
    h2_reply(&r.server, 2, "\0\0\0\0\3hi", 7, "0");
    CHECK_EQ(FB_OK, carry(&r));
    check_error(&r, c, "UNEXPECTED", "the reply's message is cut short");
    h2_reply(&r.server, 3, "\0\0\0\0\2hi", 7,
             "13"); /* HTTP 200, and whole: an error none the less */
    CHECK_EQ(FB_OK, carry(&r));
    check_error(&r, d, "GRPC 13 INTERNAL", "");
    rig_close(&r);
}

/* The message of a reply is kept where that is wanted, as it came. */
static void test_keeps_messages(void)
{
    rig r;
    uint8_t kept[32];
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    r.cut = 3;
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t place = submit(&r);
    call(place, &r)->kept = (fb_body){.bytes = kept, .room = 6};
    CHECK_EQ(FB_OK, carry(&r));
    h2_reply_ok(&r.server, 0);
    CHECK_EQ(FB_OK, carry(&r));
    CHECK_EQ(7, call(place, &r)->kept.len);
    CHECK(memcmp(kept, "\0\0\0\0\2h", 6) == 0);
    check_ok(&r, place);
    rig_close(&r);
}

/* A call that is cancelled is reset; what then comes for it goes nowhere. */
static void test_cancel(void)
{
    rig r;
    uint32_t place;
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    CHECK_EQ(FB_OK, carry(&r));
    const uint32_t a = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    table()->cancel(r.state, a);
    fb_calls_give_back(r.calls, a);
    h2_reply_ok(&r.server, 0);
    CHECK_EQ(FB_OK, carry(&r));
    CHECK(r.server.calls[0].reset);
    CHECK(!fb_calls_next_ended(r.calls, &place));
    const uint32_t b = submit(&r);
    CHECK_EQ(FB_OK, carry(&r));
    h2_reply_ok(&r.server, 1);
    CHECK_EQ(FB_OK, carry(&r));
    check_ok(&r, b);
    rig_close(&r);
}

/* Other protocols are told apart by name, where that can be seen. */
static void check_foreign(const char *bytes, const char *text, size_t cut)
{
    rig r;
    fb_error err = {0};
    REQUIRE(rig_open(&r, 10, 64, NULL, 0));
    r.cut = cut;
    int rc = carry_back(&r, (const uint8_t *)bytes, strlen(bytes));
    rc = rc == FB_OK ? table()->pump(r.state, &r.out) : rc;
    CHECK_EQ(FB_E_PROTOCOL, rc);
    fb_grpc_protocol.explain(r.state, &err);
    CHECK_EQ(FB_E_PROTOCOL, err.code);
    CHECK(strstr(err.text, "not HTTP/2") != NULL);
    CHECK(strstr(err.text, text) != NULL);
    rig_close(&r);
}

static void test_foreign_servers(void)
{
    static const size_t cuts[] = {1, 3, ALL};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        check_foreign("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "HTTP/1", cuts[i]);
        check_foreign("-ERR unknown command 'PRI'\r\n-ERR unknown command 'SM'\r\n", "SETTINGS",
                      cuts[i]);
    }
}

int main(void)
{
    RUN(test_greeting);
    RUN(test_call_in_any_pieces);
    RUN(test_any_order);
    RUN(test_narrow_window);
    RUN(test_frame_sizes);
    RUN(test_short_queue);
    RUN(test_goaway);
    RUN(test_goaway_in_two_steps);
    RUN(test_reset_by_the_server);
    RUN(test_early_error);
    RUN(test_odd_replies);
    RUN(test_keeps_messages);
    RUN(test_cancel);
    RUN(test_foreign_servers);
    return check_result();
}
