"""Confidence intervals for few repetitions."""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
FEWEST_REPETITIONS = 6  # below, not even smallest and largest value enclose the median at 95 %
_GRID = 20_001
_LARGE = 1e4  # degrees of freedom from which Student's t is the normal distribution


def median_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Return the ranks, from 0, of the two of ``n`` ordered values that enclose the median.

    The narrowest symmetric pair whose coverage is ``confidence`` or more, whatever the
    distribution: the number of values below the median is binomial (e.g. Le Boudec, "Performance
    Evaluation of Computer and Communication Systems", 2010, theorem 2.1). None where there is
    none: at 95 % below 6 values.
    """
    outside, found = 0.0, None
    for low in range(n // 2):
        outside += 2 * math.comb(n, low) / 2**n
        if 1 - outside < confidence:
            break
        found = low
    return None if found is None else (found, n - 1 - found)


def student_t(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return t with ``confidence`` of Student's distribution between -t and t; freedom >= 1.

    With t = √freedom tan a the density becomes cos(a) ** (freedom - 1), integrated numerically.
    """
    freedom = min(max(freedom, 1.0), _LARGE)
    angle = np.linspace(0.0, math.pi / 2, _GRID)
    density = np.cos(angle).clip(0.0) ** (freedom - 1)
    mass = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return math.sqrt(freedom) * math.tan(float(np.interp(confidence * mass[-1], mass, angle)))
