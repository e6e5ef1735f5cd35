#include "http.h"
#include "protocol.h"

#include <inttypes.h>
#include <string.h>

static const char HEAD[] = "HEAD ";

static void reset(void *state)
{
    fb_http_init(state);
}

/* A message begins with its method, in its first text. */
static fb_http_method method_of(const fb_message *message)
{
    const bool head =
        message->text_max >= sizeof HEAD - 1 && memcmp(message->text, HEAD, sizeof HEAD - 1) == 0;
    return head ? FB_HTTP_HEAD : FB_HTTP_OTHER;
}

static long feed(void *state, const fb_message *message, const uint8_t *bytes, size_t len,
                 fb_reply *reply)
{
    return fb_http_feed(state, method_of(message), bytes, len, reply);
}

static bool end(void *state, fb_reply *reply)
{
    return fb_http_end(state, reply);
}

static void explain(const void *state, fb_error *err)
{
    const fb_http_reader *reader = state;
    fb_error_set(err, FB_E_PROTOCOL, 0, "reply is not HTTP/1.1 at byte %" PRIu64 ": %s",
                 reader->offset, reader->error_text);
}

const fb_protocol fb_http_protocol = {
    .state_bytes = sizeof(fb_http_reader),
    .reset = reset,
    .feed = feed,
    .end = end,
    .explain = explain,
};
