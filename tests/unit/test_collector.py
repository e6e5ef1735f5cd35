"""Bookkeeping of one repetition: intervals add up, what had no answer ranks last."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from support.sample_result import counters

from fastbench.collector import Collector
from fastbench.errors import EngineError
from fastbench.measured import RawHistogram, RawInterval, Totals
from fastbench.password import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from fastbench._engine import Engine

SECOND_NS = 1_000_000_000
MS = 1_000_000


def histogram(values_ns: list[int], clipped: int = 0) -> RawHistogram:
    """Return the histogram of these values as the engine would hand it out."""
    values = np.array(values_ns, dtype=np.int64)
    return RawHistogram(
        counts=counters(values),
        total=values.size,
        clipped=clipped,
        min_ns=int(values.min()) if values.size else None,
        max_ns=int(values.max(initial=0)),
        sum_ns=float(values.sum()),
    )


def interval(index: int, values_ns: list[int], **counts: int) -> RawInterval:
    """Return an interval in which inferences with these response times succeeded."""
    found = histogram(values_ns)
    return RawInterval(
        index=index,
        completed=counts.get("completed", len(values_ns)),
        ok=len(values_ns),
        errors=counts.get("errors", 0),
        timeouts=counts.get("timeouts", 0),
        lost=counts.get("lost", 0),
        response=found,
        service=found,
        lag=histogram([]),
    )


def totals(ok: int, measured_ns: int = 2 * SECOND_NS, **counts: int) -> Totals:
    """Return totals that are consistent with ``ok`` successes."""
    fields: dict[str, int] = {field.name: 0 for field in dataclasses.fields(Totals)}
    sent = ok + sum(counts.values()) - counts.get("never_sent", 0)
    fields |= counts | {"ok": ok, "sent": sent, "intended": sent + counts.get("never_sent", 0)}
    return Totals(**(fields | {"begin_ns": 5 * SECOND_NS, "end_ns": 5 * SECOND_NS + measured_ns}))


class Finished:
    """An engine that has ended: what the collector asks it for."""

    def __init__(self, last: list[RawInterval], end: Totals, classes: Any = None) -> None:
        self._last, self._end, self._classes = last, end, classes or {}

    def take_intervals(self, _: int = 0) -> list[RawInterval]:
        """Return what is left."""
        return self._last

    def totals(self, _: int = 0) -> Totals:
        """Return the totals."""
        return self._end

    def error_classes(self, _: int = 0) -> dict[str, tuple[int, str]]:
        """Return the errors by class."""
        return self._classes


def finish(collector: Collector, *args: Any) -> Any:
    """Hand the collector an engine that has ended."""
    return collector.finish(cast("Engine", Finished(*args)))


def test_intervals_add_up() -> None:
    """Quantiles are those of all intervals together: 1 to 1000 ms in shuffled thirds."""
    values = np.random.default_rng(3).permutation(np.arange(1, 1001)) * MS
    collector = Collector(SECOND_NS)
    collector.add(interval(i, part.tolist()) for i, part in enumerate(np.array_split(values, 3)))
    end, counts = finish(collector, [], totals(1000, 3 * SECOND_NS))

    response, service = collector.latencies(end, 30 * SECOND_NS)

    assert counts.ok == response.count == service.count == 1000
    assert response.min == pytest.approx(1.0)
    assert response.max == pytest.approx(1000.0)
    assert response.mean == pytest.approx(500.5)
    assert response.p50 == pytest.approx(500, rel=1e-3)
    assert response.p99 == pytest.approx(990, rel=1e-3)
    assert [i.ok for i in collector.intervals] == [334, 333, 333]


def test_series_ends_with_measure() -> None:
    """The last interval is cut to the end of measure, its rate is per second of that time."""
    collector = Collector(SECOND_NS)
    collector.add([interval(0, [MS] * 100)])
    finish(collector, [interval(1, [MS] * 25), interval(2, [])], totals(125, SECOND_NS * 5 // 4))

    first, last = collector.intervals
    assert (first.start_s, first.end_s, first.inferences_per_s) == (0.0, 1.0, 100.0)
    assert (last.start_s, last.end_s) == (1.0, 1.25)
    assert last.inferences_per_s == pytest.approx(100.0)


def test_what_ended_in_drain_is_kept() -> None:
    """An interval after measure stays in the series when something ended in it."""
    collector = Collector(SECOND_NS)
    finish(
        collector, [interval(0, [MS]), interval(1, []), interval(2, [2 * MS])], totals(2, SECOND_NS)
    )

    assert [i.start_s for i in collector.intervals] == [0.0, 2.0]


def test_timeouts_rank_above_all() -> None:
    """Of 100 inferences 5 timed out after 1 s: p90 is a value, p99 is "more than 1 s"."""
    collector = Collector(SECOND_NS)
    end, counts = finish(collector, [interval(0, [MS] * 95, timeouts=5)], totals(95, timeouts=5))

    response, _ = collector.latencies(end, SECOND_NS)

    assert counts.timeouts == 5
    assert response.p90 == pytest.approx(1.0, rel=1e-3)
    assert "p99" in response.beyond
    assert "max" in response.beyond
    assert response.p99 == pytest.approx(1000.0)
    assert "p90" not in response.beyond


def test_never_sent_has_a_response_time_but_no_service_time() -> None:
    """What was due but never sent is missing from the response times, not from the service's."""
    collector = Collector(SECOND_NS)
    end, _ = finish(collector, [interval(0, [MS] * 50)], totals(50, never_sent=50))

    response, service = collector.latencies(end, SECOND_NS)

    assert (response.censored, service.censored) == (50, 0)
    assert "p90" in response.beyond
    assert service.beyond == []
    assert service.p90 == pytest.approx(1.0, rel=1e-3)


def test_errors_by_class() -> None:
    """Error classes come with their count and their first text, sorted by name."""
    collector = Collector(SECOND_NS)
    classes = {"WRONGTYPE": (1, "WRONGTYPE no"), "ERR": (2, "ERR model key is empty")}
    _, counts = finish(collector, [interval(0, [MS] * 7, errors=3)], totals(7, errors=3), classes)

    assert counts.errors == 3
    assert list(counts.errors_by_class) == ["ERR", "WRONGTYPE"]
    assert counts.errors_by_class["ERR"].count == 2
    assert counts.errors_by_class["ERR"].first_text == "ERR model key is empty"


@pytest.mark.parametrize("ok", [9, 11])
def test_mismatch_is_a_bug_that_is_said(ok: int) -> None:
    """A histogram that holds more or fewer than succeeded ends the run, loudly."""
    collector = Collector(SECOND_NS)

    with pytest.raises(EngineError, match="bug"):
        finish(collector, [interval(0, [MS] * 10)], totals(ok))


def test_clipped_count_as_recorded() -> None:
    """What is above the histogram's range succeeded: it is counted, and ranks above the rest."""
    collector = Collector(SECOND_NS)
    beyond = dataclasses.replace(
        interval(0, [MS] * 9),
        ok=10,
        response=histogram([MS] * 9, 1),
        service=histogram([MS] * 9, 1),
    )
    end, counts = finish(collector, [beyond], totals(10))

    response, _ = collector.latencies(end, SECOND_NS)

    assert counts.ok == 10
    assert response.clipped == 1


def test_secrets_in_error_texts_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that repeats the password in its error does not get it into the result."""
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    classes = {"WRONGPASS": (3, "WRONGPASS hunter2 is wrong")}

    _, counts = finish(Collector(SECOND_NS), [], totals(0, errors=3), classes)

    assert counts.errors_by_class["WRONGPASS"].first_text == "WRONGPASS *** is wrong"
