"""The server's own figures: as differences, and whatever the server does to the one who asks."""

from __future__ import annotations

import threading
import time
from itertools import count, pairwise
from typing import TYPE_CHECKING

import pytest

from fastbench.errors import ServerError
from fastbench.monitor import metrics
from fastbench.monitor.metrics import MetricsPoller, MetricsSeries, Reading
from fastbench.monitor.sampler import Monitor
from fastbench.monitor.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable


class Source:
    """Answers as ``read`` says; ``closed`` when nobody needs it any more."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self.read = read
        self.closed = threading.Event()

    def close(self) -> None:
        """Note it."""
        self.closed.set()


def watched(source: Source) -> Watched:
    """Return a server that can be asked by ``source``."""
    return Watched(url="redis://a:1", address=("a", 1), ask=lambda _: source)


def series_of(*calls: float, gauge: str = "g") -> MetricsSeries:
    """Return a series of a counter ``c`` with these values and a gauge that counts samples."""
    series = MetricsSeries()
    for at, value in enumerate(calls):
        series.add(float(at), Reading(counters={"c": value}, gauges={gauge: float(at)}))
    return series


def test_counters_are_differences_and_gauges_are_not() -> None:
    """The first answer is the base; samples hold the rises, which add up to the delta."""
    result = series_of(100, 103, 110).result()

    assert result.deltas == {"c": 10}
    assert [s.values for s in result.samples] == [
        {"g": 0},
        {"g": 1, "c": 3},
        {"g": 2, "c": 7},
    ]
    assert result.unavailable == ""


def test_counter_that_falls() -> None:
    """A server that was started anew counts from 0: that is kept, and said."""
    result = series_of(100, 107, 4, 6).result()

    assert result.deltas == {"c": 7 + 4 + 2}
    assert "counters fell" in result.unavailable


def test_counter_that_appears_late() -> None:
    """A field that is missing at first has its base where it is seen first."""
    series = MetricsSeries()
    for at, counters in enumerate(({}, {"c": 50.0}, {"c": 51.0})):
        series.add(float(at), Reading(counters=counters, gauges={}))

    assert series.result().deltas == {"c": 1}


@pytest.mark.parametrize("samples", [9, 10, 11, 40])
def test_long_series_are_merged(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    """Beyond the limit two samples become one: no rise is lost, order and last gauge stay."""
    monkeypatch.setattr(metrics, "MAX_SAMPLES", 8)
    result = series_of(*(n * n for n in range(samples))).result()

    assert len(result.samples) <= 8
    assert sum(s.values.get("c", 0.0) for s in result.samples) == result.deltas["c"]
    assert result.deltas["c"] == (samples - 1) ** 2
    instants = [s.at_s for s in result.samples]
    assert all(a < b for a, b in pairwise(instants))
    assert (instants[0], instants[-1]) == (0, samples - 1)
    assert [s.values["g"] for s in result.samples] == instants


def test_both_ends_are_asked() -> None:
    """However short the run, the difference covers all of it, and the source is closed."""
    answers = count(5)
    source = Source(lambda: Reading(counters={"c": float(next(answers))}, gauges={}))
    with Monitor([watched(source)]) as monitor:
        pass
    usage = monitor.stop()

    (server,) = usage.servers
    assert server.process is None
    assert server.metrics is not None
    assert len(server.metrics.samples) == 2
    assert server.metrics.deltas == {"c": 1}
    assert source.closed.is_set()
    assert monitor.stop() == usage


def test_server_that_does_not_answer() -> None:
    """Failures are counted and said once, and nothing is invented."""

    def refuse() -> Reading:
        msg = "asking for metrics: Connection refused"
        raise ServerError(msg)

    poller = MetricsPoller(Source(refuse))
    poller.start()
    result = poller.stop()

    assert (result.deltas, result.samples) == ({}, [])
    assert result.unavailable == (
        "2 of 2 questions were not answered: asking for metrics: Connection refused"
    )


def test_server_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start and end wait a moment, then go on without it, and say so; the client is watched."""
    monkeypatch.setattr(metrics, "PATIENCE_S", 0.05)
    release = threading.Event()

    def hang() -> Reading:
        release.wait()
        return Reading(counters={}, gauges={})

    source = Source(hang)
    with Monitor([watched(source)]) as monitor:
        pass
    usage = monitor.stop()
    release.set()

    (server,) = usage.servers
    assert server.metrics is not None
    assert server.metrics.samples == []
    assert "does not answer" in server.metrics.unavailable
    assert usage.client is not None
    assert source.closed.wait(60)


def test_what_lacks_is_said_once() -> None:
    """A reason that every answer repeats stands once in the result."""
    reading = Reading(counters={}, gauges={}, lacking="INFO: NOPERM")
    poller = MetricsPoller(Source(lambda: reading))
    poller.start()

    assert poller.stop().unavailable == "INFO: NOPERM"


def test_servers_that_hang_hold_up_nobody_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience is for all servers at once, and one that answers is heard all the same."""
    monkeypatch.setattr(metrics, "PATIENCE_S", 2.0)
    release = threading.Event()

    def hang() -> Reading:
        release.wait()
        return Reading(counters={}, gauges={})

    sources = [Source(hang) for _ in range(20)]
    well = Source(lambda: Reading(counters={"c": 1.0}, gauges={}))
    begun = time.monotonic()
    with Monitor([watched(source) for source in (*sources, well)]) as monitor:
        pass
    *hung, told = monitor.stop().servers
    elapsed_s = time.monotonic() - begun
    release.set()

    assert elapsed_s < 20 * 2.0  # one after the other they would take twice that
    assert told.metrics is not None
    assert told.metrics.deltas == {"c": 0}
    assert all(s.metrics is not None and s.metrics.unavailable for s in hung)
    assert all(source.closed.wait(60) for source in sources)


def test_no_server_wanted() -> None:
    """Where there is none, none is watched."""
    monitor = Monitor()
    monitor.start()

    assert monitor.stop().servers == []
