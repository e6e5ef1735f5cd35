"""Where the time of a chain goes: the service time of each step, and its share of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.results import StepResult
from fastbench.series import HistogramSum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench._engine import Engine
    from fastbench.job import Job
    from fastbench.plan import Plan, Step
    from fastbench.results import StreamResult

LAST = "request"  # the name of the step that the others come before


def step_results(
    engine: Engine, plan: Plan, jobs: Sequence[Job], streams: Sequence[StreamResult]
) -> list[StepResult]:
    """Return each step of the streams that are chains, after join; ``streams``: their results."""
    found: list[StepResult] = []
    for index, (stream, job) in enumerate(zip(plan.streams, jobs, strict=True)):
        if stream.before:
            found += _of_stream(engine, index, stream.before, job, streams[index])
    return found


def _of_stream(
    engine: Engine, index: int, before: Sequence[Step], job: Job, whole: StreamResult
) -> list[StepResult]:
    names = [(step.name, step.target) for step in before] + [(LAST, job.target.url)]
    found = []
    for (name, target), raw in zip(names, engine.steps(index), strict=True):
        times = HistogramSum()
        times.add(raw)
        service, total = times.latency(), whole.service_ms.mean
        share = service.mean / total if service.mean is not None and total else None
        found.append(
            StepResult(name=name, target=target, service_ms=service, share=share, stream=job.name)
        )
    return found
