#include "pacer.h"

#include <math.h>

#define PER_NS 1e-9

/* Arrivals that a stretch makes over all threads. */
static double arrivals_of(const fb_rate *rate)
{
    return (rate->from_per_s + rate->to_per_s) / 2 * (double)rate->duration_ns * PER_NS;
}

/* Time after which a stretch has made n arrivals: the root of from t + slope t^2 / 2 = n, in the
 * form that neither divides by a slope of 0 nor loses digits. Infinite when it never does. */
static double time_of(const fb_rate *rate, double n)
{
    const double from = rate->from_per_s * PER_NS;
    const double to = rate->to_per_s * PER_NS;
    const double slope = rate->duration_ns > 0 ? (to - from) / (double)rate->duration_ns : 0;
    const double root = sqrt(fmax(from * from + 2 * slope * n, 0));
    return n > 0 ? 2 * n / (from + root) : 0;
}

/* The rate after the last stretch. */
static fb_rate tail_of(const fb_schedule *s)
{
    const double last = s->rates[s->n_rates - 1].to_per_s;
    return (fb_rate){last, last, 0};
}

/* Time of p->at; stretches that lie before it are left behind. */
static uint64_t due_by_rate(fb_pacer *p)
{
    const fb_schedule *s = p->schedule;
    while (p->stretch < s->n_rates && s->rates[p->stretch].duration_ns > 0) {
        const fb_rate *rate = &s->rates[p->stretch];
        const double end = p->stretch_at + arrivals_of(rate);
        if (p->at < end) {
            return (uint64_t)(p->stretch_ns + time_of(rate, p->at - p->stretch_at) + 0.5);
        }
        p->stretch_at = end;
        p->stretch_ns += (double)rate->duration_ns;
        p->stretch++;
    }
    const fb_rate tail = tail_of(s);
    if (!(tail.to_per_s > 0)) {
        return FB_NEVER;
    }
    return (uint64_t)(p->stretch_ns + time_of(&tail, p->at - p->stretch_at) + 0.5);
}

static uint64_t due(fb_pacer *p)
{
    const fb_schedule *s = p->schedule;
    switch (s->arrivals) {
    case FB_ARRIVALS_CONSTANT:
    case FB_ARRIVALS_POISSON:
        return due_by_rate(p);
    case FB_ARRIVALS_RECORDED:
        return p->number < s->n_instants ? s->instants[p->number] : FB_NEVER;
    default:
        return FB_NEVER;
    }
}

void fb_pacer_init(fb_pacer *p, const fb_schedule *schedule, uint32_t index, uint32_t share,
                   uint64_t seed)
{
    *p = (fb_pacer){.schedule = schedule, .share = share, .number = index, .due_ns = FB_NEVER};
    fb_random_init(&p->random, seed + index);
}

void fb_pacer_begin(fb_pacer *p, uint64_t begin_ns)
{
    p->begin_ns = begin_ns;
    p->at = p->schedule->arrivals == FB_ARRIVALS_POISSON
                ? fb_random_exponential(&p->random, p->share)
                : (double)p->number;
    p->due_ns = due(p);
}

void fb_pacer_advance(fb_pacer *p)
{
    p->number += p->share;
    p->at = p->schedule->arrivals == FB_ARRIVALS_POISSON
                ? p->at + fb_random_exponential(&p->random, p->share)
                : (double)p->number;
    p->due_ns = due(p);
}
