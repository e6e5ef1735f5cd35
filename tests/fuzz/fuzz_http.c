/* Fuzz target: any bytes, cut in any way, make the HTTP reader say the same, and never read
 * outside them. The first byte chooses what is read, the second and third the cuts. */
#include "http_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static reader_trace whole;
    static reader_trace cut;
    if (size < 3)
        return 0;
    const fb_http_method method = (fb_http_method)(data[0] % 3u); /* replies, or requests */
    const size_t sizes[] = {(size_t)data[1] + 1, (size_t)data[2] + 1, 0};
    http_trace_run(&whole, method, data + 3, size - 3, (size_t[]){SIZE_MAX, 0});
    http_trace_run(&cut, method, data + 3, size - 3, sizes);
    if (strcmp(whole.text, cut.text) != 0 || whole.wrong_count || cut.wrong_count) {
        fprintf(stderr, "whole: %s\ncut: %s\n", whole.text, cut.text);
        abort();
    }
    return 0;
}
