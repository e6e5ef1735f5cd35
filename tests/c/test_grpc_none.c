/* What takes the place of gRPC where libnghttp2 was not there: linked here in any case. */
#include "check.h"
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

int main(void)
{
    RUN(test_says_what_is_missing);
    return check_result();
}
