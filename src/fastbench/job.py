"""What a workload prepares and the runner repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.measured import Capture
    from fastbench.monitor.watched import Watched
    from fastbench.plan import Stream
    from fastbench.results import DatasetInfo, TargetInfo, Verification


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A server that is ready, and what the engine is to send to it.

    ``name``: of the stream, where there are several. ``batch``: samples in one inference.
    ``target_per_s``: the mean rate that is asked for; None = closed loop.
    ``servers``: all that an inference goes to, the stream's own first. ``verify``: compares some
    kept replies with an oracle; called from a thread of its own, a few at a time, while the engine
    runs.
    ``problem``: asked when all is over; says in one line why the result cannot be trusted, e.g.
    that the dataset changed meanwhile, or nothing.
    """

    stream: Stream
    target: TargetInfo
    name: str = ""
    batch: int = 1
    target_per_s: float | None = None
    dataset: DatasetInfo | None = None
    servers: tuple[Watched, ...] = ()
    verify: Callable[[list[Capture]], Verification] | None = None
    problem: Callable[[], str] = _nothing
