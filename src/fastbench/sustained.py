"""Did a server sustain the rate that it was offered? From one result, with reasons.

A rate is sustained when every objective holds for the median over the repetitions, everything
due was sent, and what came back per second is at least 99 % of what was due per second: without
the last, a queue that grows all the time could look fine for as long as the run is short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.bisection import CLIENT_LIMITED, FAILED, HELD
from fastbench.report.limits import shown
from fastbench.results import Spread
from fastbench.searches import Limit
from fastbench.summary import median_of, spread_of
from fastbench.warnings import WRONG_ANSWERS, answers_are_right

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.results import Repetition, Result
    from fastbench.slo import Objective

ACHIEVED = 0.99


def judge(result: Result, objectives: Sequence[Objective]) -> tuple[str, list[str], list[Limit]]:
    """Return the outcome (HELD, FAILED or CLIENT_LIMITED), why it did not hold, and the limits."""
    limits = [_limit(result, objective) for objective in objectives]
    reasons = [*_ended_early(result), *_wrong(result), *_not_kept(result), *map(_missed, limits)]
    reasons = [reason for reason in reasons if reason]
    if not reasons:
        return HELD, [], limits
    return (CLIENT_LIMITED if is_client_limited(result) else FAILED), reasons, limits


def is_client_limited(result: Result) -> bool:
    """Tell whether the verdict says that the client was the bottleneck."""
    return result.verdict is not None and result.verdict.verdict == CLIENT_LIMITED


def _ended_early(result: Result) -> Iterator[str]:
    if result.status != "complete":
        yield f"the run is {result.status}: {result.error}"


def _wrong(result: Result) -> Iterator[str]:
    if not answers_are_right(result):
        yield WRONG_ANSWERS


def _not_kept(result: Result) -> Iterator[str]:
    never = sum(r.counts.never_sent for r in result.repetitions)
    if never:
        yield f"{never:,} inferences were due and never sent"
    share = median_of(_achieved(r) for r in result.repetitions)
    if share is not None and share < ACHIEVED:
        yield f"only {share:.1%} of the rate came back"


def _achieved(repetition: Repetition) -> float | None:
    """Return completions over arrivals; one missing at the edge of measure is no failure."""
    due = (repetition.offered_per_s or 0.0) * repetition.measured_s
    came = repetition.inferences_per_s * repetition.measured_s
    return min((came + 1) / due, 1.0) if due else None


def _limit(result: Result, objective: Objective) -> Limit:
    if result.summary is None:
        return Limit(objective=objective.text, holds=False, value=None, low=None, high=None)
    reading = objective.metric.read(result.summary)
    each = [objective.metric.read(r) for r in result.repetitions]
    known = [(r.beyond, r.value) for r in each if r.value is not None]
    spread = spread_of(known) if known else Spread(min=None, max=None)
    return Limit(
        objective=objective.text,
        holds=objective.holds(result.summary),
        value=reading.value,
        low=spread.min,
        high=spread.max,
        beyond=reading.beyond,
        low_beyond=spread.min_beyond,
        high_beyond=spread.max_beyond,
        few_samples=reading.few,
    )


def _missed(limit: Limit) -> str:
    return "" if limit.holds else f"{limit.objective} does not hold: {shown(limit)}"
