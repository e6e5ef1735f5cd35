"""The histogram of the engine against the hdrhistogram package on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from fastbench._wire import Histogram

LOWEST, HIGHEST, DIGITS = 64, 3_600_000_000_000, 3

#: Latencies of every magnitude alike, 0 to 1 h.
LATENCIES = st.one_of(
    st.integers(0, HIGHEST),
    st.integers(0, 41).flatmap(lambda bit: st.integers(2**bit - 1, min(2 ** (bit + 1), HIGHEST))),
)


def record(values: list[int]) -> tuple[Histogram, HdrHistogram]:
    """Return both histograms with the values in them."""
    ours, theirs = Histogram(), HdrHistogram(LOWEST, HIGHEST, DIGITS)
    for value in values:
        ours.record(value)
        assert theirs.record_value(value)
    return ours, theirs


def test_number_of_counters() -> None:
    """The layout of (64 ns, 1 h, 3 digits) has as many counters as HdrHistogram's."""
    ours, theirs = record([])

    assert ours.counts().shape == (theirs.counts_len,) == (27_648,)


@given(values=st.lists(LATENCIES, max_size=50))
def test_counters_are_hdrhistograms(values: list[int]) -> None:
    """Every value is counted in the counter in which HdrHistogram counts it."""
    ours, theirs = record(values)

    np.testing.assert_array_equal(ours.counts(), np.frombuffer(theirs.counts, dtype=np.int64))
    assert ours.total == theirs.total_count == len(values)
    assert ours.clipped == 0


@given(values=st.lists(LATENCIES, min_size=1, max_size=50))
@pytest.mark.parametrize("q", [0.125, 0.25, 0.5, 0.75, 1.0])
def test_quantiles_are_hdrhistograms(values: list[int], q: float) -> None:
    """A quantile is HdrHistogram's value at that percentile, but never above the exact maximum."""
    ours, theirs = record(values)

    assert ours.quantile(q) == min(theirs.get_value_at_percentile(q * 100), max(values))


@pytest.mark.parametrize("q", [0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999])
def test_high_quantiles_of_many_samples(q: float) -> None:
    """The tail of 100,003 long-tailed samples is HdrHistogram's and within 0.1 % of the exact."""
    samples = np.random.default_rng(7).lognormal(11.0, 1.5, 100_003).astype(np.int64)
    ours, theirs = record(samples.tolist())

    exact = int(np.sort(samples)[int(q * len(samples) + 0.5) - 1])
    assert ours.quantile(q) == min(theirs.get_value_at_percentile(q * 100), int(samples.max()))
    assert exact <= ours.quantile(q) <= exact * 1.001 + 64


def test_values_beyond_the_range_are_clipped() -> None:
    """Above 1 h a value is in no counter, but counted, ranked last and kept as the maximum."""
    ours = Histogram()
    for value in (1000, HIGHEST, HIGHEST + 1, 2**64 - 1):
        ours.record(value)

    assert (ours.total, ours.clipped) == (2, 2)
    assert ours.counts().sum() == 2
    assert ours.quantile(1.0) == 2**64 - 1


def test_counts_are_a_copy() -> None:
    """Counters handed out do not change when more is recorded."""
    ours = Histogram()
    before = ours.counts()

    ours.record(1000)

    assert (before.sum(), ours.counts().sum()) == (0, 1)
