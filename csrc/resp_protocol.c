#include "protocol.h"

#include "fastbench.h"
#include "resp.h"

#include <inttypes.h>

static void reset(void *state)
{
    fb_resp_init(state);
}

static long feed(void *state, const fb_message *message, const uint8_t *bytes, size_t len,
                 fb_reply *reply)
{
    return fb_resp_feed(state, &message->spec, bytes, len, reply);
}

static void explain(const void *state, fb_error *err)
{
    const fb_resp_reader *reader = state;
    fb_error_set(err, FB_E_PROTOCOL, 0, "reply is not RESP at byte %" PRIu64 ": %s", reader->offset,
                 reader->error_text);
}

static const fb_protocol resp_protocol = {
    .state_bytes = sizeof(fb_resp_reader),
    .reset = reset,
    .feed = feed,
    .explain = explain,
};

const fb_protocol *fb_protocol_find(int protocol)
{
    return protocol == FB_PROTOCOL_RESP ? &resp_protocol : NULL;
}
