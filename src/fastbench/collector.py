"""Gathers one repetition: intervals as the engine completes them, then the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.errors import EngineError
from fastbench.password import hidden
from fastbench.results import Counts, ErrorClass
from fastbench.series import HistogramSum, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastbench._engine import Engine
    from fastbench.measured import RawInterval, Totals
    from fastbench.results import Interval, Latency
    from fastbench.series import Closed

_NS_PER_S = 1e9


class Collector:
    """Adds up what one stream of a repetition measured.

    ``on_closed``: is told of each interval of the time series as soon as it is over.
    """

    def __init__(self, interval_ns: int, on_closed: Callable[[Closed], None] | None = None) -> None:
        self._response = HistogramSum()
        self._service = HistogramSum()
        self._lag = HistogramSum()
        self._series = Series(interval_ns, on_closed)

    @property
    def intervals(self) -> list[Interval]:
        """The time series so far."""
        return self._series.intervals

    def add(self, intervals: Iterable[RawInterval]) -> None:
        """Take over complete intervals, in order."""
        for raw in intervals:
            self._response.add(raw.response)
            self._service.add(raw.service)
            self._lag.add(raw.lag)
            self._series.add(raw)

    def finish(self, engine: Engine, stream: int = 0) -> tuple[Totals, Counts]:
        """Take what is left of a stream after join, and check that histograms and counts agree."""
        self.add(engine.take_intervals(stream))
        totals = engine.totals(stream)
        self.close(totals)
        return totals, _counts(totals, engine.error_classes(stream))

    def close(self, totals: Totals) -> None:
        """End the time series; check that all that succeeded is in the histograms.

        Raises :class:`EngineError` where it is not.
        """
        for name, sums in (("response", self._response), ("service", self._service)):
            if sums.total + sums.clipped != totals.ok:
                msg = (
                    f"the {name} histogram holds {sums.total + sums.clipped} inferences, "
                    f"{totals.ok} succeeded: a bug in fastbench, please report it"
                )
                raise EngineError(msg)
        self._series.finish((totals.end_ns - totals.begin_ns) / _NS_PER_S)

    def latencies(self, totals: Totals, timeout_ns: int) -> tuple[Latency, Latency]:
        """Return response and service latency.

        Inferences without a reply rank above all others. What was never sent has no service time.
        """
        in_flight = totals.timeouts + totals.lost + totals.unfinished
        # Only of what ran into our own time-out is it known for how long it took at least.
        ours = totals.timeouts - totals.gave_up
        bound_ns = timeout_ns if ours and ours == in_flight else None
        response = self._response.latency(
            censored=in_flight + totals.never_sent,
            beyond_ns=None if totals.never_sent else bound_ns,
        )
        return response, self._service.latency(censored=in_flight, beyond_ns=bound_ns)

    def send_lag(self) -> Latency | None:
        """Return how late inferences were sent after they were due; None in a closed loop."""
        if not self._lag.total:
            return None
        return self._lag.latency()


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
            name: ErrorClass(count=count, first_text=hidden(text))
            for name, (count, text) in sorted(classes.items())
        },
    )
