"""Books of several streams: all together are what sorting all samples together gives."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
from support.sample_result import counters

from fastbench import latency
from fastbench.books import Books
from fastbench.errors import EngineError
from fastbench.job import Job
from fastbench.measured import RawHistogram, RawInterval, Totals
from fastbench.plan import ARRIVALS_CONSTANT, Message, Plan, Rate, Schedule, Stream, Text
from fastbench.results import TargetInfo, Verification

SECOND_NS = 1_000_000_000
OPEN = Schedule(ARRIVALS_CONSTANT, (Rate(1.0, 1.0),))


def histogram(values: np.ndarray) -> RawHistogram:
    """Return the histogram of these values in nanoseconds."""
    return RawHistogram(
        counters(values),
        int(values.size),
        0,
        int(values.min()) if values.size else None,
        int(values.max(initial=0)),
        float(values.sum()),
    )


def intervals(parts: list[np.ndarray]) -> list[RawInterval]:
    """Return one interval for each array of response times."""
    return [
        RawInterval(
            *(i, part.size, part.size, 0, 0, 0),
            *(histogram(part), histogram(part // 2), histogram(part // 4)),
        )
        for i, part in enumerate(parts)
    ]


def totals(ok: int, end_s: float = 3.0, **counts: int) -> Totals:
    """Return totals with ``ok`` successes."""
    fields = {f.name: 0 for f in dataclasses.fields(Totals)}
    fields |= {"ok": ok, "completed": ok, "answered": ok} | counts
    fields["sent"] = ok + counts.get("timeouts", 0) + counts.get("lost", 0)
    fields["intended"] = fields["sent"] + counts.get("never_sent", 0)
    return Totals(**fields | {"begin_ns": SECOND_NS, "end_ns": int(SECOND_NS * (1 + end_s))})


class Scripted:
    """An engine that hands out prepared intervals, at most ``at_once`` of a stream at a time."""

    def __init__(self, each: list[list[RawInterval]], ends: list[Totals], at_once: int) -> None:
        self._left, self._ends, self._at_once = [list(e) for e in each], ends, at_once

    def take_intervals(self, stream: int = 0) -> list[RawInterval]:
        """Return the next ones; streams with higher numbers are slower."""
        n = max(1, self._at_once - stream)
        taken, self._left[stream] = self._left[stream][:n], self._left[stream][n:]
        return taken

    def all_given(self) -> bool:
        """Tell whether nothing is left."""
        return not any(self._left)

    def totals(self, stream: int = 0) -> Totals:
        """Return the totals of a stream."""
        return self._ends[stream]

    def error_classes(self, _: int = 0) -> dict[str, tuple[int, str]]:
        """Return no errors."""
        return {}


def books_of(*schedules: Schedule, batches: tuple[int, ...] = (1, 1, 1)) -> Books:
    """Return the books of a plan with a stream for each schedule."""
    message = Message((Text(b"x"),), 1)
    streams = tuple(
        Stream(addresses=("/s",), connections=1, pipeline=1, messages=(message,), schedule=s)
        for s in schedules
    )
    jobs = [
        Job(
            stream=stream,
            target=TargetInfo(url="redis://h", kind="redis"),
            name=f"s{i}",
            batch=batches[i],
            target_per_s=None if stream.schedule == Schedule(0) else 10.0 * (i + 1),
        )
        for i, stream in enumerate(streams)
    ]
    return Books(Plan(streams=streams, threads=1, timeout_ns=30 * SECOND_NS), jobs)


def closed(books: Books, engine: Scripted, verifications: Any = None) -> Any:
    """Let the books take everything and close them."""
    while not engine.all_given():
        books.take(cast("Any", engine))
    return books.finish(cast("Any", engine), verifications or [None, None, None])


def test_merged_equals_sorting_everything() -> None:
    """Quantiles, mean, extremes and counts of all streams are those of one list of samples."""
    rng = np.random.default_rng(5)
    sizes = ([400, 300, 100], [50, 1, 0], [0, 2000])
    samples = [
        [(rng.lognormal(0, 1, n) * (i + 1) * 1e6).astype(np.int64) for n in parts]
        for i, parts in enumerate(sizes)
    ]
    ends = [totals(sum(parts)) for parts in sizes]
    engine = Scripted([intervals(parts) for parts in samples], ends, at_once=3)

    found = closed(books_of(OPEN, OPEN, OPEN), engine)

    together = np.sort(np.concatenate([part for parts in samples for part in parts]))
    response = found.fields["response_ms"]
    assert response.count == together.size == found.fields["counts"].ok
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
        exact_ms = together[int(np.ceil(q * together.size)) - 1] / 1e6
        assert getattr(response, name) == pytest.approx(exact_ms, rel=1e-3)
    assert response.min == together[0] / 1e6
    assert response.max == together[-1] / 1e6
    assert response.mean == pytest.approx(together.mean() / 1e6)
    assert (latency.decode(response.histogram) == counters(together)).all()
    assert [i.ok for i in found.fields["timeseries"]] == [450, 2301, 100]
    assert [s.response_ms.count for s in found.streams] == [800, 51, 2000]
    assert [[i.ok for i in s.timeseries] for s in found.streams] == [list(s) for s in sizes]


def test_send_lag_and_rates_of_all() -> None:
    """Rates and lags of open loops add up; the samples count each stream's batch."""
    values = np.full(30, 4_000_000)
    engine = Scripted([intervals([values])] * 2, [totals(30), totals(30)], at_once=2)

    found = closed(books_of(OPEN, OPEN, batches=(1, 8)), engine, [None, None])

    assert found.fields["send_lag_ms"].count == 60
    assert found.fields["inferences_per_s"] == 20.0
    assert found.fields["samples_per_s"] == 10.0 + 80.0
    assert (found.fields["offered_per_s"], found.fields["target_per_s"]) == (20.0, 30.0)
    assert [s.samples_per_s for s in found.streams] == [10.0, 80.0]


def test_open_and_closed_loop_together() -> None:
    """With a closed loop among them all together have no rate that was due."""
    engine = Scripted([intervals([np.array([1_000_000])])] * 2, [totals(1), totals(1)], at_once=2)

    found = closed(books_of(OPEN, Schedule(0)), engine, [None, None])

    assert found.fields["target_per_s"] is found.fields["offered_per_s"] is None
    assert [s.target_per_s for s in found.streams] == [10.0, None]


def test_what_had_no_answer_ranks_last_in_all() -> None:
    """Time-outs of one stream are beyond the other's successes, at the time-out or above."""
    values = np.full(98, 1_000_000)
    ends = [totals(98), totals(0, timeouts=2)]
    engine = Scripted([intervals([values]), intervals([np.array([], dtype=np.int64)])], ends, 2)

    found = closed(books_of(OPEN, OPEN), engine, [None, None])

    response = found.fields["response_ms"]
    assert response.censored == 2
    assert (response.p99, "p99" in response.beyond) == (30_000.0, True)
    assert "p99" not in found.streams[0].response_ms.beyond
    assert found.streams[1].response_ms.p50 == 30_000.0


def test_unknown_bound_of_one_stream_is_unknown_of_all() -> None:
    """Where something was lost it is not known how long it would have taken."""
    ends = [totals(1, timeouts=1), totals(1, lost=1)]
    engine = Scripted([intervals([np.array([1_000_000])])] * 2, ends, at_once=2)

    found = closed(books_of(OPEN, OPEN), engine, [None, None])

    assert found.fields["response_ms"].p99 == pytest.approx(1.0)
    assert "p99" in found.fields["response_ms"].beyond


def test_streams_that_end_at_different_times() -> None:
    """By a number of requests, each stream has its own length, all have the longest."""
    ends = [totals(10, end_s=1.0), totals(10, end_s=5.0)]
    engine = Scripted([intervals([np.full(10, 1_000_000)])] * 2, ends, at_once=2)

    found = closed(books_of(Schedule(0), Schedule(0)), engine, [None, None])

    assert found.measured_s == 5.0
    assert [s.inferences_per_s for s in found.streams] == [10.0, 2.0]
    assert found.fields["inferences_per_s"] == 4.0


def test_verifications_add_up() -> None:
    """All together hold what was checked of each; the worst difference stays."""
    a = Verification(
        requested=3,
        checked=3,
        mismatches=1,
        max_abs_difference=0.5,
        tolerance=1e-3,
        mismatched_rows=[7],
    )
    b = Verification(requested=2, checked=1, mismatches=0, max_abs_difference=0.1, tolerance=1e-3)
    engine = Scripted([intervals([np.array([1_000_000])])] * 3, [totals(1)] * 3, at_once=3)

    found = closed(books_of(OPEN, OPEN, OPEN), engine, [a, None, b]).fields["verification"]

    assert (found.requested, found.checked, found.mismatches) == (5, 4, 1)
    assert (found.max_abs_difference, found.mismatched_rows) == (0.5, [7])


def test_histogram_that_lacks_a_success() -> None:
    """A stream whose histogram and counts differ fails the run loudly."""
    engine = Scripted([intervals([np.array([1_000_000])])] * 2, [totals(1), totals(2)], at_once=2)

    with pytest.raises(EngineError, match="a bug in fastbench"):
        closed(books_of(OPEN, OPEN), engine, [None, None])
