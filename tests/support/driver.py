"""Runs a plan by the native engine to its end and keeps all that it says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fastbench._engine import Engine
from fastbench.errors import FastbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.measured import Capture, RawHistogram, RawInterval, RawThread, Totals
    from fastbench.plan import Plan

S = 1_000_000_000
MS = 1_000_000
LIMIT_S = 120.0


@dataclass(slots=True)
class Ran:
    """How a run ended, and its books."""

    error: FastbenchError | None
    totals: Totals
    classes: dict[str, tuple[int, str]]
    captures: list[Capture]
    threads: list[RawThread]
    elapsed_s: float
    intervals: list[RawInterval] = field(default_factory=list)
    steps: list[RawHistogram] = field(default_factory=list)

    def histogram(self, kind: str) -> np.ndarray:
        """Return the counters of all intervals together."""
        return sum(
            (getattr(i, kind).counts for i in self.intervals), np.zeros(27648, dtype=np.int64)
        )

    def quantile_ns(self, kind: str, q: float) -> int:
        """Return the highest value of the counter in which quantile ``q`` lies, ns."""
        seen = np.cumsum(self.histogram(kind))
        rank = max(1, round(q * seen[-1]))
        return highest_in(int(np.searchsorted(seen, rank)))

    def sum_ns(self, kind: str) -> float:
        """Return the sum of all recorded values, ns."""
        return sum(getattr(i, kind).sum_ns for i in self.intervals)


def highest_in(index: int) -> int:
    """Return the highest value of a counter, by HdrHistogram's definition (64 ns, 3 digits)."""
    bucket = max(0, index // 1024 - 1)
    return ((index - bucket * 1024 + 1) << (bucket + 6)) - 1


def drive(plan: Plan, *, watch: Callable[[Engine], None] | None = None) -> Ran:
    """Run the plan; ``watch`` is called every few milliseconds. Checks that the books balance."""
    began = time.monotonic()
    error = None
    captures: list[Capture] = []
    with Engine(plan) as engine:
        engine.start()
        intervals = []
        while not engine.wait(0.02):
            assert time.monotonic() - began < LIMIT_S, "the run does not end"
            intervals += engine.take_intervals()
            if watch is not None:
                watch(engine)
        elapsed_s = time.monotonic() - began
        try:
            engine.join()
        except FastbenchError as e:
            error = e
        intervals += engine.take_intervals()
        captures += engine.take_captures()
        ran = Ran(
            error,
            engine.totals(),
            engine.error_classes(),
            captures,
            engine.threads(),
            elapsed_s,
            intervals,
            engine.steps(),
        )
    check_books(ran)
    return ran


def check_books(ran: Ran) -> None:
    """Assert what holds for every run: nothing is lost and nothing is counted twice."""
    t = ran.totals
    assert t.intended == t.sent + t.never_sent, t
    assert t.sent == t.ok + t.errors + t.timeouts + t.lost + t.unfinished, t
    for outcome in ("ok", "errors", "timeouts", "lost"):
        assert sum(getattr(i, outcome) for i in ran.intervals) == getattr(t, outcome), outcome
    for kind in ("response", "service"):
        assert int(ran.histogram(kind).sum()) == t.ok, kind
        assert sum(getattr(i, kind).total for i in ran.intervals) == t.ok, kind
    assert [i.index for i in ran.intervals] == list(range(len(ran.intervals)))
    assert sum(count for count, _ in ran.classes.values()) == t.errors, ran.classes
