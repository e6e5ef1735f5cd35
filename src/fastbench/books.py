"""The books of a repetition: one collector for each stream, and one for all of them together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from fastbench.collector import Collector
from fastbench.measured import COUNTED, RawHistogram, RawInterval, Totals
from fastbench.plan import ARRIVALS_CLOSED
from fastbench.results import StreamResult, Verification
from fastbench.series import HistogramSum
from fastbench.summary import total_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench._engine import Engine
    from fastbench.job import Job
    from fastbench.journal import Journal
    from fastbench.plan import Plan
    from fastbench.results import Counts, Interval

NAMED_MISMATCHES = 20  # wrong rows named for all streams together, at most

_NS_PER_S = 1e9
_INSTANTS = ("begin_ns", "end_ns")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a repetition measured: ``fields`` of Repetition, ``totals`` of all streams together."""

    totals: Totals
    measured_s: float
    fields: dict[str, Any]
    streams: list[StreamResult]


class Books:
    """Gathers what the engine measures while it runs; ``jobs``: one for each stream of ``plan``.

    ``journal``: is told of each interval of each stream.
    """

    def __init__(self, plan: Plan, jobs: Sequence[Job], journal: Journal | None = None) -> None:
        self._plan = plan
        self._jobs = jobs
        self._each = [
            Collector(plan.interval_ns, journal.stream(job.name) if journal else None)
            for job in jobs
        ]
        several = len(jobs) > 1
        self._all = Collector(plan.interval_ns) if several else self._each[0]
        self._waiting: dict[int, list[RawInterval]] = {}  # by index, until all streams gave theirs
        self._given = [0] * len(jobs)  # intervals, by stream

    @property
    def intervals(self) -> list[Interval]:
        """The time series of all streams together so far."""
        return self._all.intervals

    @property
    def newest(self) -> list[tuple[str, Interval]]:
        """The last interval of each stream that has one, with its name; none of a single one."""
        if self._all is self._each[0]:
            return []
        named = zip(self._jobs, self._each, strict=True)
        return [(job.name, each.intervals[-1]) for job, each in named if each.intervals]

    def take(self, engine: Engine) -> None:
        """Take over the intervals that are complete."""
        for stream, each in enumerate(self._each):
            taken = engine.take_intervals(stream)
            each.add(taken)
            self._wait(stream, taken)
        self._add_complete(min(self._given))

    def finish(self, engine: Engine, verifications: Sequence[Verification | None]) -> Measured:
        """Close the books after join; ``verifications``: what became of each stream's.

        Raises :class:`EngineError` where histograms and counts differ.
        """
        self.take(engine)
        ends = [each.finish(engine, stream) for stream, each in enumerate(self._each)]
        streams = [
            self._stream(index, *end, verification)
            for index, (end, verification) in enumerate(zip(ends, verifications, strict=True))
        ]
        if len(streams) == 1:
            totals, counts = ends[0]
        else:
            self._add_complete(max(self._given))
            totals, counts = added([end[0] for end in ends]), total_counts([e[1] for e in ends])
            self._all.close(totals)
        fields = self._measured(self._all, totals, counts) | {
            "samples_per_s": self._samples(totals, [end[0] for end in ends]),
            "offered_per_s": all_of([s.offered_per_s for s in streams]),
            "target_per_s": all_of([job.target_per_s for job in self._jobs]),
            "verification": _verified([s.verification for s in streams]),
            "streams": streams if len(streams) > 1 else [],
        }
        return Measured(totals, _length_s(totals), fields, streams)

    def _wait(self, stream: int, taken: Sequence[RawInterval]) -> None:
        if self._all is self._each[0]:
            return
        for raw in taken:
            self._waiting.setdefault(raw.index, []).append(raw)
            self._given[stream] = raw.index + 1

    def _add_complete(self, end: int) -> None:
        """Add those below index ``end``, in order."""
        for index in sorted(i for i in self._waiting if i < end):
            self._all.add([_together(self._waiting.pop(index))])

    def _stream(
        self, index: int, totals: Totals, counts: Counts, verification: Verification | None
    ) -> StreamResult:
        job = self._jobs[index]
        fields = self._measured(self._each[index], totals, counts)
        is_open = self._plan.streams[index].schedule.arrivals != ARRIVALS_CLOSED
        length_s = _length_s(totals)
        return StreamResult(
            name=job.name,
            samples_per_s=self._samples_of(index, totals, length_s),
            offered_per_s=totals.intended / length_s if is_open and length_s else None,
            target_per_s=job.target_per_s,
            verification=_with_unchecked(verification, counts),
            **fields,
        )

    def _measured(self, collector: Collector, totals: Totals, counts: Counts) -> dict[str, Any]:
        """Return the fields that a repetition and a stream have in common."""
        response, service = collector.latencies(totals, self._plan.timeout_ns)
        length_s = _length_s(totals)
        return {
            "counts": counts,
            "inferences_per_s": totals.completed / length_s if length_s else 0.0,
            "response_ms": response,
            "service_ms": service,
            "send_lag_ms": collector.send_lag(),
            "timeseries": collector.intervals,
        }

    def _samples(self, totals: Totals, each: Sequence[Totals]) -> float:
        length_s = _length_s(totals)
        return sum(self._samples_of(i, own, length_s) for i, own in enumerate(each))

    def _samples_of(self, index: int, totals: Totals, length_s: float) -> float:
        return totals.completed * self._jobs[index].batch / length_s if length_s else 0.0


def added(each: Sequence[Totals]) -> Totals:
    """Return the totals of all streams: sums, and from the first instant to the last."""
    names = [f.name for f in dataclasses.fields(Totals) if f.name not in _INSTANTS]
    sums = {name: sum(getattr(t, name) for t in each) for name in names}
    begin_ns, end_ns = min(t.begin_ns for t in each), max(t.end_ns for t in each)
    return Totals(**sums, begin_ns=begin_ns, end_ns=end_ns)


def _together(each: Sequence[RawInterval]) -> RawInterval:
    counted = {name: sum(getattr(raw, name) for raw in each) for name in COUNTED}
    return RawInterval(
        index=each[0].index,
        response=_sum([raw.response for raw in each]),
        service=_sum([raw.service for raw in each]),
        lag=_sum([raw.lag for raw in each]),
        **counted,
    )


def _sum(histograms: Sequence[RawHistogram]) -> RawHistogram:
    total = HistogramSum()
    for histogram in histograms:
        total.add(histogram)
    return RawHistogram(
        total.counts, total.total, total.clipped, total.min_ns, total.max_ns, total.sum_ns
    )


def _length_s(totals: Totals) -> float:
    return max(totals.end_ns - totals.begin_ns, 0) / _NS_PER_S


def all_of(rates: Sequence[float | None]) -> float | None:
    """Return the sum of the streams' rates; None where one has none: then there is no sum."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _with_unchecked(found: Verification | None, counts: Counts) -> Verification | None:
    """Add how many successes were to be compared and were not."""
    if found is None:
        return None
    due = counts.ok if found.requested is None else min(found.requested, counts.ok)
    return msgspec.structs.replace(found, unchecked=max(due - found.checked, 0))


def _verified(each: Sequence[Verification | None]) -> Verification | None:
    done = [v for v in each if v is not None]
    if len(done) <= 1:
        return next(iter(done), None)
    requested = [v.requested for v in done]
    differences = [v.max_abs_difference for v in done if v.max_abs_difference is not None]
    return Verification(
        requested=None if None in requested else sum(filter(None, requested)),
        unchecked=sum(v.unchecked for v in done),
        checked=sum(v.checked for v in done),
        mismatches=sum(v.mismatches for v in done),
        max_abs_difference=max(differences, default=None),
        tolerance=max(v.tolerance for v in done),
        mismatched_rows=[row for v in done for row in v.mismatched_rows][:NAMED_MISMATCHES],
    )
