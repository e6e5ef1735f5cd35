"""Whether series of intervals are stationary: two rank tests that allow for autocorrelation.

*Warm-up still visible*: the ranks of the first fifth against those of the rest. *Drift*: the test
of Mann and Kendall for a trend in the rest, with Theil and Sen's slope as its size. Both add up
what several repetitions show (as Helsel & Frans, "Regional Kendall Test for Trend", Environ. Sci.
Technol. 40, 2006, do over places).

Autocorrelation makes both find what is not there, so their variance is that of an AR(1) series: for
drift by the formula of Hamed & Rao, "A modified Mann-Kendall trend test for autocorrelated data",
J. Hydrology 204, 1998; for the contrast exactly. The lag-1 autocorrelation r is that of the
residuals' ranks (of the rest's, for warm-up), raised by (2 + 4 r) / n, about its bias in short
series with two fitted parameters (for one see Marriott & Pope, Biometrika 41, 1954), and not
below 0. Single autocorrelations at all lags, as Hamed & Rao take them, are too noisy in series of
20 values: in simulations they gave two to four times as many false alarms. Tails are Student's,
with the effective number of intervals n (1 - r) / (1 + r) less 2 as degrees of freedom, added up
over repetitions.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastbench.statistics.intervals import student_t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.statistics.blocks import Floats

FEWEST_INTERVALS = 20
FIRST_PART = 0.2
_STRONGEST = 0.9  # autocorrelation from which a series shows nothing anyhow


@dataclass(frozen=True, slots=True)
class Contrast:
    """What one series shows: a statistic around 0 where it is stationary, and its variance.

    ``size``: the change as a fraction of the median. ``freedom``: degrees of freedom.
    """

    statistic: float
    variance: float
    freedom: float
    size: float


def first_part(n: int) -> int:
    """Return how many of ``n`` intervals the first part has."""
    return math.ceil(FIRST_PART * n)


def warm_up(series: Floats) -> Contrast:
    """Compare the first fifth of ``series``, shape (n,), n >= 20, with the rest."""
    n, m = series.size, first_part(series.size)
    ranked = _ranks(series)
    correlation = _correlation(ranked[m:])  # of the rest: what settles there has done so
    weights = np.where(np.arange(n) < m, 1 / m, -1 / (n - m))
    lag = np.abs(np.arange(n)[:, None] - np.arange(n))
    return Contrast(
        float(weights @ ranked),
        float(weights @ correlation**lag @ weights) * float(ranked.var(ddof=1)),
        _freedom(n, correlation),
        _share(float(np.median(series[:m]) - np.median(series[m:])), series[m:]),
    )


def drift(series: Floats) -> Contrast:
    """Look for a trend in ``series``, shape (n,), n >= 20, after its first fifth.

    The size: Theil and Sen's slope times the length of that part.
    """
    rest = series[first_part(series.size) :]
    n = rest.size
    early, late = np.triu_indices(n, 1)
    rise = rest[late] - rest[early]
    slope = float(np.median(rise / (late - early)))
    correlation = _correlation(_ranks(rest - slope * np.arange(n)))
    concordance = float(np.sign(rise).sum())
    return Contrast(
        concordance - float(np.sign(concordance)),
        _concordance_variance(rest) * _inflation(n, correlation),
        _freedom(n, correlation),
        _share(slope * (n - 1), rest),
    )


def beyond_chance(contrasts: Sequence[Contrast], level: float) -> bool:
    """Tell whether ``contrasts`` show a common change; ``level``: chance of a false alarm."""
    statistic = abs(sum(c.statistic for c in contrasts))
    deviation = math.sqrt(sum(c.variance for c in contrasts))
    limit = deviation * student_t(sum(c.freedom for c in contrasts), 1 - level)
    return deviation > 0.0 and statistic > limit


def common_size(contrasts: Sequence[Contrast]) -> float:
    """Return the median size."""
    return statistics.median(c.size for c in contrasts)


def truncation(series: Floats) -> int:
    """Return how many leading values to leave out so that the mean of the rest is most certain.

    The marginal standard error rule (White, "An effective truncation heuristic for bias reduction
    in simulation output", Simulation 69, 1997), over the first half of the series.
    """
    n = series.size
    errors = [float(series[d:].var()) / (n - d) for d in range(n // 2 + 1)]
    return int(np.argmin(errors))


def _freedom(n: int, correlation: float) -> float:
    return max(n * (1 - correlation) / (1 + correlation) - 2, 1.0)


def _share(change: float, series: Floats) -> float:
    middle = float(np.median(series))
    return change / middle if middle else 0.0


def _ranks(series: Floats) -> Floats:
    """Return the ranks from 1; equal values share their mean rank."""
    _, group, counts = np.unique(series, return_inverse=True, return_counts=True)
    mean_rank: Floats = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return mean_rank


def _correlation(residual: Floats) -> float:
    """Return the lag-1 autocorrelation, corrected for its bias; 0 to 0.9."""
    deviation = residual - residual.mean()
    square = float(deviation @ deviation)
    if square == 0.0:
        return 0.0
    observed = float(deviation[1:] @ deviation[:-1]) / square
    return min(max(observed + (2 + 4 * observed) / residual.size, 0.0), _STRONGEST)


def _concordance_variance(series: Floats) -> float:
    """Return the variance of Kendall's S for independent values, corrected for ties."""
    n = series.size
    _, ties = np.unique(series, return_counts=True)
    tied = float(np.sum(ties * (ties - 1) * (2 * ties + 5)))
    return (n * (n - 1) * (2 * n + 5) - tied) / 18


def _inflation(n: int, correlation: float) -> float:
    """Return Hamed and Rao's factor n / n* for AR(1) autocorrelation."""
    k = np.arange(1, n)
    weights = (n - k) * (n - k - 1) * (n - k - 2) * correlation**k
    return 1 + 2 / (n * (n - 1) * (n - 2)) * float(weights.sum())
