"""Gathers one repetition: intervals as the engine completes them, then the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fastbench.errors import EngineError
from fastbench.latency import COUNTERS, latency_from_counts
from fastbench.results import Counts, ErrorClass, Interval, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbench._engine import Engine
    from fastbench.measured import RawHistogram, RawInterval, Totals

_NS_PER_S = 1e9


class _Sum:
    """A histogram that others are added to."""

    def __init__(self) -> None:
        self.counts = np.zeros(COUNTERS, dtype=np.int64)
        self.total = 0
        self.clipped = 0
        self.min_ns: int | None = None
        self.max_ns = 0
        self.sum_ns = 0.0

    def add(self, h: RawHistogram) -> None:
        self.counts += h.counts
        self.total += h.total
        self.clipped += h.clipped
        self.max_ns = max(self.max_ns, h.max_ns)
        self.sum_ns += h.sum_ns
        smallest = [m for m in (self.min_ns, h.min_ns) if m is not None]
        self.min_ns = min(smallest, default=None)

    def latency(self, *, censored: int, beyond_ns: int | None) -> Latency:
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


class Collector:
    """Adds up what one stream of a repetition measured."""

    def __init__(self, interval_ns: int) -> None:
        self._interval_s = interval_ns / _NS_PER_S
        self._response = _Sum()
        self._service = _Sum()
        self._lag = _Sum()
        self.intervals: list[Interval] = []

    def add(self, intervals: Iterable[RawInterval]) -> None:
        """Take over complete intervals, in order."""
        for raw in intervals:
            self._response.add(raw.response)
            self._service.add(raw.service)
            self._lag.add(raw.lag)
            self.intervals.append(self._interval(raw))

    def finish(self, engine: Engine) -> tuple[Totals, Counts]:
        """Take what is left after join, and check that histograms and counts agree."""
        self.add(engine.take_intervals())
        totals = engine.totals()
        for name, sums in (("response", self._response), ("service", self._service)):
            if sums.total + sums.clipped != totals.ok:
                msg = (
                    f"the {name} histogram holds {sums.total + sums.clipped} inferences, "
                    f"{totals.ok} succeeded: a bug in fastbench, please report it"
                )
                raise EngineError(msg)
        self._close_series((totals.end_ns - totals.begin_ns) / _NS_PER_S)
        return totals, _counts(totals, engine.error_classes())

    def latencies(self, totals: Totals, timeout_ns: int) -> tuple[Latency, Latency]:
        """Return response and service latency.

        Inferences without a reply rank above all others. What was never sent has no service time.
        """
        in_flight = totals.timeouts + totals.lost + totals.unfinished
        only_timeouts = in_flight == totals.timeouts and not totals.never_sent
        response = self._response.latency(
            censored=in_flight + totals.never_sent,
            beyond_ns=timeout_ns if only_timeouts and in_flight else None,
        )
        service = self._service.latency(
            censored=in_flight,
            beyond_ns=timeout_ns if in_flight and in_flight == totals.timeouts else None,
        )
        return response, service

    def send_lag(self) -> Latency | None:
        """Return how late inferences were sent after they were due; None in a closed loop."""
        if not self._lag.total:
            return None
        return self._lag.latency(censored=0, beyond_ns=None)

    def _interval(self, raw: RawInterval) -> Interval:
        start_s = raw.index * self._interval_s
        response, service = (_latency(h) for h in (raw.response, raw.service))
        return Interval(
            start_s=start_s,
            end_s=start_s + self._interval_s,
            ok=raw.ok,
            errors=raw.errors,
            timeouts=raw.timeouts,
            lost=raw.lost,
            inferences_per_s=raw.ok / self._interval_s,
            response_p50_ms=response.p50,
            response_p95_ms=response.p95,
            response_p99_ms=response.p99,
            response_max_ms=response.max,
            service_p50_ms=service.p50,
            service_p99_ms=service.p99,
            histogram=response.histogram,
        )

    def _close_series(self, measured_s: float) -> None:
        """Cut the last interval to the end of measure; drop empty ones after it."""
        kept = [
            i
            for i in self.intervals
            if i.start_s < measured_s or i.ok + i.errors + i.timeouts + i.lost > 0
        ]
        self.intervals = [_cut(i, measured_s) for i in kept]


def _cut(interval: Interval, measured_s: float) -> Interval:
    if not interval.start_s < measured_s < interval.end_s:
        return interval
    length = measured_s - interval.start_s
    return msgspec.structs.replace(
        interval, end_s=measured_s, inferences_per_s=interval.ok / length
    )


def _latency(h: RawHistogram) -> Latency:
    total = _Sum()
    total.add(h)
    return total.latency(censored=0, beyond_ns=None)


def _counts(t: Totals, classes: dict[str, tuple[int, str]]) -> Counts:
    return Counts(
        intended=t.intended,
        sent=t.sent,
        ok=t.ok,
        errors=t.errors,
        timeouts=t.timeouts,
        lost=t.lost,
        unfinished=t.unfinished,
        never_sent=t.never_sent,
        errors_by_class={
            name: ErrorClass(count=count, first_text=text)
            for name, (count, text) in sorted(classes.items())
        },
    )
