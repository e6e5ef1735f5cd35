#include "keys.h"

#include <math.h>
#include <stdlib.h>

#define USUAL_ZIPF 0.99

/* Uniform in [0, 1) with 53 bits. */
static double unit(fb_random *random)
{
    return (double)(fb_random_next(random) >> 11) * 0x1p-53;
}

/* ---- Zipf by rejection-inversion
 * -----------------------------------------------------------------
 *
 * W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6 (1996): no tables, a constant number of steps whatever the range.
 * area() is the integral of 1 / x^shape from 1, inverse() its inverse; both are written so that
 * they stay exact near shape = 1. */

static double area(const fb_keys *keys, double x)
{
    const double log_x = log(x);
    const double t = (1 - keys->shape) * log_x;
    return fabs(t) > 1e-8 ? expm1(t) / t * log_x : log_x * (1 + t / 2);
}

static double inverse(const fb_keys *keys, double y)
{
    const double t = fmax(y * (1 - keys->shape), -1.0);
    return exp(fabs(t) > 1e-8 ? log1p(t) / t * y : y * (1 - t / 2));
}

static double weight(const fb_keys *keys, double x)
{
    return exp(-keys->shape * log(x));
}

static void init_zipf(fb_keys *keys)
{
    keys->zipf_first = area(keys, 1.5) - 1;
    keys->zipf_last = area(keys, (double)keys->count + 0.5);
    keys->zipf_sure = 2 - inverse(keys, area(keys, 2.5) - weight(keys, 2));
}

static uint64_t next_zipf(const fb_keys *keys, fb_random *random)
{
    for (;;) {
        const double y = keys->zipf_last + unit(random) * (keys->zipf_first - keys->zipf_last);
        const double x = inverse(keys, y);
        const double rank = fmin(fmax(floor(x + 0.5), 1.0), (double)keys->count);
        if (rank - x <= keys->zipf_sure || y >= area(keys, rank + 0.5) - weight(keys, rank)) {
            return (uint64_t)rank - 1;
        }
    }
}

/* ---- normal, cut to the range
 * --------------------------------------------------------------------- */

static uint64_t next_gauss(const fb_keys *keys, fb_random *random)
{
    const double middle = (double)(keys->count - 1) / 2;
    for (;;) {
        /* Box and Muller, "A note on the generation of random normal deviates", 1958. */
        const double radius = sqrt(-2 * log(1 - unit(random)));
        const double normal = radius * cos(2 * 3.14159265358979323846 * unit(random));
        const double value = floor(middle + normal * keys->shape + 0.5);
        if (value >= 0 && value < (double)keys->count) {
            return (uint64_t)value;
        }
    }
}

/* ---- listed values
 * --------------------------------------------------------------------------------- */

static int init_table(fb_keys *keys, const fb_keys_config *config, fb_error *err)
{
    double sum = 0;
    keys->count = config->n_values;
    keys->values = calloc((size_t)config->n_values + 1, sizeof *keys->values);
    keys->cumulative = calloc((size_t)config->n_values + 1, sizeof *keys->cumulative);
    if (!keys->values || !keys->cumulative) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u values", config->n_values);
    }
    for (uint32_t i = 0; i < config->n_values; i++) {
        sum += config->weights[i];
        keys->values[i] = config->values[i];
        keys->cumulative[i] = sum;
        keys->highest = config->values[i] > keys->highest ? config->values[i] : keys->highest;
    }
    for (uint32_t i = 0; i < config->n_values; i++) {
        keys->cumulative[i] /= sum;
    }
    return sum > 0 ? FB_OK : fb_error_set(err, FB_E_INVAL, 0, "values without weight");
}

static uint64_t next_listed(const fb_keys *keys, fb_random *random)
{
    const double at = unit(random);
    uint64_t i = 0;
    while (i + 1 < keys->count && at >= keys->cumulative[i]) {
        i++;
    }
    return keys->values[i];
}

/* ---- all
 * -------------------------------------------------------------------------------------------- */

static double usual_shape(const fb_keys *keys)
{
    return keys->kind == FB_KEYS_ZIPF ? USUAL_ZIPF : fmax((double)keys->count / 6, 0.5);
}

static int init_range(fb_keys *keys, const fb_keys_config *config, fb_error *err)
{
    if (config->high < config->low || config->high - config->low == UINT64_MAX ||
        !(config->shape >= 0) || config->shape > 1e15) {
        return fb_error_set(err, FB_E_INVAL, 0, "keys: an empty range or a negative shape");
    }
    keys->low = config->low;
    keys->highest = config->high;
    keys->count = config->high - config->low + 1;
    keys->shape = config->shape > 0 ? config->shape : usual_shape(keys);
    if (keys->kind == FB_KEYS_ZIPF) {
        init_zipf(keys);
    }
    /* Far wider than the range, nearly every draw would fall outside and be drawn again. */
    if (keys->kind == FB_KEYS_GAUSS && keys->shape > 100 * (double)keys->count) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "keys: a standard deviation of %g is too wide for %g values",
                            keys->shape, (double)keys->count);
    }
    return FB_OK;
}

int fb_keys_init(fb_keys *keys, const fb_keys_config *config, fb_error *err)
{
    *keys = (fb_keys){.kind = config->kind};
    if (config->kind < FB_KEYS_UNIFORM || config->kind > FB_KEYS_TABLE) {
        return fb_error_set(err, FB_E_INVAL, 0, "keys: unknown distribution %d", config->kind);
    }
    const int rc = config->kind == FB_KEYS_TABLE ? init_table(keys, config, err)
                                                 : init_range(keys, config, err);
    if (rc != FB_OK) {
        fb_keys_fini(keys);
    }
    return rc;
}

void fb_keys_fini(fb_keys *keys)
{
    free(keys->values);
    free(keys->cumulative);
    *keys = (fb_keys){0};
}

uint64_t fb_keys_next(const fb_keys *keys, fb_random *random, uint64_t *position)
{
    switch (keys->kind) {
    case FB_KEYS_ZIPF:
        return keys->low + next_zipf(keys, random);
    case FB_KEYS_GAUSS:
        return keys->low + next_gauss(keys, random);
    case FB_KEYS_SEQUENCE:
        return keys->low + (*position)++ % keys->count;
    case FB_KEYS_TABLE:
        return next_listed(keys, random);
    default:
        return keys->low + fb_random_below(random, keys->count);
    }
}
