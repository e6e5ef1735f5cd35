"""Where the time of a chain goes: a line for each step, medians over the repetitions."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from fastbench.report import numbers
from fastbench.summary import counted, median_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbench.results import Result, StepResult

TITLE = "steps of an inference"


def step_lines(result: Result) -> list[tuple[str, str]]:
    """Return (step, its service time and share in words), in order; nothing without a chain."""
    return [(name, _words(steps)) for name, steps in by_step(result).items()]


def by_step(result: Result) -> dict[str, list[StepResult]]:
    """Return each step, in order, with what it took in the repetitions that count and have it."""
    found: dict[str, list[StepResult]] = {}
    for repetition in counted(result.repetitions):
        for step in repetition.steps:
            found.setdefault(_label(step.stream, step.name, step.target), []).append(step)
    return found


def share_of(steps: Iterable[StepResult]) -> float | None:
    """Return the median of a step's share of the service time; None without a success."""
    return median_of(step.share for step in steps)


def _label(stream: str, name: str, target: str) -> str:
    return f"{stream}: {name} at {target}" if stream else f"{name} at {target}"


def _words(steps: list[StepResult]) -> str:
    found = share_of(steps)
    if found is None:
        return "no success"
    share = f"{100 * found:.1f} % of the service time"
    return f"p50 {_median(steps, 'p50')} ms, p99 {_median(steps, 'p99')} ms, {share}"


def _median(steps: list[StepResult], quantile: str) -> str:
    values = [getattr(step.service_ms, quantile) for step in steps]
    value = statistics.median(v for v in values if v is not None)
    return numbers.milliseconds(value, numbers.milliseconds_decimals(value))
