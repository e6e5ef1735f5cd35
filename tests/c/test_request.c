/* The request reader: every command, every way of cutting, damage and limits. */
#include "check.h"
#include "request_trace.h"

#include <stdlib.h>

static const size_t WHOLE[] = {SIZE_MAX, 0};
static const size_t SINGLE[] = {1, 0};

typedef struct sample {
    const char *bytes;
    const char *trace; /* what the reader must say */
} sample;

static const sample SAMPLES[] = {
    /* arrays */
    {"*1\r\n$4\r\nPING\r\n", "14 PING 1;more at 14"},
    {"*2\r\n$4\r\npInG\r\n$2\r\nhi\r\n", "22 PING 2 2=hi;more at 22"},
    {"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$12\r\n*1\r\n$4\r\nPING\r\n", "39 OK 3;more at 39"},
    {"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$4\r\nquit\r\n", "20 ECHO 2 0=;34 QUIT 1;more at 34"},
    {"*2\r\n$4\r\nECHO\r\n$20\r\n0123456789abcdefghij\r\n",
     "41 ECHO 2 20=0123456789abcdef;more at 41"},
    {"*3\r\n$4\r\nECHO\r\n$1\r\nx\r\n$1\r\ny\r\n", "28 ECHO 3 1=x;more at 28"},
    {"*2\r\n$3\r\nget\r\n$1\r\na\r\n*1\r\n$7\r\nCOMMAND\r\n*1\r\n$4\r\nINFO\r\n",
     "20 BULK 2;37 COMMAND 1;51 INFO 1;more at 51"},
    {"*1\r\n$5\r\nHELLO\r\n", "15 HELLO 1;more at 15"},
    {"*2\r\n$5\r\nhello\r\n$1\r\n3\r\n", "22 HELLO 2 3;more at 22"},
    {"*2\r\n$5\r\nHELLO\r\n$2\r\nab\r\n", "23 HELLO 2 -1;more at 23"},
    {"*2\r\n$5\r\nHELLO\r\n$30\r\n333333333333333333333333333333\r\n", "52 HELLO 2 -1;more at 52"},
    {"*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n", "23 PING 1;more at 23"},
    {"*01\r\n$04\r\nPING\r\n", "16 PING 1;more at 16"},
    /* names that only begin or end like a known one */
    {"*1\r\n$3\r\nGEX\r\n*1\r\n$0\r\n\r\n*1\r\n$5\r\nPINGS\r\n",
     "13 OK 1;23 OK 1;38 OK 1;more at 38"},
    {"*1\r\n$28\r\nAI.TENSORGETAI.TENSORGETAI.T\r\n", "39 OK 1;more at 39"},
    {"*2\r\n$12\r\nai.tensorget\r\n$2\r\nGE\r\n", "31 BULK 2;more at 31"},
    {"*2\r\n$15\r\nAI.MODELEXECUTE\r\n$2\r\n|>\r\n", "34 OK 2;more at 34"},
    /* DAGs: one op per "|>", named by the word after it */
    {"*7\r\n$9\r\nAI.DAGRUN\r\n$2\r\n|>\r\n$12\r\nAI.TENSORSET\r\n$1\r\nx\r\n$2\r\n|>\r\n"
     "$12\r\nAi.TensorGet\r\n$1\r\ny\r\n",
     "87 DAG 7 +$;more at 87"},
    {"*4\r\n$16\r\nAI.DAGEXECUTE_RO\r\n$12\r\nAI.TENSORGET\r\n$2\r\n|>\r\n$12\r\nAI.TENSORGET\r\n",
     "73 DAG 4 $;more at 73"},
    {"*3\r\n$12\r\nAI.DAGRUN_RO\r\n$2\r\n|>\r\n$2\r\n|>\r\n*1\r\n$13\r\nai.dagexecute\r\n",
     "39 DAG 3 +;63 DAG 1 ;more at 63"},
    /* inline commands */
    {"PING\r\n", "6 PING 1;more at 6"},
    {"ping\nget\ta  b\r\n", "5 PING 1;15 BULK 3;more at 15"},
    {"\r\n\r\n  echo  hi  \r\n", "18 ECHO 2 2=hi;more at 18"},
    {"AI.DAGRUN |> AI.TENSORSET x |> AI.TENSORGET y\r\n", "47 DAG 7 +$;more at 47"},
    /* not yet whole */
    {"*2\r\n$4\r\nPI", "more at 10"},
    {"*2\r\n$3\r\nGET\r\n$1", "more at 15"},
    {"PIN", "more at 3"},
    /* damage */
    {"*1\r\n:1\r\n", "-5 expected '$', got ':'"},
    {"*1\r\n\001", "-5 expected '$', got '?'"},
    {"*x\r\n", "-5 invalid multibulk length"},
    {"*\r\n", "-5 invalid multibulk length"},
    {"*1\n", "-5 invalid multibulk length"},
    {"*1048577\r\n", "-5 invalid multibulk length"},
    {"*9999999999999999999\r\n", "-5 invalid multibulk length"},
    {"*0000000000000000000000000000000000", "-5 too big mbulk count string"},
    {"*1\r\n$-1\r\n", "-5 invalid bulk length"},
    {"*1\r\n$1x\r\n", "-5 invalid bulk length"},
    {"*1\r\n$1099511627777\r\n", "-5 invalid bulk length"},
    {"*1\r\n$0000000000000000000000000000000000", "-5 too big bulk count string"},
    {"*1\r\n$4\r\nPINGS\r\n", "-5 expected CRLF after an argument"},
    {"*1\r\n$4\r\nPING\r\r", "-5 expected CRLF after an argument"},
    {"PING\r\n*1\r\n$3\r\nxx", "6 PING 1;more at 16"},
};

#define N_SAMPLES (sizeof SAMPLES / sizeof *SAMPLES)

static request_trace trace;
static request_trace other;

/* Each sample, given whole, is read as written beside it. */
static void test_samples(void)
{
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const sample *s = &SAMPLES[i];
        request_trace_run(&trace, (const uint8_t *)s->bytes, strlen(s->bytes), WHOLE, false);
        CHECK_STR(s->trace, trace.text);
    }
}

/* Each sample says the same byte by byte, at every two-way split, and with skipping. */
static void test_splits(void)
{
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const uint8_t *bytes = (const uint8_t *)SAMPLES[i].bytes;
        const size_t len = strlen(SAMPLES[i].bytes);
        for (size_t split = 0; split < len; split++) {
            const size_t cuts[] = {split == 0 ? 1 : split, split == 0 ? 0 : SIZE_MAX, 0};
            request_trace_run(&trace, bytes, len, cuts, false);
            CHECK_STR(SAMPLES[i].trace, trace.text);
            request_trace_run(&trace, bytes, len, cuts, true);
            CHECK_STR(SAMPLES[i].trace, trace.text);
        }
    }
}

/* All commands of all samples in one stream, cut into every equal length, give one trace. */
static void test_stream(void)
{
    static uint8_t stream[1 << 14];
    size_t len = 0;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const sample *s = &SAMPLES[i];
        if (strstr(s->trace, "-5") == NULL && strncmp(s->trace, "more", 4) != 0 &&
            strstr(s->bytes, "xx") == NULL) {
            memcpy(stream + len, s->bytes, strlen(s->bytes));
            len += strlen(s->bytes);
        }
    }
    request_trace_run(&trace, stream, len, SINGLE, false);
    for (size_t cut = 2; cut <= len; cut++) {
        const size_t cuts[] = {cut, 0};
        request_trace_run(&other, stream, len, cuts, cut % 2 == 0);
        CHECK_STR(trace.text, other.text);
    }
}

/* Any damaged byte of any sample leads to the same trace however it is cut (and, under ASan, to no
 * access outside). */
static void test_damage(void)
{
    static const uint8_t values[] = {0, '\r', '\n', '*', '$', '0', '9', ' ', 255};
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const size_t len = strlen(SAMPLES[i].bytes);
        uint8_t *bytes = malloc(len);
        REQUIRE(bytes != NULL);
        for (size_t k = 0; k < len * sizeof values; k++) {
            memcpy(bytes, SAMPLES[i].bytes, len);
            bytes[k / sizeof values] = values[k % sizeof values];
            request_trace_run(&trace, bytes, len, WHOLE, false);
            request_trace_run(&other, bytes, len, SINGLE, false);
            CHECK_STR(trace.text, other.text);
        }
        free(bytes);
    }
}

/* A long argument may be skipped unseen, and then its command ends as usual; one that is looked at
 * may not. */
static void test_skippable(void)
{
    fb_request_reader r;
    fb_request_init(&r);
    const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n";
    const long len = (long)sizeof head - 1;
    CHECK_EQ(len, fb_request_feed(&r, (const uint8_t *)head, sizeof head - 1));
    CHECK(!r.complete);
    CHECK_EQ(1000000, fb_request_skippable(&r));
    fb_request_skip(&r, 999999);
    CHECK_EQ(1, fb_request_skippable(&r));
    CHECK_EQ(3, fb_request_feed(&r, (const uint8_t *)"x\r\n", 3));
    CHECK(r.complete);
    CHECK_EQ(0, fb_request_skippable(&r));
    const char dag[] = "*2\r\n$9\r\nAI.DAGRUN\r\n$1000\r\nab";
    CHECK_EQ(sizeof dag - 1, fb_request_feed(&r, (const uint8_t *)dag, sizeof dag - 1));
    CHECK_EQ(0, fb_request_skippable(&r));
}

/* As many ops as there may be are counted; one more is refused. */
static void test_many_ops(void)
{
    static uint8_t bytes[64 * 1024];
    for (uint32_t ops = FB_REQUEST_MAX_OPS; ops <= FB_REQUEST_MAX_OPS + 1; ops++) {
        size_t len = (size_t)snprintf((char *)bytes, sizeof bytes, "*%u\r\n$9\r\nAI.DAGRUN\r\n",
                                      1 + 2 * ops);
        for (uint32_t i = 0; i < ops; i++) {
            const char *op = i % 3 == 0 ? "$2\r\n|>\r\n$12\r\nAI.TENSORGET\r\n"
                                        : "$2\r\n|>\r\n$11\r\nAI.MODELRUN\r\n";
            memcpy(bytes + len, op, strlen(op));
            len += strlen(op);
        }
        fb_request_reader r;
        fb_request_init(&r);
        const long n = fb_request_feed(&r, bytes, len);
        CHECK_EQ(ops == FB_REQUEST_MAX_OPS ? (long)len : FB_E_PROTOCOL, n);
        CHECK_EQ(FB_REQUEST_MAX_OPS, r.ops);
        for (uint32_t i = 0; i < FB_REQUEST_MAX_OPS; i++) {
            CHECK_EQ(i % 3 == 0, r.op_is_bulk[i / 64] >> (i % 64) & 1);
        }
    }
}

/* An inline command may be long, but not longer than its limit. */
static void test_long_inline(void)
{
    static uint8_t line[FB_REQUEST_MAX_INLINE + 2];
    fb_request_reader r;
    fb_request_init(&r);
    memset(line, 'a', sizeof line);
    line[FB_REQUEST_MAX_INLINE] = '\n';
    CHECK_EQ(FB_REQUEST_MAX_INLINE + 1, fb_request_feed(&r, line, FB_REQUEST_MAX_INLINE + 1));
    CHECK(r.complete);
    line[FB_REQUEST_MAX_INLINE] = 'a';
    CHECK_EQ(FB_E_PROTOCOL, fb_request_feed(&r, line, sizeof line));
    CHECK_STR("too big inline request", r.error_text);
}

int main(void)
{
    RUN(test_samples);
    RUN(test_splits);
    RUN(test_stream);
    RUN(test_damage);
    RUN(test_skippable);
    RUN(test_many_ops);
    RUN(test_long_inline);
    return check_result();
}
