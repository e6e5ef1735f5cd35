#include "protocol.h"

#include "resp_body.h"

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
                 reader->found.error_text);
}

/* ---- keeping what replies hold ------------------------------------------------------------- */

typedef struct keeper {
    fb_resp_reader reader; /* first: what explains a failure looks for it there */
    fb_body *body;         /* of the reply being read; NULL = it is not kept */
} keeper;

static void keeper_reset(void *state)
{
    keeper *k = state;
    fb_resp_init(&k->reader);
    k->body = NULL;
}

static long keeper_feed(void *state, const fb_message *message, const uint8_t *bytes, size_t len,
                        fb_reply *reply)
{
    keeper *k = state;
    if (!k->body) {
        return fb_resp_feed(&k->reader, &message->spec, bytes, len, reply);
    }
    const long used = fb_resp_body_feed(&k->reader, &message->spec, k->body, bytes, len, reply);
    k->body = used >= 0 && !reply->done ? k->body : NULL;
    return used;
}

static void keeper_keep(void *state, fb_body *body)
{
    keeper *k = state;
    k->body = body;
}

static const fb_protocol resp_keeping = {
    .state_bytes = sizeof(keeper),
    .reset = keeper_reset,
    .feed = keeper_feed,
    .explain = explain,
    .keep = keeper_keep,
};

const fb_protocol fb_resp_protocol = {
    .state_bytes = sizeof(fb_resp_reader),
    .reset = reset,
    .feed = feed,
    .explain = explain,
    .keeping = &resp_keeping,
};
