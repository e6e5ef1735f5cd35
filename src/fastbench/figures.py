"""From a whole result to the few figures of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.littles_law import littles_law, slots_of
from fastbench.results import Spread
from fastbench.summary import counted, median_of, summarize
from fastbench.sweeps import Figures

if TYPE_CHECKING:
    from fastbench.results import Latency, Result


def figures(result: Result) -> Figures | None:
    """Return the figures of ``result``; None where nothing succeeded."""
    summary = result.summary or summarize(result.repetitions)
    if summary is None:
        return None
    repetitions = counted(result.repetitions)
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
        littles_law=littles_law(repetitions, slots_of(result)),
        verdict=result.verdict.verdict if result.verdict else "",
        warnings=[warning.code for warning in result.warnings],
    )


def _mean_ms(latency: Latency) -> float | None:
    """Return the mean; what had no answer counts with the bound that its quantiles have."""
    if latency.mean is None or "max" not in latency.beyond or latency.max is None:
        return latency.mean
    total = latency.count + latency.censored
    return (latency.mean * latency.count + latency.max * latency.censored) / total
