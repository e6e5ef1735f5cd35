/* Prints the CPU time that reading one reply takes, for the replies that benchmarks meet most. */
#include "clock.h"
#include "resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLIES_PER_BUFFER 64
#define ROUNDS 50000

/* Feeds one buffer of replies as a connection does: one call for each inference. */
static int feed_all(fb_resp_reader *r, const fb_resp_spec *spec, const uint8_t *bytes, size_t len)
{
    int done = 0;
    fb_reply reply;
    while (len > 0) {
        const long n = fb_resp_feed(r, spec, bytes, len, &reply);
        if (n < 0 || reply.outcome != FB_OUTCOME_OK)
            exit(1);
        bytes += n;
        len -= (size_t)n;
        done += reply.done;
    }
    return done;
}

static void measure(const char *name, const char *head, size_t body, const fb_resp_spec *spec)
{
    const size_t head_len = strlen(head);
    const size_t one = head_len + (body > 0 ? body + 2 : 0);
    uint8_t *buffer = calloc(REPLIES_PER_BUFFER, one);
    if (buffer == NULL)
        exit(1);
    for (size_t i = 0; i < REPLIES_PER_BUFFER; i++) {
        memcpy(buffer + i * one, head, head_len);
        if (body > 0)
            memcpy(buffer + (i + 1) * one - 2, "\r\n", 2);
    }
    fb_resp_reader r;
    fb_resp_init(&r);
    uint64_t done = 0;
    const uint64_t begin = fb_thread_cpu_ns();
    for (int i = 0; i < ROUNDS; i++)
        done += (uint64_t)feed_all(&r, spec, buffer, REPLIES_PER_BUFFER * one);
    const uint64_t spent = fb_thread_cpu_ns() - begin;
    printf("%-44s %6.1f ns per reply\n", name, (double)spent / (double)done);
    free(buffer);
}

int main(void)
{
    const fb_resp_spec any = {.replies = 1};
    const fb_resp_expect plain[] = {{'+', 0}};
    const fb_resp_spec ok = {.replies = 1, .redisai = true, .expects = 1, .expect = plain};
    const fb_resp_expect ops[] = {{'*', 3}, {'+', 0}, {'+', 0}, {'$', 4004}};
    const fb_resp_spec dag = {.replies = 1, .redisai = true, .expects = 4, .expect = ops};
    measure("+OK", "+OK\r\n", 0, &any);
    measure("+OK, expected", "+OK\r\n", 0, &ok);
    measure("+PONG", "+PONG\r\n", 0, &ok);
    measure(":1", ":1\r\n", 0, &any);
    measure("$-1", "$-1\r\n", 0, &any);
    measure("bulk string of 3 bytes", "$3\r\n", 3, &any);
    measure("bulk string of 4,004 bytes", "$4004\r\n", 4004, &any);
    measure("array of +OK, +OK and 4,004 bytes, expected", "*3\r\n+OK\r\n+OK\r\n$4004\r\n", 4004,
            &dag);
    return 0;
}
