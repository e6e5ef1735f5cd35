/* Fuzz target: any bytes from a server, cut in any way, end the same calls in the same way, each
 * at most once. The first byte chooses the cuts. */
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fb_field head[] = {{":method", "POST"}, {":scheme", "http"}, {":path", "/s/M"}};

typedef struct trace {
    char text[1024];
    uint32_t ended;
    int code;
} trace;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static void note(trace *t, const fb_calls *c, uint32_t place)
{
    const fb_call *call = &c->calls[place];
    const size_t at = strlen(t->text);
    if (++t->ended > PLACES || place >= PLACES) {
        fail("a call ended that was not under way");
    }
    (void)snprintf(t->text + at, sizeof t->text - at, "%u:%d:%s:%s;", place, call->refused,
                   call->refused ? "" : call->reply.error_class,
                   call->refused ? "" : call->reply.error_text);
}

/* As many calls as there are places, whole on the wire, and then what the server says. */
static void run(trace *t, const uint8_t *data, size_t size, size_t cut)
{
    const fb_multiplexed *m = fb_grpc_protocol.multiplexed;
    const fb_message message = {.head = (fb_field *)(uintptr_t)head, .n_head = 3};
    fb_outq out;
    uint32_t place;
    void *state = calloc(1, fb_grpc_protocol.state_bytes);
    if (!state || m->init(state, PLACES, 1, NULL) != FB_OK || fb_outq_init(&out, 64, NULL) != 0) {
        abort();
    }
    fb_calls *calls = state;
    *t = (trace){0};
    fb_grpc_protocol.reset(state);
    for (uint32_t i = 0; i < PLACES; i++) {
        place = fb_calls_take(calls);
        (void)fb_outq_push_mem(&calls->calls[place].body, "\0\0\0\0\0", 5);
        m->submit(state, place, &message);
    }
    (void)m->pump(state, &out);
    fb_outq_advance(&out, out.pushed);
    for (size_t at = 0; at < size && t->code == FB_OK;) {
        const size_t n = size - at < cut ? size - at : cut;
        t->code = m->take(state, data + at, n);
        while (fb_calls_next_ended(calls, &place)) {
            note(t, calls, place);
        }
        at += n;
    }
    if (t->code == FB_OK) { /* nghttp2 may keep an error to itself until it has told the peer */
        t->code = m->pump(state, &out);
    }
    m->fini(state);
    fb_outq_fini(&out);
    free(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static trace whole;
    static trace cut;
    if (size < 1) {
        return 0;
    }
    run(&whole, data + 1, size - 1, SIZE_MAX);
    run(&cut, data + 1, size - 1, (size_t)data[0] + 1);
    if (strcmp(whole.text, cut.text) != 0 || whole.code != cut.code) {
        fprintf(stderr, "whole: %d %s\ncut: %d %s\n", whole.code, whole.text, cut.code, cut.text);
        abort();
    }
    return 0;
}
