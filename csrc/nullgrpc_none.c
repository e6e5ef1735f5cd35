/* In place of nullgrpc.c where libnghttp2 was not there at build time: no server of it ever runs.
 */
#include "nullgrpc.h"

int fb_nullgrpc_check(fb_error *err)
{
    return fb_error_set(err, FB_E_INVAL, 0,
                        "fastbench was built without libnghttp2 and has no null server for gRPC: "
                        "install libnghttp2-dev and build it again");
}

fb_nullgrpc *fb_nullgrpc_new(const fb_nullreplies *replies, fb_outq *out)
{
    (void)replies;
    (void)out;
    return NULL;
}

bool fb_nullgrpc_take(fb_nullgrpc *g, const uint8_t *bytes, size_t len, uint64_t *requests)
{
    (void)g;
    (void)bytes;
    (void)len;
    *requests = 0;
    return false;
}

uint64_t fb_nullgrpc_skippable(const fb_nullgrpc *g)
{
    (void)g;
    return 0;
}

void fb_nullgrpc_skip(fb_nullgrpc *g, uint64_t n)
{
    (void)g;
    (void)n;
}

bool fb_nullgrpc_queue(fb_nullgrpc *g)
{
    (void)g;
    return false;
}

bool fb_nullgrpc_over(const fb_nullgrpc *g)
{
    (void)g;
    return true;
}

void fb_nullgrpc_free(fb_nullgrpc *g)
{
    (void)g;
}
