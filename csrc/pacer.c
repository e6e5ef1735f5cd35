#include "pacer.h"

#include "fastbench.h"

void fb_pacer_init(fb_pacer *p, int arrivals, double rate_per_s, uint32_t index, uint32_t share,
                   uint64_t seed)
{
    *p = (fb_pacer){.arrivals = arrivals};
    fb_random_init(&p->random, seed + index);
    if (arrivals != FB_ARRIVALS_CLOSED) {
        p->gap_ns = (double)FB_NS_PER_S * share / rate_per_s;
        p->phase_ns = p->gap_ns * index / share;
    }
}

void fb_pacer_begin(fb_pacer *p, uint64_t begin_ns)
{
    p->begin_ns = begin_ns;
    p->number = 0;
    p->offset_ns = p->phase_ns;
    if (p->arrivals == FB_ARRIVALS_POISSON) {
        p->offset_ns = fb_random_exponential(&p->random, p->gap_ns);
    }
}

uint64_t fb_pacer_due(const fb_pacer *p)
{
    return p->arrivals == FB_ARRIVALS_CLOSED ? FB_NEVER : p->begin_ns + (uint64_t)p->offset_ns;
}

void fb_pacer_advance(fb_pacer *p)
{
    if (p->arrivals == FB_ARRIVALS_POISSON) {
        p->offset_ns += fb_random_exponential(&p->random, p->gap_ns);
    } else {
        p->offset_ns = p->phase_ns + (double)++p->number * p->gap_ns;
    }
}
