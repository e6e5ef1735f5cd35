"""How far a repetition has come: what the live view shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastbench.results import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of now; rates, latencies and CPU use are those of the last second.

    Percentages: 100 = one core; None = not known.
    """

    phase: str
    elapsed_s: float  # since the phase began
    total_s: float | None  # None = it ends by a count or an event, not by time
    done: int  # replies of any outcome in this phase
    rate_per_s: float | None  # of such replies; None when the phase has only just begun
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    errors: int = 0  # everything that did not succeed
    client_cpu_percent: float | None = None
    server_cpu_percent: float | None = None
    thread_cpu_percents: tuple[float, ...] = ()  # of the worker threads, in their order
    streams: tuple[tuple[str, Interval], ...] = ()  # where there are several: the last one of each

    @property
    def fraction(self) -> float:
        """How much of the phase is over, 0 to 1; 0 where that is not known."""
        return min(1.0, self.elapsed_s / self.total_s) if self.total_s else 0.0
