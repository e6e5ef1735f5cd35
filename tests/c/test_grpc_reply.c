/* What a gRPC reply says, by its fields and its message, in any pieces. */
#include "check.h"
#include "grpc_reply.h"

#include <stdio.h>

static void field(fb_grpc_reply *r, const char *name, const char *value)
{
    fb_grpc_reply_field(r, name, strlen(name), value, strlen(value));
}

/* A reply that has begun well: HTTP 200 of gRPC's type. */
static void begin(fb_grpc_reply *r)
{
    fb_grpc_reply_begin(r);
    field(r, ":status", "200");
    field(r, "content-type", "application/grpc+proto");
}

static void data(fb_grpc_reply *r, const char *bytes, size_t len)
{
    fb_grpc_reply_data(r, (const uint8_t *)bytes, len);
}

/* The class of an error after the end; "" = it was ok. */
static const char *end(fb_grpc_reply *r, fb_reply *reply)
{
    fb_grpc_reply_end(r, reply);
    CHECK(reply->done);
    CHECK_EQ(reply->error_class[0] ? FB_OUTCOME_ERROR : FB_OUTCOME_OK, reply->outcome);
    return reply->error_class;
}

/* One whole message and status 0 are ok, wherever the pieces are cut; an empty message too. */
static void test_ok(void)
{
    static const char message[] = "\0\0\0\0\3abc";
    fb_grpc_reply r;
    fb_reply reply;
    for (size_t cut = 0; cut <= 8; cut++) {
        begin(&r);
        data(&r, message, cut);
        data(&r, message + cut, 8 - cut);
        field(&r, "grpc-status", "0");
        CHECK_STR("", end(&r, &reply));
    }
    begin(&r);
    for (size_t i = 0; i < FB_GRPC_PREFIX; i++) {
        data(&r, "\0", 1);
    }
    field(&r, "grpc-status", "0");
    CHECK_STR("", end(&r, &reply));
}

/* Status 0 alone is no success. */
static void test_ok_without_its_message(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } bad[] = {
        {"", 0, "not one message"},       {"\0\0\0\0\3ab", 7, "cut short"},
        {"\0\0\0", 3, "cut short"},       {"\0\0\0\0\1a\0\0\0\0\1b", 12, "not one message"},
        {"\1\0\0\0\1a", 6, "compressed"},
    };
    fb_grpc_reply r;
    fb_reply reply;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(&r);
        data(&r, bad[i].bytes, bad[i].len);
        field(&r, "grpc-status", "0");
        CHECK_STR("UNEXPECTED", end(&r, &reply));
        CHECK(strstr(reply.error_text, bad[i].text) != NULL);
    }
}

/* Errors are named by their status; the message is decoded and made one line. */
static void test_statuses(void)
{
    fb_grpc_reply r;
    fb_reply reply;
    begin(&r);
    field(&r, "grpc-message", "no model %22x%22%0Aat%all %e2%82%ac%4");
    field(&r, "grpc-status", "5");
    CHECK_STR("GRPC 5 NOT_FOUND", end(&r, &reply));
    CHECK_STR("no model \"x\" at%all \xe2\x82\xac%4", reply.error_text);
    begin(&r);
    field(&r, "grpc-status", "16");
    CHECK_STR("GRPC 16 UNAUTHENTICATED", end(&r, &reply));
    CHECK_STR("", reply.error_text);
    begin(&r);
    field(&r, "grpc-status", "99");
    CHECK_STR("GRPC 99", end(&r, &reply));
}

/* Without a status HTTP's says more, or the type. */
static void test_no_status(void)
{
    fb_grpc_reply r;
    fb_reply reply;
    fb_grpc_reply_begin(&r);
    field(&r, ":status", "503");
    field(&r, "content-type", "text/html");
    CHECK_STR("HTTP 503", end(&r, &reply));
    fb_grpc_reply_begin(&r);
    field(&r, ":status", "200");
    field(&r, "content-type", "application/grpcx");
    CHECK_STR("UNEXPECTED", end(&r, &reply));
    CHECK(strstr(reply.error_text, "content-type") != NULL);
    begin(&r);
    CHECK_STR("UNEXPECTED", end(&r, &reply));
    CHECK(strstr(reply.error_text, "without a grpc-status") != NULL);
    /* A status tells, whatever HTTP says; but 0 then is no success. */
    fb_grpc_reply_begin(&r);
    field(&r, ":status", "404");
    field(&r, "grpc-status", "12");
    CHECK_STR("GRPC 12 UNIMPLEMENTED", end(&r, &reply));
    fb_grpc_reply_begin(&r);
    field(&r, ":status", "500");
    field(&r, "grpc-status", "0");
    data(&r, "\0\0\0\0\0", 5);
    CHECK_STR("UNEXPECTED", end(&r, &reply));
}

/* What does not fit is cut; numbers that are none are no status 0. */
static void test_limits(void)
{
    fb_grpc_reply r;
    fb_reply reply;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    begin(&r);
    field(&r, "grpc-message", text);
    field(&r, "grpc-status", "4294967296");
    CHECK(strncmp("GRPC 4294967295", end(&r, &reply), 15) == 0);
    CHECK_EQ(FB_ERROR_TEXT_MAX - 1, strlen(reply.error_text));
    begin(&r);
    field(&r, "grpc-status", "");
    CHECK_EQ(FB_OUTCOME_ERROR, (end(&r, &reply), reply.outcome));
    fb_grpc_reply_fail(&r, text, text, &reply);
    CHECK_EQ(FB_ERROR_CLASS_MAX - 1, strlen(reply.error_class));
}

int main(void)
{
    RUN(test_ok);
    RUN(test_ok_without_its_message);
    RUN(test_statuses);
    RUN(test_no_status);
    RUN(test_limits);
    return check_result();
}
