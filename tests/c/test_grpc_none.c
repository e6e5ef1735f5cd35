/* What takes the place of gRPC where libnghttp2 was not there: linked here in any case. */
#include "check.h"
#include "nullgrpc.h"
#include "protocol.h"

static void test_says_what_is_missing(void)
{
    fb_error err = {0};
    fb_calls state = {0};
    CHECK_EQ(FB_E_INVAL, fb_grpc_protocol.multiplexed->init(&state, 1, 1, &err));
    CHECK_EQ(FB_E_INVAL, err.code);
    CHECK(strstr(err.text, "libnghttp2-dev") != NULL);
    CHECK(fb_grpc_protocol.state_bytes >= sizeof state);
    fb_grpc_protocol.multiplexed->fini(&state);
}

static void test_no_null_server_either(void)
{
    fb_error err = {0};
    uint64_t requests = 1;
    CHECK_EQ(FB_E_INVAL, fb_nullgrpc_check(&err));
    CHECK(strstr(err.text, "libnghttp2-dev") != NULL);
    CHECK(fb_nullgrpc_new(NULL, NULL) == NULL);
    CHECK(!fb_nullgrpc_take(NULL, NULL, 0, &requests));
    CHECK_EQ(0, requests);
    CHECK_EQ(0, fb_nullgrpc_skippable(NULL));
    fb_nullgrpc_skip(NULL, 0);
    CHECK(!fb_nullgrpc_queue(NULL));
    CHECK(fb_nullgrpc_over(NULL));
    fb_nullgrpc_free(NULL);
}

int main(void)
{
    RUN(test_says_what_is_missing);
    RUN(test_no_null_server_either);
    return check_result();
}
