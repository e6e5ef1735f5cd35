/* The HTTP reader: every framing, every outcome, every way of cutting, damage and limits. */
#include "check.h"
#include "http_trace.h"

#define BYTES(text) ((const uint8_t *)(text)), (sizeof(text) - 1)

static const size_t WHOLE[] = {SIZE_MAX, 0};
static const size_t SINGLE[] = {1, 0};

typedef struct sample {
    fb_http_method method;
    const char *bytes;
    const char *trace;
} sample;

static const sample SAMPLES[] = {
    /* Framings. */
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "41 0 |;more at 41"},
    {0, "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 3 \r\n\r\n\r\n\r", "43 0 |;more at 43"},
    {0, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\nHTTP/1.1 201 \r\nContent-Length: 1\r\n\r\nx",
     "35 0 |;72 0 |;more at 72"},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     "60 0 |;more at 60"},
    {0,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\nA ; x=\"y\"\r\n0123456789\r\n"
     "00\r\nDigest: x\r\n folded\r\n\r\n",
     "102 0 |;more at 102"},
    {0, "HTTP/1.1 200 OK\r\n\r\nall that comes", "33 0 | last;"},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nx", "54 0 | last;"},
    /* No body. */
    {0, "HTTP/1.1 204 No Content\r\n\r\n", "27 0 |;more at 27"},
    {FB_HTTP_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "38 0 |;more at 38"},
    {0, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     "48 1 HTTP 304|304 Not Modified;more at 48"},
    /* Interim replies. */
    {0,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nConnection: close\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "104 0 |;more at 104"},
    /* Whether the connection stays. */
    {0, "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
     "60 0 | last;more at 60"},
    {0,
     "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
     "81 0 | last;more at 81"},
    {0, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "39 0 | last;more at 39"},
    {0, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
     "63 0 |;more at 63"},
    /* Errors, with the first line of their bodies. */
    {0, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
     "45 1 HTTP 404|404 Not Found;more at 45"},
    {0, "HTTP/1.1 500 \r\nContent-Length: 18\r\n\r\n\r\n\n no\tmodel\r\nmore",
     "55 1 HTTP 500|500 : no model;more at 55"},
    {0,
     "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfir\r\n2\r\nst\r\n4\r\n\r\nxx\r\n"
     "0\r\n\r\n",
     "78 1 HTTP 503|503 Busy: first;more at 78"},
    {0, "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
     "55 1 HTTP 302|302 Found;more at 55"},
    /* Fields that do not matter. */
    {0, "HTTP/1.1 200 OK\r\nServer: a: b\r\n\tfolded\r\nX:\r\nContent-Length: 1\r\n\r\nx",
     "66 0 |;more at 66"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "58 0 |;more at 58"},
    /* Not HTTP/1.1, or in two ways. */
    {0, "-ERR unknown command\r\n",
     "broken at 0: not a status line of HTTP/1: -ERR unknown command"},
    {0, "HTTP/2 200 OK\r\n", "broken at 0: not a status line of HTTP/1: HTTP/2 200 OK"},
    {0, "HTTP/1.1 20 OKAY\r\n", "broken at 0: not a status line of HTTP/1: HTTP/1.1 20 OKAY"},
    {0, "HTTP/1.1 2000\r\n", "broken at 0: not a status line of HTTP/1: HTTP/1.1 2000"},
    {0, "HTTP/1.1 099 x\r\n", "broken at 0: a status that was not asked for: HTTP/1.1 099 x"},
    {0, "HTTP/1.1 101 Switching Protocols\r\n\r\n",
     "broken at 0: a status that was not asked for: HTTP/1.1 101 Switching Protocols"},
    {0, "\r\n", "broken at 0: not a status line of HTTP/1: "},
    {0, "\x15\x03\x01", "broken at 0: byte 0x15 in a line"},
    {0, "HTTP/1.1 200 OK\nX: y", "broken at 15: byte 0x0a in a line"},
    {0, "HTTP/1.1 200 OK\rX", "broken at 16: byte 0x58 in a line"},
    {0, "HTTP/1.1 200 OK\r\nX : y\r\n", "broken at 17: not a field: X : y"},
    {0, "HTTP/1.1 200 OK\r\n: y\r\n", "broken at 17: not a field: : y"},
    {0, "HTTP/1.1 200 OK\r\nno colon\r\n", "broken at 17: not a field: no colon"},
    {0, "HTTP/1.1 200 OK\r\n X: y\r\n", "broken at 17: a line that begins with a blank:  X: y"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n",
     "broken at 36: a line that begins with a blank:  2"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n",
     "broken at 17: length is not a number: Content-Length: 1x"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n",
     "broken at 17: length is not a number: Content-Length: 1, 1"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
     "broken at 17: length is not a number: Content-Length: -1"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length:\r\n",
     "broken at 17: length is not a number: Content-Length:"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1099511627777\r\n",
     "broken at 17: body is too long: Content-Length: 1099511627777"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
     "broken at 36: a second length: Content-Length: 2"},
    {0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "broken at 64: both Content-Length and Transfer-Encoding"},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
     "broken at 47: not the size of a chunk: x"},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
     "broken at 47: not the size of a chunk: "},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 1\r\n",
     "broken at 47: not the size of a chunk: 1 1"},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000001\r\n",
     "broken at 47: chunk is too long: 10000000001"},
    {0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
     "broken at 51: a chunk is longer than it says: b"},
    /* Requests. */
    {FB_HTTP_REQUEST,
     "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
     "51 0 |;69 0 |;more at 69"},
    {FB_HTTP_REQUEST, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     "60 0 |;more at 60"},
    {FB_HTTP_REQUEST, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "37 0 | last;more at 37"},
    {FB_HTTP_REQUEST, "GET / HTTP/1.0\r\n\r\n", "18 0 | last;more at 18"},
    {FB_HTTP_REQUEST, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "42 0 |;more at 42"},
    {FB_HTTP_REQUEST, "HEAD /?a=b HTTP/1.1\r\n\r\nHEADS * HTTP/1.1\r\n\r\n",
     "23 0 | head;43 0 |;more at 43"},
    /* No requests, or without an end. */
    {FB_HTTP_REQUEST, "GET /\r\n", "broken at 0: not a request line of HTTP/1: GET /"},
    {FB_HTTP_REQUEST, "GET / HTTP/2\r\n",
     "broken at 0: not a request line of HTTP/1: GET / HTTP/2"},
    {FB_HTTP_REQUEST, "GET  HTTP/1.1\r\n",
     "broken at 0: not a request line of HTTP/1: GET  HTTP/1.1"},
    {FB_HTTP_REQUEST, "GET /a b HTTP/1.1\r\n",
     "broken at 0: not a request line of HTTP/1: GET /a b HTTP/1.1"},
    {FB_HTTP_REQUEST, "G@T / HTTP/1.1\r\n",
     "broken at 0: not a request line of HTTP/1: G@T / HTTP/1.1"},
    {FB_HTTP_REQUEST, " / HTTP/1.1\r\n", "broken at 0: not a request line of HTTP/1:  / HTTP/1.1"},
    {FB_HTTP_REQUEST, "*1\r\n$4\r\nPING\r\n", "broken at 0: not a request line of HTTP/1: *1"},
    {FB_HTTP_REQUEST, "HTTP/1.1 200 OK\r\n",
     "broken at 0: not a request line of HTTP/1: HTTP/1.1 200 OK"},
    {FB_HTTP_REQUEST, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
     "broken at 42: a request whose body has no end"},
};
#define SAMPLE_COUNT (sizeof SAMPLES / sizeof *SAMPLES)

/* Checks one way of cutting. */
static void check_cut(const sample *s, const uint8_t *bytes, size_t len, const size_t *sizes,
                      const char *expected)
{
    reader_trace trace;
    http_trace_run(&trace, s->method, bytes, len, sizes);
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

/* Passing over bodies unseen, every sample whose errors have no text to keep gives the same. */
static void test_skipping(void)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const sample *const s = &SAMPLES[i];
        reader_trace trace;
        http_trace_skipping(&trace, s->method, (const uint8_t *)s->bytes, strlen(s->bytes));
        CHECK_STR(s->trace, trace.text);
        CHECK(!trace.wrong_count);
    }
}

/* No proper beginning of a reply is taken for one, unless its end is that of the connection. */
static void test_truncated(void)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const sample *const s = &SAMPLES[i];
        const size_t len = strlen(s->bytes);
        for (size_t cut = 1; cut < len; cut++) {
            reader_trace part;
            http_trace_run(&part, s->method, (const uint8_t *)s->bytes, cut, WHOLE);
            const char *const more = strstr(part.text, "more at ");
            if (more != NULL) /* what came before is what the whole begins with */
                CHECK(strncmp(part.text, s->trace, (size_t)(more - part.text)) == 0);
            else
                CHECK(strstr(part.text, "broken at") != NULL ||
                      strstr(part.text, " last;") != NULL);
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
            for (int value = 0; value < 256; value += value < 128 ? 1 : 31) {
                bytes[at] = (uint8_t)value;
                reader_trace whole;
                http_trace_run(&whole, s->method, bytes, len, WHOLE);
                check_cut(s, bytes, len, SINGLE, whole.text);
                check_cut(s, bytes, len, (size_t[]){at + 1, SIZE_MAX, 0}, whole.text);
            }
        }
    }
}

/* Traces head, then a line filled up to `fill` bytes, then tail; whole and in pieces of two sizes,
 * which must say the same. */
static const char *long_line(fb_http_method method, const char *head, size_t fill, const char *tail)
{
    static reader_trace trace;
    reader_trace cut;
    const size_t before = strlen(head);
    const size_t len = before + fill + strlen(tail);
    uint8_t *const bytes = malloc(len + 1);
    trace.text[0] = '\0';
    if (bytes == NULL)
        return trace.text;
    memcpy(bytes, head, before);
    memset(bytes + before, 'x', fill);
    memcpy(bytes + before + fill, tail, strlen(tail));
    http_trace_run(&trace, method, bytes, len, WHOLE);
    http_trace_run(&cut, method, bytes, len, (size_t[]){1000, 0});
    CHECK_STR(trace.text, cut.text);
    http_trace_run(&cut, method, bytes, len, (size_t[]){before, FB_HTTP_KEPT, 7, 0});
    CHECK_STR(trace.text, cut.text);
    free(bytes);
    return trace.text;
}

static const char *long_field(const char *head, size_t fill, const char *tail)
{
    return long_line(FB_HTTP_OTHER, head, fill, tail);
}

/* Lines may be as long as their limit and no longer; a field that frames must fit what is kept. */
static void test_line_limits(void)
{
    const char *const end = "\r\nContent-Length: 0\r\n\r\n";
    CHECK_STR("65576 0 |;more at 65576",
              long_field("HTTP/1.1 200 OK\r\nX:", FB_HTTP_MAX_LINE - 2, end));
    CHECK_STR("broken at 17: line is longer than 65536 bytes",
              long_field("HTTP/1.1 200 OK\r\nX:", FB_HTTP_MAX_LINE - 1, end));
    CHECK(strncmp(long_field("HTTP/1.1 200 OK\r\nTransfer-Encoding:", FB_HTTP_KEPT, end),
                  "broken at 17: field is too long: Transfer-Encoding:", 51) == 0);
    CHECK(strncmp(long_field("HTTP/1.1 200 OK\r\nConnection: close,", 200, end), "258 0 | last;",
                  13) == 0);
    CHECK_STR("broken at 0: line is longer than 65536 bytes",
              long_field("HTTP/1.1 200 ", FB_HTTP_MAX_LINE, end));
}

/* Of a request line that is too long to be kept the version is taken on trust, not so its method.
 */
static void test_long_request_line(void)
{
    const char *const end = " HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
    CHECK_STR("1037 0 |;more at 1037", long_line(FB_HTTP_REQUEST, "GET /", 1000, end));
    CHECK_STR("237 0 | last;more at 237", long_line(FB_HTTP_REQUEST, "GET /", 200, end));
    CHECK(strncmp(long_line(FB_HTTP_REQUEST, "GET", 1000, end),
                  "broken at 0: not a request line of HTTP/1: GETxxx", 49) == 0);
}

/* What a request is for is there when it has been read, wherever its line was cut in two; nothing
 * where it is too long, and nothing of the request before. */
static void test_path(void)
{
    char request[FB_HTTP_PATH + 64];
    for (size_t len = FB_HTTP_PATH - 1; len <= FB_HTTP_PATH + 1; len++) {
        char path[FB_HTTP_PATH + 2] = "/v2/models/m?";
        memset(path + 13, 'x', len - 13);
        const size_t first =
            (size_t)snprintf(request, sizeof request, "POST %.*s HTTP/1.1\r\n\r\n", (int)len, path);
        for (size_t cut = 1; cut < first; cut++) {
            fb_http_reader r;
            fb_reply reply;
            const uint8_t *bytes = (const uint8_t *)request;
            fb_http_init(&r);
            CHECK_EQ(cut, fb_http_feed(&r, FB_HTTP_REQUEST, bytes, cut, &reply));
            CHECK_EQ(first - cut,
                     fb_http_feed(&r, FB_HTTP_REQUEST, bytes + cut, first - cut, &reply));
            CHECK(reply.done);
            CHECK_EQ(len <= FB_HTTP_PATH ? len : 0, r.path_len);
            CHECK(memcmp(r.path, path, r.path_len) == 0);
            CHECK(fb_http_feed(&r, FB_HTTP_REQUEST, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18,
                               &reply) == 18);
            CHECK_EQ(1, r.path_len);
            CHECK_EQ('/', r.path[0]);
        }
    }
}

/* A head may be as long as its limit, interim replies included; a body of chunks is no head. */
static void test_head_limit(void)
{
    fb_http_reader r;
    fb_reply reply;
    fb_http_init(&r);
    const char interim[] = "HTTP/1.1 100 Go on\r\n\r\n";
    const long each = sizeof interim - 1;
    long n = each;
    int heads = 0;
    for (; n == each && heads < 100000; heads++)
        n = fb_http_feed(&r, FB_HTTP_OTHER, (const uint8_t *)interim, sizeof interim - 1, &reply);
    CHECK_EQ(FB_E_PROTOCOL, n);
    CHECK_STR("head is longer than 262144 bytes", r.error_text);
    CHECK_EQ(FB_HTTP_MAX_HEAD / 18 + 1, heads); /* line ends are not counted */
    fb_http_init(&r);
    const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    CHECK_EQ(sizeof head - 1, fb_http_feed(&r, FB_HTTP_OTHER, BYTES(head), &reply));
    for (int i = 0; i < 100000; i++)
        CHECK_EQ(12, fb_http_feed(&r, FB_HTTP_OTHER, BYTES("1;ext=1\r\nx\r\n"), &reply));
    CHECK(!reply.done);
}

/* The text and the class of an error are cut to what fb_reply promises. */
static void test_long_error(void)
{
    const char *const text = long_field("HTTP/1.1 500 ", 1000, "\r\nContent-Length: 0\r\n\r\n");
    const char *const class_end = strchr(text, '|');
    REQUIRE(class_end != NULL);
    CHECK_EQ(FB_ERROR_TEXT_MAX - 1, strchr(class_end, ';') - class_end - 1);
    const char *const body =
        long_field("HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n", 1000, "");
    const char *const text_end = strchr(body, '|');
    REQUIRE(text_end != NULL);
    CHECK(strncmp(text_end, "|500 No: xxx", 12) == 0);
    CHECK_EQ(FB_ERROR_TEXT_MAX - 1, strchr(text_end, ';') - text_end - 1);
}

/* A large body is consumed whatever it holds, in pieces of any size, and counted in 64 bits. */
static void test_large_body(void)
{
    fb_http_reader r;
    fb_reply reply;
    fb_http_init(&r);
    static uint8_t piece[1 << 20];
    memset(piece, '\r', sizeof piece);
    const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n";
    CHECK_EQ(sizeof head - 1, fb_http_feed(&r, FB_HTTP_OTHER, BYTES(head), &reply));
    for (uint64_t left = UINT64_C(5000000000); left > 0;) {
        CHECK(!reply.done);
        const size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        CHECK_EQ(n, fb_http_feed(&r, FB_HTTP_OTHER, piece, n, &reply));
        left -= n;
    }
    CHECK(reply.done);
    CHECK_EQ(FB_OUTCOME_OK, reply.outcome);
    CHECK_EQ(UINT64_C(5000000000) + sizeof head - 1, r.offset);
}

/* After a protocol error the reader says so again until it is initialised. */
static void test_broken_until_init(void)
{
    fb_http_reader r;
    fb_reply reply;
    fb_http_init(&r);
    CHECK_EQ(FB_E_PROTOCOL, fb_http_feed(&r, FB_HTTP_OTHER, BYTES("\n"), &reply));
    CHECK_EQ(FB_E_PROTOCOL, fb_http_feed(&r, FB_HTTP_OTHER, BYTES("HTTP/1.1 204\r\n\r\n"), &reply));
    CHECK(!reply.done);
    CHECK(!fb_http_end(&r, &reply));
    fb_http_init(&r);
    CHECK_EQ(16, fb_http_feed(&r, FB_HTTP_OTHER, BYTES("HTTP/1.1 204\r\n\r\n"), &reply));
    CHECK(reply.done);
}

/* A connection that ends between replies, or within one of known length, ends none. */
static void test_end(void)
{
    fb_http_reader r;
    fb_reply reply;
    fb_http_init(&r);
    CHECK(!fb_http_end(&r, &reply));
    CHECK_EQ(18, fb_http_feed(&r, FB_HTTP_OTHER, BYTES("HTTP/1.0 200\r\n\r\nab"), &reply));
    CHECK(!reply.done);
    CHECK(fb_http_end(&r, &reply));
    CHECK(reply.done && reply.last);
    CHECK(!fb_http_end(&r, &reply));
    fb_http_init(&r);
    const char half[] = "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nab";
    CHECK_EQ(sizeof half - 1, fb_http_feed(&r, FB_HTTP_OTHER, BYTES(half), &reply));
    CHECK(!fb_http_end(&r, &reply));
}

int main(void)
{
    RUN(test_whole);
    RUN(test_every_cut);
    RUN(test_skipping);
    RUN(test_truncated);
    RUN(test_damage);
    RUN(test_line_limits);
    RUN(test_long_request_line);
    RUN(test_path);
    RUN(test_head_limit);
    RUN(test_long_error);
    RUN(test_large_body);
    RUN(test_broken_until_init);
    RUN(test_end);
    return check_result();
}
