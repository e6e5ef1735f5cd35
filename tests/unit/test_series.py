"""The time series: what an interval says under failures, and its length in long runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastbench import series
from fastbench.latency import COUNTERS
from fastbench.measured import RawHistogram, RawInterval
from fastbench.series import Series

S = 1_000_000_000
MS = 1_000_000


def _histogram(values_ns: list[int]) -> RawHistogram:
    counts = np.zeros(COUNTERS, dtype=np.int64)
    for value in values_ns:
        bucket = max(0, value.bit_length() - 17)
        counts[(bucket << 10) + (value >> (bucket + 6))] += 1
    return RawHistogram(
        counts,
        len(values_ns),
        0,
        min(values_ns, default=None),
        max(values_ns, default=0),
        float(sum(values_ns)),
    )


def _raw(index: int, values_ns: list[int], **counts: int) -> RawInterval:
    h = _histogram(values_ns)
    counted = {"completed": len(values_ns), "errors": 0, "timeouts": 0, "lost": 0} | counts
    return RawInterval(
        index=index, ok=len(values_ns), response=h, service=h, lag=_histogram([]), **counted
    )


def test_outage_is_not_fast() -> None:
    """A quantile that falls among time-outs is not known, however fast the successes were."""
    made = Series(S)
    made.add(_raw(0, [MS] * 60, timeouts=40))
    (interval,) = made.finish(1.0)

    assert interval.response_p50_ms == pytest.approx(1.0, rel=1e-3)
    assert interval.response_p95_ms is None
    assert interval.response_p99_ms is None
    assert interval.response_max_ms is None
    assert interval.service_p99_ms is None


def test_rate_is_of_what_came_back() -> None:
    """Warm-up inferences that come back in measure are in the rate, not in the latencies."""
    made = Series(S)
    made.add(_raw(0, [MS] * 60, completed=100))
    (interval,) = made.finish(1.0)

    assert interval.inferences_per_s == 100
    assert interval.ok == 60


def test_drain_has_no_rate() -> None:
    """What ends after measure is kept, without a rate."""
    made = Series(S)
    made.add(_raw(0, [MS]))
    made.add(_raw(1, [MS], completed=0))
    first, drained = made.finish(1.0)

    assert first.inferences_per_s == 1
    assert drained.ok == 1
    assert drained.inferences_per_s is None


def test_length_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run neighbours are joined; nothing is lost and no interval overlaps another."""
    monkeypatch.setattr(series, "MAX_INTERVALS", 10)
    made = Series(S)
    for index in range(100):
        made.add(_raw(index, [(index + 1) * MS] * 3, errors=1))
        assert len(made.intervals) <= 11
    intervals = made.finish(100.0)

    assert sum(i.ok for i in intervals) == 300
    assert sum(i.completed for i in intervals) == 300
    assert sum(i.errors for i in intervals) == 100
    assert intervals[0].start_s == 0
    assert intervals[-1].end_s == 100
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(intervals))
    assert all(i.inferences_per_s == pytest.approx(3.0) for i in intervals)
    assert intervals[-1].response_max_ms == pytest.approx(100.0, rel=1e-3)
    last = intervals[-1]
    assert last.response_p50_ms == pytest.approx((last.start_s + last.end_s) / 2, abs=1.0)
