/* Fuzz target: any bytes, cut in any way, make the request reader say the same, and never read
 * outside them. The first two bytes choose the cuts, the third whether bytes are skipped unseen. */
#include "request_trace.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static request_trace whole;
    static request_trace cut;
    if (size < 3) {
        return 0;
    }
    const size_t cuts[] = {1 + data[0] % 32u, 1 + data[1], 0};
    /* Long inputs make long traces; both stop there, but not at the same command. */
    if (size > 4096) {
        return 0;
    }
    request_trace_run(&whole, data + 3, size - 3, (const size_t[]){SIZE_MAX, 0}, false);
    request_trace_run(&cut, data + 3, size - 3, cuts, data[2] % 2 == 1);
    if (strcmp(whole.text, cut.text) != 0) {
        fprintf(stderr, "whole: %s\ncut: %s\n", whole.text, cut.text);
        abort();
    }
    return 0;
}
