"""What a server says about itself: asked once a second, in a thread of its own.

A server that hangs must hold up neither the other probes nor the end of a run: whoever asks has
time-outs, and a thread that does not end in time is left behind.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fastbench.errors import FastbenchError
from fastbench.results import ServerMetrics, ServerSample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERVAL_S = 1.0
#: How long the start waits for the first answer, and the end for the last one.
PATIENCE_S = 3.0
#: Beyond that many samples two become one, so that memory does not grow with the run.
MAX_SAMPLES = 600


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer: ``counters`` only rise, ``gauges`` go up and down.

    ``lacking``: what is missing and why, for people.
    """

    counters: Mapping[str, float]
    gauges: Mapping[str, float]
    lacking: str = ""


class MetricsSource(Protocol):
    """Asks one server, read-only, over a connection of its own; used by one thread."""

    def read(self) -> Reading:
        """Ask once.

        Raises :class:`FastbenchError` where there is no answer within a few seconds.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class MetricsPoller:
    """Asks ``source`` from ``start`` to ``end``: once a second, and at both ends.

    With several, start all before :func:`await_answers`, and end all before ``stop`` of the first:
    then nobody waits for one server after the other.
    """

    def __init__(self, source: MetricsSource) -> None:
        self._source = source
        self._series = MetricsSeries()
        self._answered = threading.Event()
        self._stop = threading.Event()
        self._started_s = self._give_up_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="fb-metrics", daemon=True)

    def start(self) -> None:
        """Begin to ask; what happens after the first answer is in the differences."""
        self._started_s = time.monotonic()
        self._thread.start()

    def wait_until(self, until_s: float) -> None:
        """Wait for the first answer, to an instant of the monotonic clock at most."""
        self._answered.wait(max(0.0, until_s - time.monotonic()))

    def end(self) -> None:
        """Ask for the last time, without waiting for the answer."""
        self._give_up_s = time.monotonic() + PATIENCE_S
        self._stop.set()

    def stop(self) -> ServerMetrics:
        """Wait for the last answer and return what was said; ends it where it was not ended."""
        if not self._stop.is_set():
            self.end()
        self._thread.join(max(0.0, self._give_up_s - time.monotonic()))
        return self._series.result(hangs=self._thread.is_alive())

    def _run(self) -> None:
        try:
            stopping = False
            while not stopping:
                self._ask()
                self._answered.set()
                stopping = self._stop.wait(INTERVAL_S)
            self._ask()
        finally:
            self._source.close()

    def _ask(self) -> None:
        try:
            reading = self._source.read()
        except FastbenchError as error:
            self._series.miss(str(error))
        else:
            self._series.add(time.monotonic() - self._started_s, reading)


def await_answers(pollers: Sequence[MetricsPoller]) -> None:
    """Wait until each has its first answer, or the patience for all of them is over."""
    until_s = time.monotonic() + PATIENCE_S
    for poller in pollers:
        poller.wait_until(until_s)


class MetricsSeries:
    """Readings as differences; shared by the thread that asks and the one that wants the result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._deltas: dict[str, float] = {}
        self._samples: list[ServerSample] = []
        self._asked = 0
        self._missed = 0
        self._lacking: dict[str, None] = {}  # each once, in order

    def add(self, at_s: float, reading: Reading) -> None:
        """Add an answer, ``at_s`` seconds after the start."""
        with self._lock:
            self._asked += 1
            if reading.lacking:
                self._lacking[reading.lacking] = None
            rises = {
                name: self._rise(name, value)
                for name, value in reading.counters.items()
                if name in self._last
            }
            self._last.update(reading.counters)
            for name, rise in rises.items():
                self._deltas[name] = self._deltas.get(name, 0.0) + rise
            self._samples.append(ServerSample(at_s=at_s, values={**reading.gauges, **rises}))
            if len(self._samples) > MAX_SAMPLES:
                self._samples = self._halved()

    def miss(self, why: str) -> None:
        """Note that there was no answer."""
        with self._lock:
            self._asked += 1
            self._missed += 1
            self._lacking[why] = None

    def result(self, *, hangs: bool = False) -> ServerMetrics:
        """Return what was said; ``hangs``: the last question has no answer yet."""
        with self._lock:
            missed, asked = self._missed + hangs, self._asked + hangs
            why = "; ".join([*self._lacking, *(["the server does not answer"] if hangs else [])])
            count = f"{missed} of {asked} questions were not answered: " if missed else ""
            return ServerMetrics(
                deltas=dict(self._deltas),
                samples=list(self._samples),
                unavailable=f"{count}{why}" if why else "",
            )

    def _rise(self, name: str, value: float) -> float:
        """Return by how much a counter rose; one that fell was set to 0 in between."""
        rise = value - self._last[name]
        if rise >= 0:
            return rise
        self._lacking["counters fell: the server was started anew, or they were reset"] = None
        return value

    def _halved(self) -> list[ServerSample]:
        """Make one of every two samples after the first: counters add up, gauges are the later."""
        first, rest = self._samples[0], self._samples[1:]
        pairs = zip(rest[::2], rest[1::2], strict=False)
        odd = rest[len(rest) - len(rest) % 2 :]
        return [first, *(self._merged(a, b) for a, b in pairs), *odd]

    def _merged(self, earlier: ServerSample, later: ServerSample) -> ServerSample:
        values = dict(later.values)
        for name in self._last.keys() & earlier.values.keys():
            values[name] = earlier.values[name] + values.get(name, 0.0)
        return ServerSample(at_s=later.at_s, values={**earlier.values, **values})
