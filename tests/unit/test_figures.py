"""The figures of a cell, and Little's law on results whose numbers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from support import sample_result
from support.streams_result import stream_of

from fastbench.figures import figures
from fastbench.littles_law import littles_law, slots_of
from fastbench.results import Result, Verdict
from fastbench.summary import summarize

if TYPE_CHECKING:
    from fastbench.sweeps import LittlesLaw


def closed(rate: float, mean_ms: float, connections: int, pipeline: int = 1) -> Result:
    """Return a closed-loop result with this rate and mean response time."""
    return _with(rate, mean_ms, connections, pipeline, target=None)


def _with(
    rate: float, mean_ms: float, connections: int, pipeline: int, target: float | None
) -> Result:
    first = sample_result.repetition(1)
    latency = msgspec.structs.replace(first.response_ms, mean=mean_ms)
    repetition = msgspec.structs.replace(
        first,
        inferences_per_s=rate,
        response_ms=latency,
        service_ms=latency,
        target_per_s=target,
        offered_per_s=target,
    )
    result = sample_result.result(repetition)
    config = {**result.config, "connections": connections, "pipeline": pipeline}
    return msgspec.structs.replace(result, config=config, summary=summarize([repetition]))


def law_of(run: Result) -> LittlesLaw:
    """Return what Little's law says of the run."""
    return littles_law(run.repetitions, slots_of(run))


@pytest.mark.parametrize(
    ("rate", "mean_ms", "status"),
    [
        (1000.0, 8.0, "ok"),  # 1000/s x 8 ms = 8 = 4 connections x pipeline 2
        (1000.0, 8.3, "ok"),
        (1000.0, 8.7, "off"),  # 8.7 in flight where only 8 can be
        (1000.0, 7.0, "off"),  # a slot was free an eighth of the time: the client lost time
    ],
)
def test_closed_loop_keeps_littles_law(rate: float, mean_ms: float, status: str) -> None:
    """Rate x response time is the number of slots, within 5 %."""
    law = law_of(closed(rate, mean_ms, connections=4, pipeline=2))

    assert (law.status, law.slots) == (status, 8)
    assert law.in_flight == pytest.approx(rate * mean_ms / 1e3)


def test_edges_of_measure_widen_the_law() -> None:
    """What lies across an end of measure may be counted there with as much as its whole time."""
    run = closed(1000.0, 8.7, connections=4, pipeline=2)
    measured_ms = run.repetitions[0].measured_s * 1e3
    stalled = [
        msgspec.structs.replace(
            r, response_ms=msgspec.structs.replace(r.response_ms, max=0.05 * measured_ms)
        )
        for r in run.repetitions
    ]

    assert law_of(run).status == "off"
    assert littles_law(stalled, 8).status == "ok"


def test_law_says_nothing_of_single_long_times() -> None:
    """Where one inference took a third of measure, neither side of the law proves anything."""
    run = closed(1000.0, 4.0, connections=4, pipeline=2)
    third_ms = run.repetitions[0].measured_s * 1e3 / 3
    slow = [
        msgspec.structs.replace(r, response_ms=msgspec.structs.replace(r.response_ms, max=third_ms))
        for r in run.repetitions
    ]

    assert law_of(run).status == "off"
    assert littles_law(slow, 8).status == "not available"


@pytest.mark.parametrize(("mean_ms", "status"), [(1.0, "ok"), (8.0, "ok"), (9.0, "off")])
def test_open_loop_takes_at_most_all_slots(mean_ms: float, status: str) -> None:
    """Fewer in flight than slots is what an open loop is for; more is impossible."""
    assert law_of(_with(1000.0, mean_ms, 8, 1, target=1000.0)).status == status


def test_littles_law_says_nothing_where_much_failed() -> None:
    """Failures take slots without being in the rate: no conclusion is drawn."""
    for failed in ({"errors": 400}, {"timeouts": 1}):
        result = sample_result.result(sample_result.repetition(1, **failed))
        assert law_of(result).status == "not available"


def test_streams_share_the_law() -> None:
    """The slots of all streams count together; one on a schedule leaves some of them free."""
    run = closed(1000.0, 8.0, connections=99)
    parts = [{"connections": 3, "pipeline": 2}, {"connections": None, "pipeline": 2}]
    run = msgspec.structs.replace(run, config={**run.config, "threads": 1, "streams": parts})
    paced = [
        msgspec.structs.replace(r, streams=[stream_of("a", r, target_per_s=10.0)])
        for r in run.repetitions
    ]

    assert slots_of(run) == 8
    assert law_of(run).status == "ok"
    assert littles_law(run.repetitions, 20).status == "off"
    assert littles_law(paced, 20).status == "ok"


def test_figures_are_those_of_the_summary() -> None:
    """Medians, counts and the client's verdict are handed on unchanged."""
    result = msgspec.structs.replace(
        sample_result.result(), verdict=Verdict(verdict="client-ok", evidence=[])
    )

    found = figures(result)

    assert found is not None
    assert result.summary is not None
    assert found.inferences_per_s == result.summary.inferences_per_s
    assert found.response_ms == result.summary.response_ms
    assert found.counts == result.summary.counts
    assert found.verdict == "client-ok"


def test_mean_counts_what_had_no_answer() -> None:
    """A quarter that waited 30 s in vain makes the mean worse, though not one success slower."""
    values = np.full(300, 10_000_000)
    latency = sample_result.latency_of(values, censored=100, beyond_ns=30_000_000_000)
    repetition = msgspec.structs.replace(sample_result.repetition(1), response_ms=latency)

    found = figures(sample_result.result(repetition))

    assert found is not None
    assert found.mean_response_ms == pytest.approx((300 * 10 + 100 * 30_000) / 400, rel=1e-3)


def test_nothing_succeeded_has_no_figures() -> None:
    """A cell without a success has nothing to compare."""
    result = msgspec.structs.replace(sample_result.result(), repetitions=[], summary=None)

    assert figures(result) is None
