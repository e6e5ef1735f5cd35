"""The stationary bootstrap, with a block length chosen from the series itself.

Neighbouring intervals of a run resemble each other, so they are drawn in blocks: of geometric
length, wrapping at the end (Politis & Romano, "The Stationary Bootstrap", JASA 89, 1994). The mean
block length is the automatic one of Politis & White, "Automatic Block-Length Selection for the
Dependent Bootstrap", Econometric Reviews 23, 2004, as corrected by Patton, Politis & White in
Econometric Reviews 28, 2009.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Autocorrelations within this many standard errors (of log10 n / n) count as none; the 2004 paper.
_NEGLIGIBLE = 2.0
_FEWEST_LAGS = 5
_SHORTEST = 4  # a series too short to see its autocorrelation


def block_length(series: Floats) -> float:
    """Return the mean block length that suits ``series``, shape (n,); from 1 to 3 √n or n / 3.

    1 for a series that is constant or shorter than 4.
    """
    n = series.size
    if n < _SHORTEST or float(np.ptp(series)) == 0.0:
        return 1.0
    lags = _lags(n)
    covariance = autocovariance(series, lags)
    bandwidth = _bandwidth(covariance / covariance[0], n)
    k = np.arange(-bandwidth, bandwidth + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - np.abs(k) / bandwidth))  # flat top, then falling to 0
    values = covariance[np.abs(k)]
    spectrum = float(np.sum(window * values))
    slope = float(np.sum(window * np.abs(k) * values))
    if spectrum == 0.0:
        return 1.0
    best = (slope**2 / spectrum**2 * n) ** (1 / 3)  # D = 2 g(0)², so that 2 G² / D = G² / g(0)²
    return float(np.clip(best, 1.0, math.ceil(min(3 * math.sqrt(n), n / 3))))


def autocovariance(series: Floats, lags: int) -> Floats:
    """Return the autocovariances of ``series``, shape (n,), at lags 0 to ``lags``."""
    deviation = series - series.mean()
    n = series.size
    values = [float(deviation[: n - k] @ deviation[k:]) / n for k in range(lags + 1)]
    return np.array(values)


def block_weights(
    n: int, length: float, resamples: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return how often each of ``n`` intervals is in each resample; shape (resamples, n).

    ``length``: mean block length. Each row sums to n.
    """
    fresh = generator.random((resamples, n)) < 1 / length
    fresh[:, 0] = True
    starts = generator.integers(0, n, (resamples, n))
    position = np.arange(n)
    begun = np.maximum.accumulate(np.where(fresh, position, 0), axis=1)
    index = (np.take_along_axis(starts, begun, axis=1) + position - begun) % n
    flat = index + n * np.arange(resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n * resamples).reshape(resamples, n)
    return counts.astype(np.float32)


def _lags(n: int) -> int:
    return min(n - 1, math.ceil(math.sqrt(n)) + _run(n))


def _run(n: int) -> int:
    """Return how many negligible autocorrelations in a row end the dependence."""
    return max(_FEWEST_LAGS, math.ceil(math.sqrt(math.log10(n))))


def _bandwidth(correlation: Floats, n: int) -> int:
    """Return twice the first lag after which autocorrelations are negligible; within the lags."""
    lags, run = correlation.size - 1, _run(n)
    large = np.abs(correlation[1:]) >= _NEGLIGIBLE * math.sqrt(math.log10(n) / n)
    quiet = [m for m in range(lags - run + 1) if not large[m : m + run].any()]
    last = quiet[0] if quiet else int(np.flatnonzero(large)[-1]) + 1 if large.any() else 0
    return min(2 * max(last, 1), lags)
