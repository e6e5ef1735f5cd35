/* The RESP reader: every type, every outcome, every way of cutting, damage and limits. */
#include "check.h"
#include "resp_trace.h"

/* Bytes of a string literal that may hold NUL. */
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static const size_t WHOLE[] = {SIZE_MAX, 0};
static const size_t SINGLE[] = {1, 0};

static const fb_resp_expect DAG_OPS[] = {{'*', 3}, {'+', 0}, {'+', 0}, {'$', 4}};
static const fb_resp_expect PIPELINE_OPS[] = {{'+', 0}, {'+', 0}, {'$', 4}};
static const fb_resp_expect ANY_BULK[] = {{'$', FB_RESP_ANY_LENGTH}};

static const fb_resp_spec ONE = {.replies = 1};
static const fb_resp_spec TWO = {.replies = 2};
static const fb_resp_spec REDISAI = {.replies = 1, .redisai = true};
static const fb_resp_spec DAG = {.replies = 1, .redisai = true, .expects = 4, .expect = DAG_OPS};
static const fb_resp_spec PIPELINE = {
    .replies = 3, .redisai = true, .expects = 3, .expect = PIPELINE_OPS};
static const fb_resp_spec GET = {.replies = 1, .expects = 1, .expect = ANY_BULK};

typedef struct sample {
    const fb_resp_spec *spec;
    const char *bytes;
    const char *trace; /* what the reader must say */
} sample;

static const sample SAMPLES[] = {
    /* RESP2 */
    {&ONE, "+OK\r\n", "5 0 |;more at 5"},
    {&ONE, "+\r\n+PONG\r\n", "3 0 |;10 0 |;more at 10"},
    {&ONE, ":0\r\n:-7\r\n:9223372036854775807\r\n:-9223372036854775808\r\n",
     "4 0 |;9 0 |;31 0 |;54 0 |;more at 54"},
    {&ONE, "$0\r\n\r\n$2\r\n\r\n\r\n$-1\r\n", "6 0 |;14 0 |;19 0 |;more at 19"},
    {&ONE, "*0\r\n*-1\r\n*2\r\n:1\r\n$1\r\nx\r\n", "4 0 |;9 0 |;24 0 |;more at 24"},
    {&ONE, "*2\r\n*1\r\n*0\r\n*1\r\n*-1\r\n+OK\r\n", "21 0 |;26 0 |;more at 26"},
    {&ONE, "-ERR unknown command\r\n", "22 1 ERR|ERR unknown command;more at 22"},
    {&ONE, "-\r\n", "3 1 ERR|;more at 3"},
    {&ONE, "-A\tb\xc3\xa9\x7f\r\n", "9 1 A|A b\xc3\xa9 ;more at 9"},
    /* RESP3 */
    {&ONE, "_\r\n#t\r\n#f\r\n", "3 0 |;7 0 |;11 0 |;more at 11"},
    {&ONE, ",1\r\n,-1.5e-3\r\n,inf\r\n,-inf\r\n,nan\r\n,.5\r\n,5.\r\n,+1E9\r\n",
     "4 0 |;14 0 |;20 0 |;27 0 |;33 0 |;38 0 |;43 0 |;50 0 |;more at 50"},
    {&ONE, "(3492890328409238509324850943850943825024385\r\n(-1\r\n", "46 0 |;51 0 |;more at 51"},
    {&ONE, "=7\r\ntxt:abc\r\n", "13 0 |;more at 13"},
    {&ONE, "!12\r\nSYNTAX wrong\r\n", "19 1 SYNTAX|SYNTAX wrong;more at 19"},
    {&ONE, "!5\r\nA\r\nB!\r\n", "11 1 A|A;more at 11"},
    {&ONE, "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n", "23 0 |;more at 23"},
    {&ONE, "~2\r\n:1\r\n:2\r\n%0\r\n~0\r\n", "12 0 |;16 0 |;20 0 |;more at 20"},
    /* Attributes and pushes are no elements and no replies, whatever they hold. */
    {&ONE, "|1\r\n+ttl\r\n-ERR x\r\n+OK\r\n", "23 0 |;more at 23"},
    {&ONE, "*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:1\r\n:2\r\n", "28 0 |;more at 28"},
    {&ONE, "|0\r\n|1\r\n|1\r\n+a\r\n+b\r\n+c\r\n+d\r\n:1\r\n", "32 0 |;more at 32"},
    {&ONE, ">2\r\n+message\r\n-ERR x\r\n+OK\r\n>0\r\n", "27 0 |;more at 31"},
    {&TWO, "+OK\r\n>1\r\n*1\r\n+x\r\n+OK\r\n", "22 0 |;more at 22"},
    /* Errors: wherever they are, the first one counts. */
    {&ONE, "*3\r\n+OK\r\n*1\r\n-LATE x\r\n-LATER y\r\n", "32 1 LATE|LATE x;more at 32"},
    {&TWO, "-ONE 1\r\n-TWO 2\r\n+OK\r\n", "16 1 ONE|ONE 1;more at 21"},
    {&TWO, "-ONE 1\r\n+OK\r\n+OK\r\n+OK\r\n", "13 1 ONE|ONE 1;23 0 |;more at 23"},
    /* RedisAI's own words. */
    {&ONE, "+TIMEDOUT\r\n*1\r\n+NA\r\n", "11 0 |;20 0 |;more at 20"},
    {&REDISAI, "+TIMEDOUT\r\n+TIMEDOUTS\r\n", "11 2 |;23 0 |;more at 23"},
    {&REDISAI, "*1\r\n+TIMEDOUT\r\n+NA\r\n", "15 0 |;20 0 |;more at 20"},
    {&REDISAI, "*3\r\n+OK\r\n-ERR no\r\n+NA\r\n", "23 1 ERR|ERR no;more at 23"},
    {&REDISAI, "*2\r\n+NA\r\n-ERR no\r\n", "18 1 NA|NA;more at 18"},
    {&REDISAI, "|1\r\n+NA\r\n+NA\r\n+OK\r\n", "19 0 |;more at 19"},
    {&PIPELINE, "+OK\r\n+TIMEDOUT\r\n-ERR tensor key is empty\r\n", "42 2 |;more at 42"},
    {&PIPELINE, "-ERR first\r\n+TIMEDOUT\r\n$4\r\n1234\r\n", "33 1 ERR|ERR first;more at 33"},
    {&DAG, "+TIMEDOUT\r\n", "11 2 |;more at 11"},
    /* Expectations: the right reply, then each way of being another one. */
    {&DAG, "*3\r\n+OK\r\n+OK\r\n$4\r\n1234\r\n", "24 0 |;more at 24"},
    {&DAG, "*3\r\n+OK\r\n|1\r\n+a\r\n+b\r\n+OK\r\n$4\r\n1234\r\n", "36 0 |;more at 36"},
    {&DAG, "*3\r\n+OK\r\n+OK\r\n$5\r\n12345\r\n*0\r\n",
     "25 1 UNEXPECTED|UNEXPECTED element 4 of the reply: expected $4, got $5;"
     "29 1 UNEXPECTED|UNEXPECTED element 1 of the reply: expected *3, got *0;more at 29"},
    {&DAG, "*3\r\n+OK\r\n:1\r\n$4\r\n1234\r\n",
     "23 1 UNEXPECTED|UNEXPECTED element 3 of the reply: expected +, got :;more at 23"},
    {&DAG, "*3\r\n+OK\r\n+OK\r\n-ERR x\r\n", "22 1 ERR|ERR x;more at 22"},
    {&DAG, "*3\r\n:1\r\n-ERR x\r\n+NA\r\n", "21 1 ERR|ERR x;more at 21"},
    {&DAG, "*3\r\n+OK\r\n+OK\r\n*1\r\n$4\r\n1234\r\n",
     "28 1 UNEXPECTED|UNEXPECTED element 4 of the reply: expected $4, got *1;more at 28"},
    {&PIPELINE, "+OK\r\n+OK\r\n*-1\r\n",
     "15 1 UNEXPECTED|UNEXPECTED element 3 of the reply: expected $4, got *-1;more at 15"},
    {&PIPELINE, "+OK\r\n+OK\r\n*1\r\n$4\r\nabcd\r\n+OK\r\n",
     "24 1 UNEXPECTED|UNEXPECTED element 3 of the reply: expected $4, got *1;more at 29"},
    {&GET, "$3\r\nabc\r\n$-1\r\n_\r\n",
     "9 0 |;14 0 |;17 1 UNEXPECTED|UNEXPECTED element 1 of the reply: expected $, got _;"
     "more at 17"},
    /* Not RESP, or beyond the limits. */
    {&ONE, "HTTP/1.1 400 Bad Request\r\n", "broken at 0: byte 0x48 does not begin a RESP reply"},
    {&ONE, "+OK\r\n\r\n", "5 0 |;broken at 5: byte 0x0d does not begin a RESP reply"},
    {&ONE, "*2\r\n+OK\r\nx", "broken at 9: byte 0x78 does not begin a RESP reply"},
    {&ONE, "$3\r\nabcd\r\n",
     "broken at 7: byte 0x64 where a string of the given length should end"},
    {&ONE, "$3\r\nabc\rx", "broken at 8: byte 0x78 where a string of the given length should end"},
    {&ONE, "+a\nb\r\n", "broken at 0: line of type '+' has a CR or LF inside"},
    {&ONE, "-a\r\r\n", "broken at 0: line of type '-' has a CR or LF inside"},
    {&ONE, "$1\rx\r\n", "broken at 0: line of type '$' has a CR or LF inside"},
    {&ONE, "$-2\r\n", "broken at 0: length is not a number >= 0: $-2"},
    {&ONE, "$01\r\nx\r\n", "broken at 0: length is not a number >= 0: $01"},
    {&ONE, "$+1\r\nx\r\n", "broken at 0: length is not a number >= 0: $+1"},
    {&ONE, "$\r\n", "broken at 0: length is not a number >= 0: $"},
    {&ONE, "*-0\r\n", "broken at 0: length is not a number >= 0: *-0"},
    {&ONE, "%-1\r\n", "broken at 0: length is not a number >= 0: %-1"},
    {&ONE, "*1\r\n$?\r\n;4\r\n", "broken at 4: streamed replies are not supported: $?"},
    {&ONE, "*?\r\n", "broken at 0: streamed replies are not supported: *?"},
    {&ONE, ":1a\r\n", "broken at 0: not a value of its type: :1a"},
    {&ONE, ":9223372036854775808\r\n",
     "broken at 0: not a value of its type: :9223372036854775808"},
    {&ONE, ":-9223372036854775809\r\n",
     "broken at 0: not a value of its type: :-9223372036854775809"},
    {&ONE, ",1.5x\r\n", "broken at 0: not a value of its type: ,1.5x"},
    {&ONE, ",.\r\n", "broken at 0: not a value of its type: ,."},
    {&ONE, ",+inf\r\n", "broken at 0: not a value of its type: ,+inf"},
    {&ONE, ",1e\r\n", "broken at 0: not a value of its type: ,1e"},
    {&ONE, "#x\r\n", "broken at 0: not a value of its type: #x"},
    {&ONE, "_x\r\n", "broken at 0: not a value of its type: _x"},
    {&ONE, "(12a", "broken at 0: not a big number"},
    {&ONE, "(-\r\n", "broken at 0: not a value of its type: (-"},
    {&ONE, "=3\r\ntxt\r\n", "broken at 0: verbatim string of 3 bytes has no format"},
    {&ONE, "*1\r\n>1\r\n", "broken at 4: push message inside a reply"},
    {&ONE, "$1099511627777\r\n", "broken at 0: string of 1099511627777 bytes is too long"},
    {&ONE, "*4294967297\r\n", "broken at 0: aggregate of 4294967297 elements is too long"},
    {&ONE, "%2147483649\r\n", "broken at 0: aggregate of 2147483649 elements is too long"},
    {&ONE, "%9223372036854775807\r\n",
     "broken at 0: aggregate of 9223372036854775807 elements is too long"},
};
#define SAMPLE_COUNT (sizeof SAMPLES / sizeof *SAMPLES)

/* Checks one way of cutting and says which sample it was. */
static void check_cut(const sample *s, const uint8_t *bytes, size_t len, const size_t *sizes,
                      const char *expected)
{
    reader_trace trace;
    resp_trace_run(&trace, s->spec, bytes, len, sizes);
    CHECK_STR(expected, trace.text);
    CHECK(!trace.wrong_count);
}

/* Every sample gives what it must, in one piece. */
static void test_whole(void)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const sample *const s = &SAMPLES[i];
        check_cut(s, (const uint8_t *)s->bytes, strlen(s->bytes), WHOLE, s->trace);
    }
}

/* Every sample gives the same cut in two at every place, and byte by byte. */
static void test_every_cut(void)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const sample *const s = &SAMPLES[i];
        const size_t len = strlen(s->bytes);
        check_cut(s, (const uint8_t *)s->bytes, len, SINGLE, s->trace);
        for (size_t cut = 1; cut < len; cut++)
            check_cut(s, (const uint8_t *)s->bytes, len, (size_t[]){cut, SIZE_MAX, 0}, s->trace);
    }
}

/* No proper beginning of the last reply is taken for a reply or an error. */
static void test_truncated(void)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const sample *const s = &SAMPLES[i];
        const size_t len = strlen(s->bytes);
        for (size_t cut = 1; cut < len; cut++) {
            reader_trace part;
            resp_trace_run(&part, s->spec, (const uint8_t *)s->bytes, cut, WHOLE);
            const char *const more = strstr(part.text, "more at ");
            if (more != NULL) /* what came before is what the whole begins with */
                CHECK(strncmp(part.text, s->trace, (size_t)(more - part.text)) == 0);
            else /* broken already: at the same place as the whole */
                CHECK(strstr(part.text, "broken at") != NULL &&
                      strstr(s->trace, "broken at") != NULL);
        }
    }
}

/* With any byte changed to any other the reader never reads outside (under AddressSanitizer), and
 * what it says does not depend on the cuts. */
static void test_damage(void)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const sample *const s = &SAMPLES[i];
        uint8_t bytes[128];
        const size_t len = strlen(s->bytes);
        REQUIRE(len <= sizeof bytes);
        for (size_t at = 0; at < len; at++) {
            memcpy(bytes, s->bytes, len);
            for (int value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                reader_trace whole;
                resp_trace_run(&whole, s->spec, bytes, len, WHOLE);
                check_cut(s, bytes, len, SINGLE, whole.text);
                check_cut(s, bytes, len, (size_t[]){at + 1, SIZE_MAX, 0}, whole.text);
            }
        }
    }
}

/* NUL is data in text and no type byte. */
static void test_nul_bytes(void)
{
    reader_trace trace;
    resp_trace_run(&trace, &ONE, BYTES("-E\0 x\r\n\0"), WHOLE);
    CHECK_STR("7 1 E|E  x;broken at 7: byte 0x00 does not begin a RESP reply", trace.text);
    resp_trace_run(&trace, &ONE, BYTES(",1\0\r\n"), WHOLE);
    CHECK(strncmp(trace.text, "broken at 0", 11) == 0);
}

/* Aggregates may be nested 16 deep, no deeper. */
static void test_depth_limit(void)
{
    char bytes[256] = "";
    for (int depth = 0; depth < FB_RESP_MAX_DEPTH; depth++)
        strcat(bytes, "*1\r\n");
    const size_t deepest = strlen(bytes);
    strcat(bytes, "*0\r\n");
    reader_trace trace;
    resp_trace_run(&trace, &ONE, (const uint8_t *)bytes, strlen(bytes), WHOLE);
    CHECK_STR("68 0 |;more at 68", trace.text);
    strcpy(bytes + deepest, "*1\r\n");
    resp_trace_run(&trace, &ONE, (const uint8_t *)bytes, strlen(bytes), SINGLE);
    CHECK_STR("broken at 64: reply is nested deeper than 16", trace.text);
}

/* Traces a line of one type that is filled up to len bytes, whole and in pieces, and returns what
 * was said of it; both must say the same. */
static const char *long_line(char type, char fill, size_t len)
{
    static reader_trace trace;
    reader_trace cut;
    uint8_t *const bytes = malloc(len + 3);
    trace.text[0] = '\0';
    if (bytes == NULL)
        return trace.text;
    bytes[0] = (uint8_t)type;
    memset(bytes + 1, fill, len);
    memcpy(bytes + 1 + len, "\r\n", 2);
    resp_trace_run(&trace, &ONE, bytes, len + 3, WHOLE);
    resp_trace_run(&cut, &ONE, bytes, len + 3, (size_t[]){1000, 0});
    CHECK_STR(trace.text, cut.text);
    free(bytes);
    return trace.text;
}

/* Lines may be as long as their limits and no longer. */
static void test_line_limits(void)
{
    CHECK_STR("1048579 0 |;more at 1048579", long_line('+', 'x', FB_RESP_MAX_LINE));
    CHECK_STR("broken at 0: line of type '+' is longer than 1048576 bytes",
              long_line('+', 'x', FB_RESP_MAX_LINE + 1));
    CHECK_STR("1048579 0 |;more at 1048579", long_line('(', '7', FB_RESP_MAX_LINE));
    CHECK_STR("331 0 |;more at 331", long_line(',', '7', FB_RESP_MAX_SHORT));
    CHECK_STR("broken at 0: line of type ',' is longer than 328 bytes",
              long_line(',', '7', FB_RESP_MAX_SHORT + 1));
}

/* The text and the class of a long error are cut to what fb_reply promises. */
static void test_long_error(void)
{
    const char *const text = long_line('-', 'E', 100000);
    const char *const class_end = strchr(text, '|');
    REQUIRE(class_end != NULL);
    CHECK_EQ(strlen("100003 1 ") + FB_ERROR_CLASS_MAX - 1, class_end - text);
    CHECK_EQ(FB_ERROR_TEXT_MAX - 1, strchr(class_end, ';') - class_end - 1);
}

/* A large body is consumed whatever it holds, in pieces of any size, and counted in 64 bits. */
static void test_large_body(void)
{
    fb_resp_reader r;
    fb_reply reply;
    fb_resp_init(&r);
    const uint64_t size = UINT64_C(5000000000);
    static uint8_t piece[1 << 20]; /* more CR LF than a scan would like */
    memset(piece, '\r', sizeof piece);
    const char head[] = "$5000000000\r\n";
    CHECK_EQ(13, fb_resp_feed(&r, &ONE, (const uint8_t *)head, 13, &reply));
    for (uint64_t left = size; left > 0;) {
        const size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        CHECK_EQ(n, fb_resp_feed(&r, &ONE, piece, n, &reply));
        CHECK(!reply.done);
        left -= n;
    }
    CHECK_EQ(2, fb_resp_feed(&r, &ONE, (const uint8_t *)"\r\n", 2, &reply));
    CHECK(reply.done);
    CHECK_EQ(FB_OUTCOME_OK, reply.outcome);
    CHECK_EQ(size + 15, r.offset);
}

/* Two inferences in one buffer may have different specs: each call begins with its own. */
static void test_spec_per_inference(void)
{
    fb_resp_reader r;
    fb_reply reply;
    fb_resp_init(&r);
    const uint8_t bytes[] = "+OK\r\n$4\r\nabcd\r\n+OK\r\n";
    CHECK_EQ(15, fb_resp_feed(&r, &TWO, bytes, 20, &reply));
    CHECK(reply.done);
    CHECK_EQ(5, fb_resp_feed(&r, &GET, bytes + 15, 5, &reply));
    CHECK(reply.done);
    CHECK_EQ(FB_OUTCOME_ERROR, reply.outcome);
    CHECK_STR("UNEXPECTED", reply.error_class);
}

/* Fewer or more elements than expected differ, whatever their types are. */
static void test_wrong_number_of_elements(void)
{
    const fb_resp_spec few = {.replies = 1, .expects = 4, .expect = DAG_OPS};
    const fb_resp_expect two[] = {{'*', FB_RESP_ANY_LENGTH}, {'+', 0}};
    const fb_resp_spec more = {.replies = 1, .expects = 2, .expect = two};
    reader_trace trace;
    const fb_resp_expect nested[] = {{'*', FB_RESP_ANY_LENGTH}, {':', 0}, {':', 0}};
    const fb_resp_spec longer = {.replies = 1, .expects = 3, .expect = nested};
    resp_trace_run(&trace, &longer, BYTES("*1\r\n:1\r\n"), SINGLE);
    CHECK_STR("8 1 UNEXPECTED|UNEXPECTED end of the reply: expected 3 elements, got 2;more at 8",
              trace.text);
    resp_trace_run(&trace, &few, BYTES("*2\r\n+OK\r\n+OK\r\n"), SINGLE);
    CHECK_STR("14 1 UNEXPECTED|UNEXPECTED element 1 of the reply: expected *3, got *2;more at 14",
              trace.text);
    resp_trace_run(&trace, &more, BYTES("*2\r\n+OK\r\n$4\r\nabcd\r\n+OK\r\n"), SINGLE);
    CHECK(strstr(trace.text, "UNEXPECTED element 3 of the reply: expected only 2, got $4") != NULL);
}

static bool out_of_step(const fb_resp_spec *spec, const char *text)
{
    fb_resp_reader r;
    fb_reply reply;
    fb_resp_init(&r);
    CHECK_EQ(strlen(text), fb_resp_feed(&r, spec, (const uint8_t *)text, strlen(text), &reply));
    CHECK(reply.done);
    return reply.out_of_step;
}

/* WRONGTYPE between RedisAI's replies may come besides the reply that was due; inside a DAG's array
 * or in its stead it cannot, and elsewhere it is an error like others. */
static void test_out_of_step(void)
{
    static const fb_resp_expect ok = {'+', 0};
    const fb_resp_spec execute = {.replies = 1, .redisai = true, .expects = 1, .expect = &ok};
    const fb_resp_spec two = {.replies = 2, .redisai = true, .expects = 1, .expect = &ok};
    const fb_resp_spec dag = {.replies = 1, .redisai = true, .expects = 4, .expect = DAG_OPS};
    const fb_resp_spec plain = {.replies = 1, .expects = 1, .expect = &ok};
    CHECK(out_of_step(&execute, "-WRONGTYPE Operation against a key\r\n"));
    CHECK(out_of_step(&two, "+OK\r\n-WRONGTYPE Operation against a key\r\n"));
    CHECK(out_of_step(&two, "-ERR no\r\n-WRONGTYPE Operation against a key\r\n"));
    CHECK(!out_of_step(&execute, "-ERR model key is empty\r\n"));
    CHECK(!out_of_step(&execute, "-WRONGTYPES are not it\r\n"));
    CHECK(!out_of_step(&execute, "*2\r\n+OK\r\n-WRONGTYPE Operation\r\n"));
    CHECK(!out_of_step(&dag, "-WRONGTYPE Operation against a key\r\n"));
    CHECK(!out_of_step(&plain, "-WRONGTYPE Operation against a key\r\n"));
}

/* After a protocol error the reader says so again until it is initialised. */
static void test_broken_until_init(void)
{
    fb_resp_reader r;
    fb_reply reply;
    fb_resp_init(&r);
    const uint8_t *const ok = (const uint8_t *)"+OK\r\n";
    CHECK_EQ(FB_E_PROTOCOL, fb_resp_feed(&r, &ONE, (const uint8_t *)"?", 1, &reply));
    CHECK_EQ(FB_E_PROTOCOL, fb_resp_feed(&r, &ONE, ok, 5, &reply));
    CHECK(!reply.done);
    fb_resp_init(&r);
    CHECK_EQ(5, fb_resp_feed(&r, &ONE, ok, 5, &reply));
    CHECK(reply.done);
}

int main(void)
{
    RUN(test_whole);
    RUN(test_every_cut);
    RUN(test_truncated);
    RUN(test_damage);
    RUN(test_nul_bytes);
    RUN(test_depth_limit);
    RUN(test_line_limits);
    RUN(test_long_error);
    RUN(test_large_body);
    RUN(test_spec_per_inference);
    RUN(test_wrong_number_of_elements);
    RUN(test_out_of_step);
    RUN(test_broken_until_init);
    return check_result();
}
