/* What a message puts on the wire: text, fields and rows in their order, drawn anew each time. */
#include "check.h"
#include "load.h"
#include "message.h"
#include "sockets.h"

#include <stdio.h>
#include <sys/mman.h>

#define ROW 8
#define ROWS 100
#define WIRE 65536

static uint8_t *rows; /* mapped; row n holds "<row  n>" */
static fb_data data[2];

static fb_part field(int kind, uint32_t width)
{
    return (fb_part){.kind = FB_PART_FIELD, .field = kind, .width = width};
}

static fb_part payload(uint32_t n, uint32_t set)
{
    return (fb_part){.kind = FB_PART_PAYLOAD, .rows = n, .data = set};
}

static fb_part length_of(uint32_t covers)
{
    return (fb_part){.kind = FB_PART_LENGTH, .covers = covers};
}

/* A message and all that pushing it needs. */
typedef struct rig {
    fb_message message;
    fb_keys keys[1];
    uint64_t position;
    fb_source source;
    fb_outq out;
    uint8_t *text;
    int pair[2];
} rig;

static bool rig_open(rig *r, const fb_part *parts, uint32_t n)
{
    const fb_message_config config = {.parts = parts, .n_parts = n, .replies = 1};
    const fb_keys_config sequence = {.kind = FB_KEYS_SEQUENCE, .low = 8, .high = 12};
    *r = (rig){0};
    r->source = (fb_source){.data = data, .keys = r->keys, .positions = &r->position};
    fb_random_init(&r->source.random, 1);
    return fb_keys_init(&r->keys[0], &sequence, NULL) == FB_OK &&
           fb_message_init(&r->message, &config, 1, 2, false, NULL) == FB_OK &&
           fb_outq_init(&r->out, 3 * fb_message_pieces(&r->message), NULL) == FB_OK &&
           (r->text = malloc(r->message.text_max)) != NULL && sockets_unix_pair(r->pair);
}

static void rig_close(rig *r)
{
    fb_message_fini(&r->message);
    fb_keys_fini(&r->keys[0]);
    fb_outq_fini(&r->out);
    free(r->text);
    sockets_close(r->pair);
}

/* Pushes one inference and checks the bytes that come out. */
static void check_wire(rig *r, uint64_t connection, uint64_t row, const char *expected)
{
    char wire[WIRE];
    const uint32_t room = fb_outq_room(&r->out);
    fb_message_push(&r->message, r->text, &r->source, connection, row, &r->out);
    CHECK(room - fb_outq_room(&r->out) <= fb_message_pieces(&r->message));
    CHECK_EQ(strlen(expected), fb_outq_flush(&r->out, r->pair[0], NULL, NULL));
    const ssize_t n = recv(r->pair[1], wire, sizeof wire - 1, 0);
    wire[n > 0 ? n : 0] = '\0';
    CHECK_STR(expected, wire);
}

/* Text goes out as it is, as one piece. */
static void test_text_alone(void)
{
    rig r;
    const fb_part parts[] = {load_text("hello "), load_text("world")};
    REQUIRE(rig_open(&r, parts, 2));
    fb_message_prepare(&r.message, r.text, 0);
    check_wire(&r, 0, 0, "hello world");
    fb_message_push(&r.message, r.text, &r.source, 0, 0, &r.out);
    CHECK_EQ(1, r.out.tail - r.out.head);
    rig_close(&r);
}

/* Fixed fields are zero-padded; a number too large keeps its low digits and its neighbours. */
static void test_fixed_fields(void)
{
    rig r;
    const fb_part parts[] = {load_text("c"), field(FB_FIELD_CONNECTION, 4), load_text(" r"),
                             field(FB_FIELD_ROW, 3), load_text(".")};
    REQUIRE(rig_open(&r, parts, 5));
    fb_message_prepare(&r.message, r.text, 42);
    check_wire(&r, 42, 7, "c0042 r007.");
    check_wire(&r, 42, 999, "c0042 r999.");
    check_wire(&r, 42, 0, "c0042 r000.");
    check_wire(&r, 42, 12345, "c0042 r345.");
    rig_close(&r);
}

/* Rows can be numbered from anything on; numbers without a width have as many digits as needed. */
static void test_rows_numbered_from_a_base(void)
{
    rig r;
    fb_part row = field(FB_FIELD_ROW, 0);
    row.base = 9990;
    const fb_part parts[] = {length_of(1), load_text(":"), row, load_text(".")};
    fb_part shifted[] = {parts[0], parts[1], parts[2], parts[3]};
    shifted[0].skip = 1;
    REQUIRE(rig_open(&r, shifted, 4));
    fb_message_prepare(&r.message, r.text, 0);
    check_wire(&r, 0, 0, "4:9990.");
    check_wire(&r, 0, 9, "4:9999.");
    check_wire(&r, 0, 10, "5:10000.");
    rig_close(&r);
}

/* A place in memory instead of the rows: row x step, in the width that both forms are drawn to, and
 * the message takes as many rows as if it carried them. */
static void test_offsets_of_rows(void)
{
    rig r;
    fb_part offset = field(FB_FIELD_ROW, 6);
    offset.step = 16534; /* 1 * 2^14 + 1 * 2^7 + 22 */
    offset.rows = 2;
    offset.form = FB_FORM_BLANKS;
    fb_part varint = offset;
    varint.form = FB_FORM_VARINT;
    varint.width = 3;
    varint.rows = 0;
    const fb_part parts[] = {load_text("o:"), offset, load_text(" v:"), varint, load_text(".")};
    REQUIRE(rig_open(&r, parts, 5));
    CHECK_EQ(2, r.message.rows);
    fb_message_prepare(&r.message, r.text, 0);
    check_wire(&r, 0, 1, "o: 16534 v:\x96\x81\x01.");
    check_wire(&r, 0, 3, "o: 49602 v:\xc2\x83\x03.");
    fb_message_push(&r.message, r.text, &r.source, 0, 0, &r.out);
    char wire[16];
    CHECK_EQ(15, fb_outq_flush(&r.out, r.pair[0], NULL, NULL));
    CHECK_EQ(15, recv(r.pair[1], wire, sizeof wire, 0));
    CHECK(memcmp("o:     0 v:\x80\x80\0.", wire, 15) == 0);
    rig_close(&r);
}

/* Rows of the first dataset follow one another through the message; those beside it do not. */
static void test_payloads(void)
{
    rig r;
    const fb_part parts[] = {payload(1, 0),  load_text("|"),         payload(2, 0), payload(1, 1),
                             load_text("|"), field(FB_FIELD_ROW, 2), payload(1, 1)};
    REQUIRE(rig_open(&r, parts, 7));
    CHECK_EQ(3, r.message.rows);
    fb_message_prepare(&r.message, r.text, 0);
    check_wire(&r, 0, 6, "<row  6>|<row  7><row  8><row 16>|06<row 16>");
    check_wire(&r, 0, 97, "<row 97>|<row 98><row 99><row 17>|97<row 17>");
    rig_close(&r);
}

/* Fields without a width take the digits that they need, drawn anew for each inference. */
static void test_varying_fields(void)
{
    rig r;
    const fb_part parts[] = {
        load_text("k"),  field(FB_FIELD_KEYS, 0), load_text(" c"), field(FB_FIELD_CONNECTION, 0),
        load_text(" r"), field(FB_FIELD_ROW, 2),  load_text(";")};
    REQUIRE(rig_open(&r, parts, 7));
    check_wire(&r, 1234567, 5, "k8 c1234567 r05;");
    check_wire(&r, 0, 5, "k9 c0 r05;");
    check_wire(&r, 10, 5, "k10 c10 r05;");
    check_wire(&r, UINT64_MAX, 5, "k11 c18446744073709551615 r05;");
    rig_close(&r);
}

/* A length is that of the very bytes it covers, whatever was drawn for them. */
static void test_lengths(void)
{
    rig r;
    const fb_part parts[] = {load_text("$"),          length_of(3),  load_text(":"),
                             field(FB_FIELD_KEYS, 0), payload(1, 0), load_text(";")};
    REQUIRE(rig_open(&r, parts, 6));
    check_wire(&r, 0, 3, "$10:8<row  3>;");
    check_wire(&r, 0, 4, "$10:9<row  4>;");
    check_wire(&r, 0, 5, "$11:10<row  5>;");
    rig_close(&r);
}

/* A chunk is as many first bytes of its data as were drawn. */
static void test_chunks(void)
{
    rig r;
    const fb_part chunk = {.kind = FB_PART_CHUNK, .keys = 0, .data = 0};
    const fb_part parts[] = {length_of(1), chunk, load_text(".")};
    REQUIRE(rig_open(&r, parts, 3));
    check_wire(&r, 0, 50, "8<row  0>.");
    check_wire(&r, 0, 51, "9<row  0><.");
    check_wire(&r, 0, 52, "10<row  0><r.");
    rig_close(&r);
}

/* Several inferences in the queue keep their own bytes, each with its own text. */
static void test_queued_together(void)
{
    rig r;
    char wire[WIRE];
    const fb_part parts[] = {field(FB_FIELD_ROW, 2), payload(1, 0)};
    REQUIRE(rig_open(&r, parts, 2));
    uint8_t texts[3][2];
    for (uint64_t i = 0; i < 3; i++) {
        fb_message_prepare(&r.message, texts[i], 0);
        fb_message_push(&r.message, texts[i], &r.source, 0, i, &r.out);
    }
    CHECK_EQ(30, fb_outq_flush(&r.out, r.pair[0], NULL, NULL));
    CHECK_EQ(30, recv(r.pair[1], wire, sizeof wire, 0));
    CHECK_EQ(0, memcmp(wire, "00<row  0>01<row  1>02<row  2>", 30));
    rig_close(&r);
}

static int init_code(const fb_part *parts, uint32_t n, uint32_t replies)
{
    const fb_message_config config = {.parts = parts, .n_parts = n, .replies = replies};
    fb_message m;
    fb_error err = {0};
    const int rc = fb_message_init(&m, &config, 1, 2, false, &err);
    CHECK(rc == FB_OK || err.text[0] != '\0');
    CHECK(rc == FB_OK || m.text == NULL);
    fb_message_fini(&m);
    return rc;
}

/* Whatever would read beyond something is refused. */
static void test_malformed(void)
{
    const fb_part text = load_text("x");
    const fb_part wide[] = {text, field(FB_FIELD_ROW, 21)};
    fb_part blanks = field(FB_FIELD_ROW, 0), varint = field(FB_FIELD_ROW, 11);
    fb_part form = field(FB_FIELD_ROW, 3), rows_of_none = field(FB_FIELD_ROW, 3);
    blanks.form = FB_FORM_BLANKS;
    varint.form = FB_FORM_VARINT;
    form.form = FB_FORM_VARINT + 1;
    rows_of_none.rows = 1;
    const fb_part unknown[] = {text, {.kind = 99}};
    const fb_part data_beyond[] = {text, payload(1, 2)};
    const fb_part keys_beyond[] = {text,
                                   {.kind = FB_PART_FIELD, .field = FB_FIELD_KEYS, .keys = 1}};
    const fb_part chunk_beyond[] = {text, {.kind = FB_PART_CHUNK, .keys = 1}};
    const fb_part covers_beyond[] = {length_of(2), text};
    const fb_part only_rows[] = {payload(1, 0)};
    static fb_part many[FB_MESSAGE_MAX_PARTS + 1];
    for (int i = 0; i <= FB_MESSAGE_MAX_PARTS; i++) {
        many[i] = text;
    }
    CHECK_EQ(FB_OK, init_code(&text, 1, 1));
    CHECK_EQ(FB_E_INVAL, init_code(&text, 1, 0));
    CHECK_EQ(FB_E_INVAL, init_code(&text, 0, 1));
    CHECK_EQ(FB_E_INVAL, init_code(wide, 2, 1));
    CHECK_EQ(FB_E_INVAL, init_code(&blanks, 1, 1));
    CHECK_EQ(FB_E_INVAL, init_code(&varint, 1, 1));
    CHECK_EQ(FB_E_INVAL, init_code(&form, 1, 1));
    const fb_message_config no_data = {.parts = &rows_of_none, .n_parts = 1, .replies = 1};
    fb_message m;
    CHECK_EQ(FB_E_INVAL, fb_message_init(&m, &no_data, 1, 0, false, NULL));
    CHECK_EQ(FB_E_INVAL, init_code(unknown, 2, 1));
    CHECK_EQ(FB_E_INVAL, init_code(data_beyond, 2, 1));
    CHECK_EQ(FB_E_INVAL, init_code(keys_beyond, 2, 1));
    CHECK_EQ(FB_E_INVAL, init_code(chunk_beyond, 2, 1));
    CHECK_EQ(FB_E_INVAL, init_code(covers_beyond, 2, 1));
    CHECK_EQ(FB_E_INVAL, init_code(only_rows, 1, 1));
    CHECK_EQ(FB_E_INVAL, init_code(many, FB_MESSAGE_MAX_PARTS + 1, 1));
    CHECK_EQ(FB_OK, init_code(many, FB_MESSAGE_MAX_PARTS, 1));
}

/* What is expected of the reply is copied: the caller's array may go. */
static void test_expectations_are_copied(void)
{
    const fb_part text = load_text("x");
    fb_resp_expect expects[] = {{'*', 2}, {'$', 5}, {'+', -1}};
    const fb_message_config config = {
        .parts = &text, .n_parts = 1, .replies = 4, .expects = expects, .n_expects = 3};
    fb_message m;
    REQUIRE(fb_message_init(&m, &config, 0, 0, true, NULL) == FB_OK);
    memset(expects, 0, sizeof expects);
    CHECK_EQ(4, m.spec.replies);
    CHECK(m.spec.redisai);
    CHECK_EQ(3, m.spec.expects);
    CHECK_EQ('$', m.spec.expect[1].type);
    CHECK_EQ(5, m.spec.expect[1].length);
    fb_message_fini(&m);
}

/* Two datasets in one file: row n of the first, and 20 rows of its tenth on as the second. */
static bool make_rows(void)
{
    const int fd = memfd_create("fastbench-test", MFD_CLOEXEC);
    char row[32];
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(row, sizeof row, "<row %2d>", i);
        if (write(fd, row, ROW) != ROW) {
            return false;
        }
    }
    rows = mmap(NULL, (size_t)ROWS * ROW, PROT_READ, MAP_SHARED, fd, 0);
    data[0] = (fb_data){.fd = fd, .row_bytes = ROW, .rows = ROWS, .base = rows};
    data[1] = (fb_data){
        .fd = fd, .offset = 10 * ROW, .row_bytes = ROW, .rows = 10, .base = rows + 10 * ROW};
    return rows != MAP_FAILED;
}

int main(void)
{
    if (!make_rows()) {
        return 1;
    }
    RUN(test_text_alone);
    RUN(test_fixed_fields);
    RUN(test_rows_numbered_from_a_base);
    RUN(test_offsets_of_rows);
    RUN(test_payloads);
    RUN(test_varying_fields);
    RUN(test_lengths);
    RUN(test_chunks);
    RUN(test_queued_together);
    RUN(test_malformed);
    RUN(test_expectations_are_copied);
    return check_result();
}
