"""One metric of two results: the change, its interval, and what may be said of it.

Repetitions are the independent units: the logarithms of their values are compared by Welch's t
test ("The generalization of Student's problem", Biometrika 34, 1947). By chance three repetitions
can lie closer together than each of them is certain, so the variance of a result is never taken
as less than what a block bootstrap over the intervals of its repetitions shows.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench import comparison as c
from fastbench.comparison import Change
from fastbench.results import QUANTILE_LABELS
from fastbench.statistics.intervals import student_t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.results import Repetition, StreamResult
    from fastbench.slo import Metric

    #: A repetition, or what a stream did in one, with its :func:`within.standard_errors`.
    Part = tuple[Repetition | StreamResult, dict[str, float]]

_STEP_MS = 64e-6  # width of the histogram's narrowest counter; others are 1/1024 of their value
_DIGITS = 1 / 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric over the repetitions of a result.

    ``within``: mean square of the standard errors within repetitions; None = not known.
    """

    values: tuple[float, ...]
    beyond: bool
    few: bool
    within: float | None

    @property
    def variance(self) -> float:
        """Variance of one repetition's value: the larger of what lies between and within."""
        between = statistics.variance(self.values) if len(self.values) > 1 else 0.0
        return max(between, self.within or 0.0)


def name_of(metric: Metric) -> str:
    """Return the metric as people write it."""
    prefix = "service." if metric.clock == "service" else ""
    return prefix + QUANTILE_LABELS.get(metric.name, metric.name)


def change_of(metric: Metric, base: Sequence[Part], other: Sequence[Part]) -> Change:
    """Compare ``metric`` over the repetitions of two runs, or of two streams."""
    if metric.name == "errors":
        return _of_errors([r for r, _ in base], [r for r, _ in other])
    a, b = _sample(metric, base), _sample(metric, other)
    name, unit = name_of(metric), "ms" if metric.clock else "/s"
    if a is None or b is None:
        known = [statistics.geometric_mean(map(math.exp, s.values)) if s else None for s in (a, b)]
        return Change(
            metric=name,
            unit=unit,
            base=known[0],
            other=known[1],
            verdict=c.CANNOT_TELL,
            reason="not measured in every repetition",
        )
    blur = _resolution(a, b) if metric.clock else 0.0
    moved, half = _welch(a, b)
    low, high = moved - half - blur, moved + half + blur
    verdict, reason = _verdict(a, b, low, high, up=c.SLOWER if metric.clock else c.FASTER)
    return Change(
        metric=name,
        unit=unit,
        base=math.exp(statistics.fmean(a.values)),
        other=math.exp(statistics.fmean(b.values)),
        change=None if a.beyond and b.beyond else math.expm1(moved),
        low=None if a.beyond or not math.isfinite(low) else math.expm1(low),
        high=None if b.beyond or not math.isfinite(high) else math.expm1(high),
        base_beyond=a.beyond,
        other_beyond=b.beyond,
        few=a.few or b.few,
        verdict=verdict,
        reason=reason,
    )


def _sample(metric: Metric, repetitions: Sequence[Part]) -> Sample | None:
    """Return the logarithms; None where a repetition has no value above 0."""
    readings = [metric.read(repetition) for repetition, _ in repetitions]
    values = [reading.value for reading in readings]
    if not values or any(value is None or value <= 0 for value in values):
        return None
    key = metric.name if metric.clock != "service" else ""
    within = [errors[key] for _, errors in repetitions if key in errors]
    return Sample(
        tuple(math.log(value) for value in values if value),
        any(reading.beyond for reading in readings),
        any(reading.few for reading in readings) or metric.name == "max",
        statistics.fmean(error**2 for error in within) if within else None,
    )


def _welch(a: Sample, b: Sample) -> tuple[float, float]:
    """Return the difference of the means and half the width of its interval."""
    parts = [sample.variance / len(sample.values) for sample in (a, b)]
    moved = statistics.fmean(b.values) - statistics.fmean(a.values)
    if any(len(s.values) == 1 and s.within is None for s in (a, b)) or math.isinf(sum(parts)):
        return moved, math.inf
    if sum(parts) == 0.0:
        return moved, 0.0
    freedoms = [len(s.values) - 1 or math.inf for s in (a, b)]
    squares = sum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
    freedom = sum(parts) ** 2 / squares if squares else math.inf
    return moved, student_t(freedom) * math.sqrt(sum(parts))


def _resolution(a: Sample, b: Sample) -> float:
    """Return by how much two values may seem to differ because counters have a width."""
    smallest = math.exp(min(*a.values, *b.values))
    return math.log1p(max(_DIGITS, _STEP_MS / smallest))


def _verdict(a: Sample, b: Sample, low: float, high: float, *, up: str) -> tuple[str, str]:
    """Say what an interval of a logarithm shows; ``up``: what a rise is called."""
    down = c.FASTER if up == c.SLOWER else c.SLOWER
    shown = up if low > 0 else down if high < 0 else ""
    if min(len(a.values), len(b.values)) == 1:
        return c.CANNOT_TELL, "one repetition does not show how runs vary"
    if a.few or b.few:
        return c.CANNOT_TELL, "fewer than 10 samples above it"
    if a.beyond or b.beyond:
        # A bound stands for more than its value: the side that has one can only be slower still.
        certain = not (a.beyond and b.beyond) and shown == (up if b.beyond else down)
        return (shown, "") if certain else (c.CANNOT_TELL, "inferences without an answer")
    if math.isinf(high):
        return c.CANNOT_TELL, "at the edge of inferences without an answer"
    return shown or c.NO_DIFFERENCE, ""


def _of_errors(
    base: Sequence[Repetition | StreamResult], other: Sequence[Repetition | StreamResult]
) -> Change:
    """Compare the shares that did not succeed; they vary at least as much as coins would.

    One more success and failure are thought of, so that none seen is not none ever.
    """
    failed = [r.counts.intended - r.counts.ok for r in (*base, *other)]
    intended = [max(r.counts.intended, 1) for r in (*base, *other)]
    chance = (sum(failed) + 1) / (sum(intended) + 2)
    shares = [f / i for f, i in zip(failed, intended, strict=True)]
    coin = chance * (1 - chance)
    a, b = (
        Sample(
            tuple(shares[part]),
            beyond=False,
            few=False,
            within=statistics.fmean(coin / i for i in intended[part]),
        )
        for part in (slice(len(base)), slice(len(base), None))
    )
    moved, half = _welch(a, b)
    verdict, reason = _verdict(a, b, moved - half, moved + half, up=c.SLOWER)
    verdict = {c.SLOWER: c.MORE, c.FASTER: c.FEWER}.get(verdict, verdict)
    return Change(
        metric="errors",
        unit="share",
        base=statistics.fmean(a.values),
        other=statistics.fmean(b.values),
        change=moved,
        low=moved - half,
        high=moved + half,
        verdict=verdict,
        reason=reason,
    )
