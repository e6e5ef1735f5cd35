/* Prints the CPU time that recording one latency takes, and that of merging and of a quantile. */
#include "clock.h"
#include "hist.h"
#include "random.h"

#include <stdio.h>
#include <stdlib.h>

#define VALUES 65536
#define ROUNDS 200

static void measure_record(const char *name, fb_hist *h, const uint64_t *values)
{
    const uint64_t begin = fb_thread_cpu_ns();
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < VALUES; i++)
            fb_hist_record(h, values[i]);
    const uint64_t spent = fb_thread_cpu_ns() - begin;
    printf("%-44s %6.1f ns per record\n", name, (double)spent / ((double)VALUES * ROUNDS));
}

int main(void)
{
    fb_hist *h = malloc(sizeof *h);
    fb_hist *sum = malloc(sizeof *sum);
    uint64_t *values = malloc(VALUES * sizeof *values);
    if (h == NULL || sum == NULL || values == NULL)
        return 1;
    fb_hist_clear(h);
    fb_hist_clear(sum);
    fb_random random;
    fb_random_init(&random, 1);
    for (int i = 0; i < VALUES; i++)
        values[i] = 100000 + (uint64_t)fb_random_exponential(&random, 20000.0);
    measure_record("latencies around 120 us", h, values);
    for (int i = 0; i < VALUES; i++)
        values[i] = fb_random_next(&random) >> (24 + fb_random_below(&random, 40));
    measure_record("latencies of every magnitude up to 18 min", h, values);

    uint64_t begin = fb_thread_cpu_ns();
    for (int i = 0; i < ROUNDS; i++)
        fb_hist_add(sum, h);
    printf("%-44s %6.1f us\n", "merge", (double)(fb_thread_cpu_ns() - begin) / 1e3 / ROUNDS);
    begin = fb_thread_cpu_ns();
    uint64_t highest = 0;
    for (int i = 0; i < ROUNDS; i++)
        highest += fb_hist_quantile(sum, 0.999);
    printf("%-44s %6.1f us\n", "quantile", (double)(fb_thread_cpu_ns() - begin) / 1e3 / ROUNDS);
    free(h);
    free(sum);
    free(values);
    return highest > 0 ? 0 : 1;
}
