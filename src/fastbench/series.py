"""The time series of a repetition: intervals from raw counters, of bounded number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fastbench.latency import COUNTERS, decode, highest_ns, latency_from_counts, lowest_ns
from fastbench.measured import COUNTED
from fastbench.results import Interval, Latency

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.measured import RawHistogram, RawInterval

#: Beyond that many intervals neighbours are joined, and all later ones are as long as the joined
#: ones, so that memory does not grow with the length of a run.
MAX_INTERVALS = 3600

_NS_PER_S = 1e9


class HistogramSum:
    """A histogram that raw ones are added to."""

    def __init__(self) -> None:
        self.counts = np.zeros(COUNTERS, dtype=np.int64)
        self.total = 0
        self.clipped = 0
        self.min_ns: int | None = None
        self.max_ns = 0
        self.sum_ns = 0.0

    def add(self, h: RawHistogram | HistogramSum) -> None:
        """Add every value of ``h``."""
        self.counts += h.counts
        self.total += h.total
        self.clipped += h.clipped
        self.max_ns = max(self.max_ns, h.max_ns)
        self.sum_ns += h.sum_ns
        smallest = [m for m in (self.min_ns, h.min_ns) if m is not None]
        self.min_ns = min(smallest, default=None)

    def latency(self, *, censored: int = 0, beyond_ns: int | None = None) -> Latency:
        """Return its distribution; see :func:`fastbench.latency.latency_from_counts`."""
        return latency_from_counts(
            self.counts,
            total=self.total,
            clipped=self.clipped,
            min_ns=self.min_ns or 0,
            max_ns=self.max_ns,
            sum_ns=self.sum_ns,
            censored=censored,
            beyond_ns=beyond_ns,
        )


@dataclass(frozen=True, slots=True)
class Closed:
    """An interval that is over, and all that was recorded in it."""

    interval: Interval
    response: HistogramSum
    service: HistogramSum
    lag: HistogramSum


class Series:
    """Intervals in order; ``interval_ns``: length of a raw one.

    ``on_closed``: is told of each interval once, as soon as it is over.
    """

    def __init__(self, interval_ns: int, on_closed: Callable[[Closed], None] | None = None) -> None:
        self._on_closed = on_closed
        self._raw_s = interval_ns / _NS_PER_S
        self._span = 1  # raw intervals in one of ours
        self._pending: list[RawInterval] = []
        self.intervals: list[Interval] = []

    def add(self, raw: RawInterval) -> None:
        """Take over one raw interval, the next in order."""
        self._pending.append(raw)
        if len(self._pending) == self._span:
            self._close_pending()
        if len(self.intervals) > MAX_INTERVALS:
            self._halve()

    def finish(self, measured_s: float) -> list[Interval]:
        """Cut the series to the end of measure; what ended in drain follows without a rate."""
        if self._pending:
            self._close_pending()
        kept = [
            i
            for i in self.intervals
            if i.start_s < measured_s or i.ok + i.errors + i.timeouts + i.lost > 0
        ]
        self.intervals = [cut(i, measured_s) for i in kept]
        return self.intervals

    def _close_pending(self) -> None:
        raw, self._pending = self._pending, []
        response, service, lag = HistogramSum(), HistogramSum(), HistogramSum()
        for part in raw:
            response.add(part.response)
            service.add(part.service)
            lag.add(part.lag)
        counted = {name: sum(getattr(part, name) for part in raw) for name in COUNTED}
        start_s = raw[0].index * self._raw_s
        end_s = start_s + len(raw) * self._raw_s
        self.intervals.append(make_interval(start_s, end_s, counted, response, service))
        if self._on_closed is not None:
            self._on_closed(Closed(self.intervals[-1], response, service, lag))

    def _halve(self) -> None:
        pairs = itertools.zip_longest(self.intervals[::2], self.intervals[1::2])
        self.intervals = [a if b is None else _joined(a, b) for a, b in pairs]
        self._span *= 2


def make_interval(
    start_s: float,
    end_s: float,
    counted: dict[str, int],
    response: HistogramSum,
    service: HistogramSum | None,
) -> Interval:
    """Return one interval; a quantile that falls among those without a reply is not known."""
    censored = counted["timeouts"] + counted["lost"]
    of_response = response.latency(censored=censored)
    of_service = service.latency(censored=censored) if service else Latency(count=0)

    def known(latency: Latency, name: str) -> float | None:
        value: float | None = getattr(latency, name)
        return None if name in latency.beyond else value

    return Interval(
        start_s=start_s,
        end_s=end_s,
        inferences_per_s=counted["completed"] / (end_s - start_s),
        response_p50_ms=known(of_response, "p50"),
        response_p95_ms=known(of_response, "p95"),
        response_p99_ms=known(of_response, "p99"),
        response_max_ms=known(of_response, "max"),
        service_p50_ms=known(of_service, "p50"),
        service_p99_ms=known(of_service, "p99"),
        histogram=of_response.histogram,
        **counted,
    )


def _joined(a: Interval, b: Interval) -> Interval:
    """Return both as one; service times of single intervals were not kept."""
    response = HistogramSum()
    response.counts = decode(a.histogram) + decode(b.histogram)
    used = np.flatnonzero(response.counts)
    response.total = int(response.counts.sum())
    if used.size:
        response.min_ns = int(lowest_ns()[used[0]])
        response.max_ns = int(highest_ns()[used[-1]])
    counted = {name: getattr(a, name) + getattr(b, name) for name in COUNTED}
    return make_interval(a.start_s, b.end_s, counted, response, None)


def cut(interval: Interval, measured_s: float) -> Interval:
    """Return ``interval`` as far as it lies in measure; what follows measure has no rate."""
    if interval.start_s >= measured_s:
        return msgspec.structs.replace(interval, inferences_per_s=None)
    if interval.end_s <= measured_s:
        return interval
    length_s = measured_s - interval.start_s
    return msgspec.structs.replace(
        interval, end_s=measured_s, inferences_per_s=interval.completed / length_s
    )
