"""From the native recorder's counters to a :class:`fastbench.results.Latency`, and back.

The counters are HdrHistogram's for (lowest 64 ns, highest 1 h, 3 digits): 27,648 of them, where
counter ``i`` holds the values from ``lowest_ns()[i]`` to ``highest_ns()[i]``. A quantile q is the
value at rank ceil(q N) of N = recorded + clipped + censored inferences, given as the highest value
of its counter. What is clipped or censored ranks above everything recorded.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastbench.errors import FastbenchError
from fastbench.results import QUANTILES, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The counters of one histogram: int64, shape (27648,).
Counts = npt.NDArray[np.int64]

LOWEST_NS = 64
HIGHEST_NS = 3_600_000_000_000
DIGITS = 3
UNIT_MAGNITUDE = 6
SUB_BUCKETS = 2048
BUCKETS = 26
COUNTERS = (BUCKETS + 1) * SUB_BUCKETS // 2

NS_PER_MS = 1_000_000

#: A quantile with fewer samples than this above it is marked in ``Latency.few_samples``.
ENOUGH_SAMPLES_ABOVE = 10


@functools.cache
def lowest_ns() -> Counts:
    """Return the lowest value of each counter in nanoseconds; int64, shape (27648,)."""
    index = np.arange(COUNTERS, dtype=np.int64)
    bucket, sub = _bucket_and_sub(index)
    return _frozen(sub << (bucket + UNIT_MAGNITUDE))


@functools.cache
def highest_ns() -> Counts:
    """Return the highest value of each counter in nanoseconds; int64, shape (27648,)."""
    return _frozen(lowest_ns() + _width_ns() - 1)


def latency_from_counts(
    counts: Counts,
    *,
    total: int,
    clipped: int,
    min_ns: int,
    max_ns: int,
    sum_ns: float,
    censored: int = 0,
    beyond_ns: int | None = None,
) -> Latency:
    """Return the distribution held by one native histogram.

    ``counts``: int64, shape (27648,), summing to ``total``. ``clipped``: successes above 1 h, in
    no counter. ``min_ns``, ``max_ns``, ``sum_ns``: exact, of the successes; ``sum_ns`` without the
    clipped ones. ``censored``: inferences that never succeeded; ``beyond_ns``: the latency that
    they are known to exceed, e.g. the time-out.

    Raises :class:`FastbenchError` where the counters do not have this layout or this total.
    """
    _check(counts, total)
    everything = total + clipped + censored
    cumulative = np.cumsum(counts)
    fields: dict[str, float | None] = {}
    beyond = []
    for name, q in (*QUANTILES.items(), ("max", 1.0)) if everything else ():
        rank = rank_of(q, everything)
        if rank <= total:
            value_ns = _value_at(cumulative, rank, max_ns)
        elif rank == total + clipped:
            value_ns = max_ns
        else:
            value_ns = HIGHEST_NS if rank < total + clipped else max(max_ns, beyond_ns or 0)
            beyond.append(name)
        fields[name] = value_ns / NS_PER_MS
    if total:
        fields["min"] = min_ns / NS_PER_MS
        fields["mean"] = sum_ns / total / NS_PER_MS
        fields["stddev"] = stddev_ms(counts)
    return Latency(
        count=total,
        censored=censored,
        clipped=clipped,
        beyond=beyond,
        few_samples=[name for name, q in QUANTILES.items() if has_few_samples(q, everything)],
        histogram=encode(counts),
        **fields,
    )


def rank_of(q: float, count: int) -> int:
    """Return the rank, from 1, of quantile ``q`` among ``count`` values: ceil(q * count)."""
    return max(1, math.ceil(_exact(q) * count))


def has_few_samples(q: float, count: int) -> bool:
    """Tell whether fewer than 10 of ``count`` samples lie above quantile ``q``."""
    return count > 0 and count * (1 - _exact(q)) < ENOUGH_SAMPLES_ABOVE


def quantile_ns(counts: Counts, q: float) -> int:
    """Return the highest value of the counter that holds quantile ``q``; 0 without a value."""
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    return _value_at(cumulative, rank_of(q, total)) if total else 0


def mean_ms(counts: Counts) -> float:
    """Return the mean in milliseconds from the counters' middles; 0 without a value."""
    used, middle = _used(counts)
    total = int(used.sum())
    return float(np.dot(used, middle)) / total / NS_PER_MS if total else 0.0


def stddev_ms(counts: Counts) -> float:
    """Return the standard deviation in ms from the counters' middles; 0 without a value."""
    used, middle = _used(counts)
    total = int(used.sum())
    if not total:
        return 0.0
    deviation = middle - float(np.dot(used, middle)) / total
    return math.sqrt(float(np.dot(used, deviation**2)) / total) / NS_PER_MS


def encode(counts: Counts) -> str:
    """Return the counters as HdrHistogram V2, zlib-compressed, base64."""
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    np.frombuffer(histogram.counts, dtype=np.int64)[:] = counts
    used = np.flatnonzero(counts)
    if used.size:
        histogram.set_internal_tacking_values(int(used[0]), int(used[-1]), int(counts.sum()))
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def decode(histogram: str) -> Counts:
    """Return the counters of an encoded histogram; int64, shape (27648,).

    Raises :class:`FastbenchError` where it is damaged or of another layout.
    """
    from hdrh.histogram import HdrHistogram

    try:
        decoded = HdrHistogram.decode(histogram)
    except Exception as error:  # the codec raises whatever it meets, also struct and zlib errors
        msg = f"histogram is damaged ({type(error).__name__}): it is not HdrHistogram V2 in base64"
        raise FastbenchError(msg) from error
    layout = (
        decoded.lowest_trackable_value,
        decoded.highest_trackable_value,
        decoded.significant_figures,
    )
    if layout != (LOWEST_NS, HIGHEST_NS, DIGITS):
        msg = f"histogram has layout {layout}, not {(LOWEST_NS, HIGHEST_NS, DIGITS)}"
        raise FastbenchError(msg)
    return np.frombuffer(decoded.counts, dtype=np.int64).copy()


def merge(histograms: Iterable[str]) -> Counts:
    """Return the sum of encoded histograms; empty strings count as empty histograms."""
    merged = np.zeros(COUNTERS, dtype=np.int64)
    for histogram in filter(None, histograms):
        merged += decode(histogram)
    return merged


def _bucket_and_sub(index: Counts) -> tuple[Counts, Counts]:
    half = SUB_BUCKETS // 2
    bucket = np.maximum(index // half - 1, 0)
    return bucket, index - bucket * half


@functools.cache
def _width_ns() -> Counts:
    bucket, _ = _bucket_and_sub(np.arange(COUNTERS, dtype=np.int64))
    return _frozen(np.int64(1) << (bucket + UNIT_MAGNITUDE))


def _frozen(array: Counts) -> Counts:
    array.flags.writeable = False
    return array


def _check(counts: Counts, total: int) -> None:
    if counts.shape != (COUNTERS,) or int(counts.sum()) != total:
        msg = (
            f"histogram of shape {counts.shape} with {int(counts.sum())} values where "
            f"{COUNTERS} counters with {total} values were due: a bug in the recorder"
        )
        raise FastbenchError(msg)


def _exact(q: float) -> Fraction:
    # 0.99 as a double is a little below or above 99/100; ranks must not feel that.
    return Fraction(q).limit_denominator(10**9)


def _value_at(cumulative: Counts, rank: int, max_ns: int | None = None) -> int:
    value = int(highest_ns()[np.searchsorted(cumulative, rank)])
    return value if max_ns is None else min(value, max_ns)


def _used(counts: Counts) -> tuple[Counts, npt.NDArray[np.float64]]:
    index = np.flatnonzero(counts)
    return counts[index], lowest_ns()[index] + _width_ns()[index] / 2
