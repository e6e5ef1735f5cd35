"""The native worker threads of this process: CPU use of each over time."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from fastbench.monitor.process import MAX_SAMPLES, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: By thread, in the order of the ids: CPU use at each sample, 100 = one core.
ThreadSeries = list[list[float]]

TASKS = Path("/proc/self/task")

#: So many samples are about a second.
RECENT_SAMPLES = 5


class ThreadsProbe:
    """Samples the threads whose ids ``thread_ids`` returns; an id of 0 is not there yet.

    The kernel counts in ticks of 10 ms, so one sample is coarse and their mean is not.
    """

    def __init__(self, thread_ids: Callable[[], Sequence[int]]) -> None:
        self._thread_ids = thread_ids
        self._last: dict[int, float] = {}
        self._last_s = time.monotonic()
        self._series: dict[int, list[float]] = {}
        self._recent: dict[int, deque[float]] = {}

    @property
    def recent_percents(self) -> tuple[float, ...]:
        """CPU use of each thread in the last second, 100 = one core; empty before that is known."""
        recent = [self._recent.get(tid) for tid in self._thread_ids()]
        return tuple(sum(r) / len(r) for r in recent if r) if all(recent) else ()

    def sample(self, at_s: float) -> bool:  # noqa: ARG002 - a probe's interface
        """Take a sample; what would make a series too long is only seen as ``recent_percents``."""
        found = {tid: read_stat(TASKS / str(tid) / "stat") for tid in self._thread_ids() if tid}
        clocks = {tid: stat.cpu_s for tid, stat in found.items() if stat is not None}
        now_s = time.monotonic()
        for tid in self._thread_ids():
            if tid in clocks and tid in self._last:
                percent = 100 * (clocks[tid] - self._last[tid]) / max(now_s - self._last_s, 1e-9)
                self._recent.setdefault(tid, deque(maxlen=RECENT_SAMPLES)).append(percent)
                series = self._series.setdefault(tid, [])
                if len(series) < MAX_SAMPLES:
                    series.append(round(percent, 1))
        self._last, self._last_s = clocks, now_s
        return True

    def usage(self) -> ThreadSeries | None:
        """Return one series per thread; None where there is no sample."""
        if not self._series:
            return None
        return [self._series.get(tid, []) for tid in self._thread_ids()]
