"""From a whole result to the few figures of a cell, and whether they obey Little's law."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.results import Spread
from fastbench.summary import median_of, summarize
from fastbench.sweeps import Figures, LittlesLaw

if TYPE_CHECKING:
    from fastbench.results import Latency, Repetition, Result

#: Rate x time may be this far from the slots: edges of measure, and the spread of short runs.
TOLERANCE = 0.10

#: With more failures than this share, the successes' rate and times prove nothing.
TOO_MANY_FAILED = 0.01


def figures(result: Result) -> Figures | None:
    """Return the figures of ``result``; None where nothing succeeded."""
    summary = result.summary or summarize(result.repetitions)
    if summary is None:
        return None
    repetitions = result.repetitions
    return Figures(
        inferences_per_s=summary.inferences_per_s,
        inferences_per_s_spread=Spread(
            min=summary.inferences_per_s_spread.min, max=summary.inferences_per_s_spread.max
        ),
        samples_per_s=summary.samples_per_s,
        offered_per_s=median_of(r.offered_per_s for r in repetitions),
        mean_response_ms=median_of(_mean_ms(r.response_ms) for r in repetitions),
        response_ms=summary.response_ms,
        counts=summary.counts,
        cpu_us_per_inference=summary.cpu_us_per_inference,
        littles_law=littles_law(result),
        verdict=result.verdict.verdict if result.verdict else "",
        warnings=[warning.code for warning in result.warnings],
    )


def littles_law(result: Result) -> LittlesLaw:
    """Check L = X W (J. D. C. Little, 1961) on the repetitions: their median counts.

    A closed loop holds every slot taken: X times mean response time is the number of slots. An
    open loop takes no more than all: X times mean service time is at most that.
    """
    slots = slots_of(result)
    intended = sum(r.counts.intended for r in result.repetitions)
    failed = intended - sum(r.counts.ok for r in result.repetitions)
    is_open = any(r.target_per_s for r in result.repetitions)
    in_flight = median_of(_in_flight(r, is_open=is_open) for r in result.repetitions)
    if not in_flight or not slots or failed > TOO_MANY_FAILED * intended:
        return LittlesLaw(status="not available", in_flight=in_flight, slots=slots)
    ratio = in_flight / slots
    holds = ratio <= 1 + TOLERANCE and (is_open or ratio >= 1 - TOLERANCE)
    return LittlesLaw(status="ok" if holds else "off", in_flight=in_flight, slots=slots)


def slots_of(result: Result) -> int:
    """Return how many inferences can be in flight; 0 where streams have their own numbers."""
    config = result.config
    if config.get("streams"):
        return 0
    connections = int(config.get("connections") or config.get("threads", 1))
    return connections * int(config.get("pipeline", 1))


def _in_flight(repetition: Repetition, *, is_open: bool) -> float | None:
    latency = repetition.service_ms if is_open else repetition.response_ms
    return None if latency.mean is None else repetition.inferences_per_s * latency.mean / 1e3


def _mean_ms(latency: Latency) -> float | None:
    """Return the mean; what had no answer counts with the bound that its quantiles have."""
    if latency.mean is None or "max" not in latency.beyond or latency.max is None:
        return latency.mean
    total = latency.count + latency.censored
    return (latency.mean * latency.count + latency.max * latency.censored) / total
