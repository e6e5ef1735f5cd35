"""How much a repetition's own figures vary by chance: a block bootstrap over its intervals.

Quantiles of intervals are not quantiles of the repetition, so the histograms of the resampled
intervals are added up, with what got no answer ranked above everything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastbench import latency
from fastbench.results import QUANTILES
from fastbench.statistics.blocks import block_length, block_weights

if TYPE_CHECKING:
    from fastbench.results import Interval, Repetition, StreamResult
    from fastbench.statistics.blocks import Floats

RESAMPLES = 200
FEWEST_INTERVALS = 5
MOST_BINS = 1024
SEED = 20_040_101  # a comparison of the same files always says the same
_TOLERATED = 0.025  # of resamples may lie among those without an answer


def standard_errors(repetition: Repetition | StreamResult) -> dict[str, float]:
    """Return the standard error of the logarithm of each metric: ``rate`` and quantiles.

    A metric is absent where the intervals do not show it: fewer than 5, or without histograms.
    Infinite where the quantile lies at the edge of what got no answer.
    """
    during = [i for i in repetition.timeseries if i.inferences_per_s is not None]
    if len(during) < FEWEST_INTERVALS:
        return {}
    weights = block_weights(
        len(during), _block_length(during), RESAMPLES, np.random.default_rng(SEED)
    ).astype(np.float64)
    lengths = np.array([i.end_s - i.start_s for i in during])
    completed = lengths * np.array([i.inferences_per_s for i in during], dtype=np.float64)
    errors = {"rate": _deviation((weights @ completed) / (weights @ lengths))}
    if any(i.histogram for i in during):
        errors |= _of_quantiles(during, weights)
    return errors


def _block_length(intervals: list[Interval]) -> float:
    """Return the longest block that any of the series asks for."""
    fields = ("inferences_per_s", "response_p50_ms", "response_p99_ms")
    series = ([getattr(i, field) for i in intervals] for field in fields)
    known = [np.array(one, dtype=np.float64) for one in series if None not in one]
    return max(block_length(one) for one in known)


def _of_quantiles(intervals: list[Interval], weights: Floats) -> dict[str, float]:
    counts, values = _bins(intervals)
    silent = np.array([i.timeouts + i.lost for i in intervals], dtype=np.float64)
    cumulative = np.cumsum(weights @ counts, axis=1)
    total = cumulative[:, -1] + weights @ silent
    ladder = np.append(values, math.inf)
    fractions = np.array(list(QUANTILES.values()))
    ranks = np.maximum(np.ceil(fractions * total[:, None] - 1e-6), 1.0)
    index = [np.searchsorted(row, wanted) for row, wanted in zip(cumulative, ranks, strict=True)]
    found = ladder[np.array(index)]
    return {name: _deviation(found[:, i]) for i, name in enumerate(QUANTILES)}


def _bins(intervals: list[Interval]) -> tuple[Floats, Floats]:
    """Return counts, shape (intervals, bins), and the value of each bin, at most 1,024 of them."""
    every = [latency.merge([i.histogram]) for i in intervals]
    used = np.flatnonzero(np.sum(every, axis=0))
    step = max(1, math.ceil(used.size / MOST_BINS))
    starts = np.arange(0, used.size, step)
    counts = np.add.reduceat(np.array([one[used] for one in every]), starts, axis=1)
    values = latency.highest_ns()[used[np.minimum(starts + step - 1, used.size - 1)]]
    return counts.astype(np.float64), values.astype(np.float64)


def _deviation(values: Floats) -> float:
    """Return the standard deviation of the logarithms; infinite where too many values are.

    Where nearly all of them are, the quantile is a bound, and certainly so.
    """
    known = values[np.isfinite(values) & (values > 0)]
    if known.size <= _TOLERATED * values.size:
        return 0.0
    if known.size < (1 - _TOLERATED) * values.size:
        return math.inf
    return float(np.log(known).std(ddof=1))
