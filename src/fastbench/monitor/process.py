"""A process: CPU time, resident memory and threads.

One file tells all of it (proc(5), /proc/PID/stat), at a tenth of what psutil's way costs.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from fastbench.results import ProcessSample, ProcessUsage

#: Beyond that many samples every second one is dropped and half as many are kept from then on,
#: so that memory does not grow with the length of a run.
MAX_SAMPLES = 3000

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ZOMBIE = "Z"


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of a process or a thread; ``began``: ticks since boot."""

    state: str
    cpu_s: float
    threads: int
    began: int
    rss_bytes: int


def read_stat(path: Path) -> Stat | None:
    """Return what the file says; None where the process is gone or hidden."""
    try:
        # The name, in brackets, may hold anything, brackets too.
        fields = path.read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(
        state=fields[0].decode(),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        threads=int(fields[17]),
        began=int(fields[19]),
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
    )


class ProcessProbe:
    """Samples the process ``pid``; its end, or a lack of rights, ends the series silently."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._samples: list[ProcessSample] = []
        self._keep_every = 1
        self._taken = 0
        self._cpu_percent_max = 0.0
        self._rss_max_bytes = 0
        self._threads_max = 0
        self._path = Path(f"/proc/{pid}/stat")
        found = read_stat(self._path)
        self._began = found.began if found else None
        self._first = self._last = _clocks(found)

    @property
    def cpu_percent(self) -> float | None:
        """CPU use between the last two samples, 100 = one core; None before the first."""
        return self._samples[-1].cpu_percent if self._samples else None

    def sample(self, at_s: float) -> bool:
        """Take a sample; False where the process is gone."""
        now = None if self._began is None else read_stat(self._path)
        # Another start: the pid is another process's by now.
        if now is None or now.state == _ZOMBIE or now.began != self._began:
            self._began = None
            return False
        clocks = _clocks(now)
        cpu_percent = _percent(self._last, clocks)
        self._last = clocks
        self._add(
            ProcessSample(
                at_s=at_s, cpu_percent=cpu_percent, rss_bytes=now.rss_bytes, threads=now.threads
            )
        )
        return True

    def usage(self) -> ProcessUsage | None:
        """Return means over the whole time and maxima over all samples, also dropped ones."""
        if not self._samples:
            return None
        return ProcessUsage(
            pid=self.pid,
            cpu_percent_mean=_percent(self._first, self._last),
            cpu_percent_max=self._cpu_percent_max,
            rss_max_bytes=self._rss_max_bytes,
            threads_max=self._threads_max,
            samples=list(self._samples),
        )

    def _add(self, sample: ProcessSample) -> None:
        self._cpu_percent_max = max(self._cpu_percent_max, sample.cpu_percent)
        self._rss_max_bytes = max(self._rss_max_bytes, sample.rss_bytes)
        self._threads_max = max(self._threads_max, sample.threads)
        if self._taken % self._keep_every == 0:
            self._samples.append(sample)
        self._taken += 1
        if len(self._samples) > MAX_SAMPLES:
            del self._samples[1::2]
            self._keep_every *= 2


def _clocks(stat: Stat | None) -> tuple[float, float]:
    """Return wall and CPU time in seconds."""
    return time.monotonic(), stat.cpu_s if stat else 0.0


def _percent(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    elapsed_s = later[0] - earlier[0]
    return 100.0 * max(0.0, later[1] - earlier[1]) / elapsed_s if elapsed_s > 0 else 0.0
