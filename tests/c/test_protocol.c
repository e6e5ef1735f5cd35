/* Protocols are found by their numbers. */
#include "check.h"
#include "fastbench.h"
#include "protocol.h"

/* Each number finds its own table, and one that names no protocol finds none. */
static void test_find(void)
{
    CHECK(fb_protocol_find(0) == NULL);
    CHECK(fb_protocol_find(99) == NULL);
    CHECK(fb_protocol_find(FB_PROTOCOL_RESP) == &fb_resp_protocol);
    CHECK(fb_protocol_find(FB_PROTOCOL_HTTP) == &fb_http_protocol);
    CHECK(fb_protocol_find(FB_PROTOCOL_GRPC) == &fb_grpc_protocol);
}

int main(void)
{
    RUN(test_find);
    return check_result();
}
