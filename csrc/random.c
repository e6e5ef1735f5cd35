#include "random.h"

#include <math.h>

/* 128 bits are no ISO C, but every compiler that has epoll has them. */
__extension__ typedef unsigned __int128 wide;

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

void fb_random_init(fb_random *random, uint64_t seed)
{
    /* Four successive outputs of a bijection cannot all be zero, so the state is always valid. */
    for (int i = 0; i < 4; i++)
        random->state[i] = splitmix64(&seed);
}

uint64_t fb_random_next(fb_random *random)
{
    uint64_t *const s = random->state;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t carried = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= carried;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t fb_random_below(fb_random *random, uint64_t n)
{
    /* Daniel Lemire, "Fast random integer generation in an interval", ACM TOMACS 29, 2019: the
     * high half of a product is uniform once the 2^64 mod n smallest low halves are rejected. */
    wide product = (wide)fb_random_next(random) * n;
    if (FB_UNLIKELY((uint64_t)product < n)) {
        const uint64_t biased = (0 - n) % n;
        while ((uint64_t)product < biased)
            product = (wide)fb_random_next(random) * n;
    }
    return (uint64_t)(product >> 64);
}

double fb_random_exponential(fb_random *random, double mean)
{
    /* 53 bits, moved from [0, 1) to (0, 1]: the logarithm is finite. */
    const double uniform = (double)((fb_random_next(random) >> 11) + 1) * 0x1p-53;
    return mean * -log(uniform);
}
