/* Fuzz target: any bytes from a client of the null server for gRPC, cut in any way, make the same
 * number of calls whether what may be passed over is or not. The first byte chooses the cuts. */
#include "nullgrpc.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static void drain(fb_nullgrpc *g, fb_outq *out)
{
    while (fb_nullgrpc_queue(g)) {
        fb_outq_advance(out, out->pushed - out->sent);
    }
}

/* Returns the calls. */
static uint64_t run(const fb_nullreplies *replies, const uint8_t *data, size_t size, size_t cut,
                    bool skips)
{
    fb_outq out;
    uint64_t calls = 0;
    if (fb_outq_init(&out, 64, NULL) != FB_OK) {
        fail("no memory");
    }
    fb_nullgrpc *g = fb_nullgrpc_new(replies, &out);
    if (g == NULL) {
        fail("no memory");
    }
    bool good = true;
    for (size_t at = 0; at < size && good && !fb_nullgrpc_over(g);) {
        const size_t left = size - at;
        const uint64_t due = fb_nullgrpc_skippable(g);
        const size_t piece = due > 0 && due < cut ? (size_t)due : cut;
        const size_t n = left < piece ? left : piece;
        uint64_t more = 0;
        if (skips && n <= due) {
            fb_nullgrpc_skip(g, n);
        } else {
            good = fb_nullgrpc_take(g, data + at, n, &more);
        }
        calls += more;
        drain(g, &out);
        at += n;
    }
    fb_nullgrpc_free(g);
    fb_outq_fini(&out);
    return calls;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fb_nullanswer answer = {.path = "/a", .body_len = 20000};
    const fb_nullreplies_config config = {
        .protocol = FB_PROTOCOL_GRPC, .reply_bytes = 5, .n_answers = 1, .answers = &answer};
    fb_nullreplies replies;
    if (size < 1) {
        return 0;
    }
    if (fb_nullreplies_init(&replies, &config, NULL) != FB_OK) {
        fail("no memory");
    }
    const size_t cut = (size_t)data[0] + 1;
    if (run(&replies, data + 1, size - 1, cut, false) !=
        run(&replies, data + 1, size - 1, cut, true)) {
        fail("other calls when passing over");
    }
    fb_nullreplies_fini(&replies);
    return 0;
}
