"""The step from counters to quantiles, against sorted samples and the hdrhistogram package."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from support.sample_result import counters, latency_of, samples_ns

from fastbench import latency
from fastbench.errors import FastbenchError
from fastbench.results import QUANTILES

EMPTY = np.zeros(latency.COUNTERS, dtype=np.int64)


def test_layout_is_hdrhistograms() -> None:
    """Counter i holds the same values here and in the hdrhistogram package, for every i."""
    oracle = HdrHistogram(latency.LOWEST_NS, latency.HIGHEST_NS, latency.DIGITS)

    assert oracle.counts_len == latency.COUNTERS
    assert oracle.bucket_count == latency.BUCKETS
    lowest = [oracle.get_value_from_index(i) for i in range(latency.COUNTERS)]
    assert lowest == latency.lowest_ns().tolist()
    highest = [oracle.get_highest_equivalent_value(value) for value in lowest]
    assert highest == latency.highest_ns().tolist()


@given(st.lists(st.integers(0, latency.HIGHEST_NS), min_size=1, max_size=300))
def test_quantiles_are_the_order_statistics(values: list[int]) -> None:
    """Each quantile is the sorted sample at rank ceil(q N), within the counter that holds it."""
    result = latency_of(np.array(values, dtype=np.int64))

    ordered = sorted(values)
    for name, q in QUANTILES.items():
        exact = ordered[math.ceil(round(q * len(values), 6)) - 1]
        reported = getattr(result, name) * 1e6
        assert exact <= reported + 1e-3
        assert reported <= exact + max(64, exact / 1000) + 1e-3
    assert result.max == ordered[-1] / 1e6
    assert result.min == ordered[0] / 1e6


def test_moments_agree_with_numpy() -> None:
    """The mean is exact; the standard deviation is within the resolution of the counters."""
    values = samples_ns(7, size=50_000)
    result = latency_of(values)

    assert result.mean == pytest.approx(values.mean() / 1e6, rel=1e-12)
    assert result.stddev == pytest.approx(values.std() / 1e6, rel=1e-3)
    assert latency.mean_ms(counters(values)) == pytest.approx(values.mean() / 1e6, rel=1e-3)


def test_quantiles_agree_with_the_hdrhistogram_package() -> None:
    """On the same data the package gives the same values."""
    values = samples_ns(3, size=20_000)
    oracle = HdrHistogram(latency.LOWEST_NS, latency.HIGHEST_NS, latency.DIGITS)
    for value in values:
        oracle.record_value(int(value))
    result = latency_of(values)

    assert np.array_equal(np.frombuffer(oracle.counts, dtype=np.int64), counters(values))
    for name in ("p25", "p50", "p75", "p90", "p95", "p99", "p999"):
        expected = oracle.get_value_at_percentile(100 * QUANTILES[name]) / 1e6
        assert getattr(result, name) == pytest.approx(expected, rel=1e-9)


def test_highest_value_is_capped_at_the_exact_maximum() -> None:
    """No quantile is larger than the largest sample, though its counter reaches further."""
    result = latency_of(np.array([1_000_001], dtype=np.int64))

    assert result.p50 == result.p99999 == result.max == 1.000001


def test_censored_inferences_rank_above_all_others() -> None:
    """With 2 % without an answer p95 is a value, p99 and above are lower bounds."""
    result = latency_of(samples_ns(1, size=98), censored=2, beyond_ns=30_000_000_000)

    assert result.beyond == ["p99", "p999", "p9999", "p99999", "max"]
    assert result.p95 is not None
    assert result.p95 < 30_000
    assert result.p99 == result.max == 30_000
    assert (result.count, result.censored) == (98, 2)


def test_one_censored_of_sixty_hides_no_p99() -> None:
    """Ranks are rounded up: 1 failure of 60 is more than 1 %, so p99 is a lower bound."""
    assert "p99" in latency_of(samples_ns(1, size=59), censored=1, beyond_ns=10**9).beyond


def test_nothing_but_censored() -> None:
    """Where nothing succeeded every quantile is the bound, and there is no mean."""
    result = latency_of(np.array([], dtype=np.int64), censored=5, beyond_ns=10**9)

    assert result.p50 == result.max == 1000
    assert result.beyond == [*QUANTILES, "max"]
    assert result.min is result.mean is result.stddev is None


def test_nothing_at_all() -> None:
    """Without an inference there is no value, no bound and no mark."""
    result = latency_of(np.array([], dtype=np.int64))

    assert result.p50 is result.max is result.mean is None
    assert result.beyond == result.few_samples == []
    assert not latency.decode(result.histogram).any()


def test_clipped_values_count_and_their_largest_is_exact() -> None:
    """Successes above 1 h rank above the recorded; of them only the largest is known exactly."""
    counts = counters(np.full(90, 1_000_000, dtype=np.int64))
    result = latency.latency_from_counts(
        counts,
        total=90,
        clipped=10,
        min_ns=1_000_000,
        max_ns=5_000_000_000_000,
        sum_ns=90e6,
    )

    assert result.p90 is not None
    assert result.p90 < 2
    assert result.p95 == 3_600_000
    assert "p95" in result.beyond
    assert result.max == result.p99999 == 5_000_000
    assert "max" not in result.beyond
    assert result.clipped == 10


@pytest.mark.parametrize(("count", "few"), [(999, True), (1000, False), (1, True), (0, False)])
def test_few_samples_means_fewer_than_ten_above(count: int, few: bool) -> None:
    """The mark of p99 goes at exactly 1,000 samples: 10 lie above it."""
    assert latency.has_few_samples(0.99, count) is few


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_encoding_keeps_every_counter(size: int) -> None:
    """What is encoded is decoded to the same counters, by us and by the hdrhistogram package."""
    counts = counters(samples_ns(2, size=size))
    encoded = latency.encode(counts)

    assert np.array_equal(latency.decode(encoded), counts)
    assert HdrHistogram.decode(encoded).get_total_count() == size


def test_merge_adds() -> None:
    """Merging two histograms gives that of all samples; an absent one counts as empty."""
    first, second = samples_ns(1), samples_ns(2)
    merged = latency.merge([latency_of(first).histogram, "", latency_of(second).histogram])

    assert np.array_equal(merged, counters(np.concatenate([first, second])))


@pytest.mark.parametrize(
    "text",
    [
        "no base64!",
        "AAAA",
        latency.encode(EMPTY)[:-9],
        HdrHistogram(1, 1000, 2).encode().decode(),
    ],
)
def test_damaged_histogram_is_refused(text: str) -> None:
    """A histogram that is cut, changed or of another layout is an error, never wrong numbers."""
    with pytest.raises(FastbenchError, match="histogram"):
        latency.decode(text)


def test_counters_that_do_not_add_up_are_refused() -> None:
    """A total that differs from the counters is reported as the bug that it is."""
    with pytest.raises(FastbenchError, match="bug in the recorder"):
        latency.latency_from_counts(EMPTY, total=1, clipped=0, min_ns=1, max_ns=1, sum_ns=1)
