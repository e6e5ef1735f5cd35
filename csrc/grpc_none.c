/* In place of grpc.c where libnghttp2 was not there at build time. */
#include "protocol.h"

static int absent(void *state, uint32_t places, uint32_t pieces, fb_error *err)
{
    (void)state;
    (void)places;
    (void)pieces;
    return fb_error_set(err, FB_E_INVAL, 0,
                        "fastbench was built without libnghttp2 and cannot speak gRPC: install "
                        "libnghttp2-dev and build it again");
}

static void fini(void *state)
{
    (void)state;
}

static const fb_multiplexed none = {.init = absent, .fini = fini};

/* No connection of it ever stands. */
const fb_protocol fb_grpc_protocol = {.state_bytes = sizeof(fb_calls), .multiplexed = &none};
