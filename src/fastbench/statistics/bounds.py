"""Order among numbers of which some are lower bounds: what can be said, and no more.

A number is (is a lower bound, value). What a bound stands for may be anything from its value up,
so the k-th smallest lies between two ends: the k-th smallest of the values as they stand, and that
with infinity in place of every bound. Where both are the same it is known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Bounded = tuple[bool, float]


def at_rank(numbers: Sequence[Bounded], rank: int) -> Bounded:
    """Return the number at ``rank``, from 0: itself where it is known, else what it exceeds."""
    least = sorted(value for _, value in numbers)[rank]
    return upper_limit(numbers, rank) != least, least


def upper_limit(numbers: Sequence[Bounded], rank: int) -> float:
    """Return what the number at ``rank``, from 0, does not exceed; infinity where it may."""
    return sorted(math.inf if is_bound else value for is_bound, value in numbers)[rank]


def median(numbers: Sequence[Bounded]) -> Bounded:
    """Return the median of one number or more.

    Of an even count it is the mean of the two in the middle, but where one of these is a bound it
    is a bound too, the lower of both: a value and a bound have no mean.
    """
    low, high = (at_rank(numbers, rank) for rank in ((len(numbers) - 1) // 2, len(numbers) // 2))
    return (True, low[1]) if low[0] or high[0] else (False, (low[1] + high[1]) / 2)
