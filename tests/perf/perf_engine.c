/* Drives a RESP server with one small command and prints what it costs the client per request.
 *
 *     perf_engine HOST PORT CONNECTIONS PIPELINE SECONDS [CPU] */
#include "fastbench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc < 6) {
        (void)fprintf(stderr, "usage: perf_engine HOST PORT CONNECTIONS PIPELINE SECONDS [CPU]\n");
        return 2;
    }
    static const char command[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$52\r\n"
                                  "0123456789012345678901234567890123456789012345678901\r\n";
    const fb_part part = {
        .kind = FB_PART_TEXT, .bytes = (const uint8_t *)command, .len = sizeof command - 1};
    const fb_message_config message = {.parts = &part, .n_parts = 1, .replies = 1};
    const fb_endpoint endpoint = {.host = argv[1], .port = (uint16_t)atoi(argv[2])};
    const int cpu = argc > 6 ? atoi(argv[6]) : -1;
    const fb_stream_config stream = {
        .protocol = FB_PROTOCOL_RESP,
        .endpoints = &endpoint,
        .n_endpoints = 1,
        .connections = (uint32_t)atoi(argv[3]),
        .pipeline = (uint32_t)atoi(argv[4]),
        .messages = &message,
        .n_messages = 1,
    };
    const fb_engine_config config = {
        .streams = &stream,
        .n_streams = 1,
        .threads = 1,
        .cpus = &cpu,
        .warmup_ns = 200 * FB_NS_PER_MS,
        .duration_ns = (uint64_t)(atof(argv[5]) * (double)FB_NS_PER_S),
        .timeout_ns = 5 * FB_NS_PER_S,
        .connect_timeout_ns = 5 * FB_NS_PER_S,
        .give_up_ns = FB_NS_PER_S,
        .interval_ns = FB_NS_PER_S,
        .max_errors = -1,
    };
    fb_error err = {0};
    fb_engine *engine = NULL;
    if (fb_engine_new(&config, &engine, &err) != 0 || fb_engine_start(engine, &err) != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    static fb_interval interval;
    static fb_hist service;
    fb_hist_clear(&service);
    while (!fb_engine_wait(engine, 200 * FB_NS_PER_MS)) {
        while (fb_engine_take_interval(engine, 0, &interval)) {
            fb_hist_add(&service, &interval.service);
        }
    }
    const int rc = fb_engine_join(engine, &err);
    while (fb_engine_take_interval(engine, 0, &interval)) {
        fb_hist_add(&service, &interval.service);
    }
    fb_totals t;
    fb_thread_usage u;
    fb_engine_totals(engine, 0, &t);
    fb_engine_thread(engine, 0, &u);
    const double n = t.counts.ok > 0 ? (double)t.counts.ok : 1;
    (void)printf("rc %d %s ok %.0f recorded %.0f req/s %.0f | us/request user %.4f system %.4f | "
                 "busy %.2f | service us p50 %.1f p99 %.1f\n",
                 rc, rc ? err.text : "", n, (double)service.total,
                 n * 1e9 / (double)(t.end_ns - t.begin_ns), (double)u.user_ns / n / 1e3,
                 (double)u.system_ns / n / 1e3,
                 (double)(u.user_ns + u.system_ns) / (double)u.elapsed_ns,
                 (double)fb_hist_quantile(&service, 0.5) / 1e3,
                 (double)fb_hist_quantile(&service, 0.99) / 1e3);
    fb_engine_free(engine);
    return rc != 0;
}
