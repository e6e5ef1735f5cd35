/* Fuzz target: any bytes, cut in any way, make the RESP reader say the same, and never read
 * outside them. The first byte chooses the spec, the second and third the cuts. */
#include "resp_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const fb_resp_expect OPS[] = {{'*', 3}, {'+', 0}, {'+', 0}, {'$', 4}};

static const fb_resp_spec SPECS[] = {
    {.replies = 1},
    {.replies = 3, .redisai = true},
    {.replies = 1, .redisai = true, .expects = 4, .expect = OPS},
    {.replies = 3, .redisai = true, .expects = 3, .expect = OPS + 1},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const fb_resp_spec *const spec = &SPECS[data[0] % 4];
    const size_t cuts[] = {1 + data[1] % 32u, 1 + data[2], 0};
    reader_trace whole;
    reader_trace cut;
    resp_trace_run(&whole, spec, data + 3, size - 3, (const size_t[]){SIZE_MAX, 0});
    resp_trace_run(&cut, spec, data + 3, size - 3, cuts);
    if (strcmp(whole.text, cut.text) != 0 || whole.wrong_count || cut.wrong_count) {
        fprintf(stderr, "whole: %s\ncut: %s\n", whole.text, cut.text);
        abort();
    }
    return 0;
}
