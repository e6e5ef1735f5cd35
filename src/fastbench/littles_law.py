"""Little's law, L = X W, on what was measured: a check that rate and times agree."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from fastbench.sweeps import LittlesLaw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.results import Counts, Latency, Repetition, Result

#: Rate x time may be this far from the slots.
TOLERANCE = 0.05

#: Where the edges of measure may hide more than that, the law says nothing.
TOO_FAR = 0.25

#: With more errors than this share, the successes' rate and times prove nothing.
TOO_MANY_FAILED = 0.01


def littles_law(repetitions: Sequence[Repetition], slots: int) -> LittlesLaw:
    """Check L = X W (J. D. C. Little, 1961) on the repetitions: their median counts.

    A closed loop holds every slot taken: X times mean response time is the number of slots. An
    open loop, also as one of several streams, takes no more than all: X times mean service time
    is at most that. At both edges of measure each slot may be counted wrongly by one inference,
    and by as much of its time as lies outside.
    """
    is_open = has_schedule(repetitions)
    each = [x for r in repetitions if (x := _in_flight(r, is_open=is_open))]
    in_flight = statistics.median(each) if each else None
    if not in_flight or not slots or any(_proves_nothing(r.counts, slots) for r in repetitions):
        return LittlesLaw(status="not available", in_flight=in_flight, slots=slots)
    ratio = in_flight / slots
    off = TOLERANCE + max(_edges(r, slots, is_open=is_open) for r in repetitions)
    holds = ratio <= 1 + off and (is_open or ratio >= 1 - off)
    says = "not available" if off > TOO_FAR else "ok" if holds else "off"
    return LittlesLaw(status=says, in_flight=in_flight, slots=slots, tolerance=off)


def _edges(repetition: Repetition, slots: int, *, is_open: bool) -> float:
    """Return by what share the inferences at both ends of measure may be counted wrongly."""
    longest_s = (_times(repetition, is_open=is_open).max or 0.0) / 1e3
    return slots / repetition.counts.ok + longest_s / repetition.measured_s


def has_schedule(repetitions: Sequence[Repetition]) -> bool:
    """Tell whether any stream was an open loop."""
    return any(r.target_per_s or any(s.target_per_s for s in r.streams) for r in repetitions)


def _proves_nothing(counts: Counts, slots: int) -> bool:
    """Tell whether slots were held by what is in no mean, or hardly taken more than once."""
    answered = counts.ok + counts.errors
    too_many = counts.errors > TOO_MANY_FAILED * counts.intended
    return answered < counts.intended or too_many or counts.ok <= slots


def slots_of(result: Result) -> int:
    """Return how many inferences can be in flight, all streams together."""
    threads = int(result.config.get("threads", 1))
    parts = result.config.get("streams") or [result.config]
    return sum(int(p.get("connections") or threads) * int(p.get("pipeline", 1)) for p in parts)


def _in_flight(repetition: Repetition, *, is_open: bool) -> float | None:
    mean = _times(repetition, is_open=is_open).mean
    return None if mean is None else repetition.inferences_per_s * mean / 1e3


def _times(repetition: Repetition, *, is_open: bool) -> Latency:
    return repetition.service_ms if is_open else repetition.response_ms
