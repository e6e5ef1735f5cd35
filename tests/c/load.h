/* A small load for tests: one stream of PING to one address, and the configuration around it. */
#ifndef FB_TEST_LOAD_H
#define FB_TEST_LOAD_H

#include "fastbench.h"

#include <string.h>

#define LOAD_PING "*1\r\n$4\r\nPING\r\n"

/* Its parts point at each other: it must stay where load_init was called on it. */
typedef struct load {
    fb_part part, opening_part;
    fb_message_config message, opening;
    fb_endpoint endpoint;
    fb_stream_config stream;
    fb_engine_config config;
} load;

static inline fb_part load_text(const char *text)
{
    return (fb_part){.kind = FB_PART_TEXT, .bytes = (const uint8_t *)text, .len = strlen(text)};
}

/* One connection, one thread, one inference in flight, ten requests; change what a test needs. */
static inline void load_init(load *l, const char *host, uint16_t port)
{
    *l = (load){0};
    l->part = load_text(LOAD_PING);
    l->message = (fb_message_config){.parts = &l->part, .n_parts = 1, .replies = 1};
    l->opening_part = load_text("*1\r\n$5\r\nHELLO\r\n");
    l->opening = (fb_message_config){.parts = &l->opening_part, .n_parts = 1, .replies = 1};
    l->endpoint = (fb_endpoint){.host = host, .port = port};
    l->stream = (fb_stream_config){
        .protocol = FB_PROTOCOL_RESP,
        .endpoints = &l->endpoint,
        .n_endpoints = 1,
        .connections = 1,
        .pipeline = 1,
        .messages = &l->message,
        .n_messages = 1,
        .openings = &l->opening,
    };
    l->config = (fb_engine_config){
        .streams = &l->stream,
        .n_streams = 1,
        .threads = 1,
        .requests = 10,
        .timeout_ns = 60 * FB_NS_PER_S,
        .connect_timeout_ns = 60 * FB_NS_PER_S,
        .give_up_ns = 60 * FB_NS_PER_S,
        .interval_ns = 50 * FB_NS_PER_MS,
        .seed = 1,
        .max_errors = -1,
    };
}

#endif
