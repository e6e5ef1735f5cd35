"""Where transactions come from, and the reference data that belong to them.

A transaction has the 30 columns of the credit-card data set that Kaggle publishes as
``creditcard.csv`` (A. Dal Pozzolo et al., 2015): ``Time``, ``V1`` … ``V28``, ``Amount``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Labels = NDArray[np.uint8]

COLUMNS = ("Time", *(f"V{i}" for i in range(1, 29)), "Amount")
REFERENCE_VALUES = 256

#: Of the published data: frauds among all transactions, the last second, the largest amount.
FRAUDS, TRANSACTIONS = 492, 284_807
LAST_SECOND = 172_792
LARGEST_AMOUNT = 25_691.16
MEDIAN_AMOUNT = 22.0

#: Of V1 … V28 in the published data: standard deviation, smallest and largest value.
DEVIATIONS = (
    1.96, 1.65, 1.52, 1.42, 1.38, 1.33, 1.24, 1.19, 1.10, 1.09, 1.02, 1.00, 1.00, 0.96,
    0.92, 0.88, 0.85, 0.84, 0.81, 0.77, 0.73, 0.73, 0.62, 0.61, 0.52, 0.48, 0.40, 0.33,
)  # fmt: skip
SMALLEST = (
    -56.4, -72.7, -48.3, -5.68, -113.7, -26.2, -43.6, -73.2, -13.4, -24.6, -4.80, -18.7, -5.79,
    -19.2, -4.50, -14.1, -25.2, -9.50, -7.21, -54.5, -34.8, -10.9, -44.8, -2.84, -10.3, -2.60,
    -22.6, -15.4,
)  # fmt: skip
LARGEST = (
    2.45, 22.1, 9.38, 16.9, 34.8, 73.3, 120.6, 20.0, 15.6, 23.7, 12.0, 7.85, 7.13, 10.5, 8.88,
    17.3, 9.25, 5.04, 5.59, 39.4, 27.2, 10.5, 22.5, 4.58, 7.52, 3.52, 31.6, 33.8,
)  # fmt: skip
#: By how much the mean of frauds differs, for the columns where it does most.
FRAUD_SHIFTS = {3: -7.0, 4: 4.5, 10: -5.7, 11: 3.8, 12: -6.3, 14: -7.0, 16: -4.1, 17: -6.7}

_ADDENDS = 4  # uniform numbers whose sum stands for a normal one
_SUM_DEVIATION = (_ADDENDS / 12) ** 0.5
_BITS = 24  # of a float32: every multiple of 2**-24 in [0, 1) is exact


class TransactionSource(Protocol):
    """Transactions, taken block after block."""

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    def block(self, first: int, count: int) -> tuple[Floats, Labels]:
        """Return rows ``first`` and on: float32 (count, 30), and uint8 (count,), 1 = fraud.

        Blocks are asked for in order, once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Transactions in memory; over and over where more ``rows`` are wanted than there are."""

    values: Floats
    labels: Labels
    rows: int

    def block(self, first: int, count: int) -> tuple[Floats, Labels]:
        """Return ``count`` rows from ``first`` on."""
        index = np.arange(first, first + count) % len(self.values)
        return self.values[index], self.labels[index]


class Synthetic:
    """Transactions drawn from a seed: columns, ranges and share of frauds as published.

    Values come from NumPy's frozen MT19937 stream and exact arithmetic (a sum of uniform numbers
    in place of a normal one), hence the same bytes everywhere.
    """

    def __init__(self, rows: int, seed: int) -> None:
        """Draw what holds for all rows: the seconds, ascending, and which are frauds."""
        self.rows = rows
        self._random = np.random.RandomState([seed, 1])
        self._seconds = np.sort(self._random.randint(0, LAST_SECOND + 1, rows))
        self._fraud = np.zeros(rows, np.uint8)
        self._fraud[self._random.permutation(rows)[: frauds_among(rows)]] = 1

    def block(self, first: int, count: int) -> tuple[Floats, Labels]:
        """Draw ``count`` rows from ``first`` on."""
        labels = self._fraud[first : first + count]
        values = np.empty((count, len(COLUMNS)))
        values[:, 0] = self._seconds[first : first + count]
        values[:, 1:-1] = self._components(labels)
        values[:, -1] = self._amounts(count)
        return values.astype(np.float32), labels

    def _components(self, labels: Labels) -> NDArray[np.float64]:
        drawn = self._random.random_sample((_ADDENDS, len(labels), len(DEVIATIONS)))
        normal = (drawn.sum(axis=0) - _ADDENDS / 2) / _SUM_DEVIATION
        components = normal * np.array(DEVIATIONS)
        for column, shift in FRAUD_SHIFTS.items():
            components[:, column - 1] += shift * labels
        limited: NDArray[np.float64] = np.clip(components, SMALLEST, LARGEST)
        return limited

    def _amounts(self, count: int) -> NDArray[np.float64]:
        """Cents with a long tail: log-logistic with the published median, cut at the largest."""
        drawn = self._random.random_sample(count)
        cents = np.rint(100 * MEDIAN_AMOUNT * drawn / (1 - drawn))
        amounts: NDArray[np.float64] = np.minimum(cents / 100, LARGEST_AMOUNT)
        return amounts


class References:
    """Reference data: 256 values of [0, 1) a row, row after row, from a seed."""

    def __init__(self, seed: int) -> None:
        """Begin with row 0."""
        self._random = np.random.RandomState([seed, 2])

    def block(self, count: int) -> Floats:
        """Draw the next ``count`` rows: float32 (count, 256)."""
        drawn = self._random.randint(0, 1 << _BITS, (count, REFERENCE_VALUES), dtype=np.uint32)
        return drawn.astype(np.float32) * np.float32(2.0**-_BITS)


def frauds_among(rows: int) -> int:
    """Return how many of so many synthetic transactions are frauds: as published, at least 1."""
    return max(1, round(rows * FRAUDS / TRANSACTIONS))
