"""Where the time of a chain goes: a line for each step, medians over the repetitions."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from fastbench.report import numbers

if TYPE_CHECKING:
    from fastbench.results import Result, StepResult

TITLE = "steps of an inference"


def step_lines(result: Result) -> list[tuple[str, str]]:
    """Return (step, its service time and share in words), in order; nothing without a chain."""
    by_step: dict[tuple[str, str, str], list[StepResult]] = {}
    for repetition in result.repetitions:
        for step in repetition.steps:
            by_step.setdefault((step.stream, step.name, step.target), []).append(step)
    return [(_label(*key), _words(steps)) for key, steps in by_step.items()]


def _label(stream: str, name: str, target: str) -> str:
    return f"{stream}: {name} at {target}" if stream else f"{name} at {target}"


def _words(steps: list[StepResult]) -> str:
    shares = [step.share for step in steps if step.share is not None]
    if not shares:
        return "no success"
    share = f"{100 * statistics.median(shares):.1f} % of the service time"
    return f"p50 {_median(steps, 'p50')} ms, p99 {_median(steps, 'p99')} ms, {share}"


def _median(steps: list[StepResult], quantile: str) -> str:
    values = [getattr(step.service_ms, quantile) for step in steps]
    value = statistics.median(v for v in values if v is not None)
    return numbers.milliseconds(value, numbers.milliseconds_decimals(value))
