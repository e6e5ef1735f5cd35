"""A process: CPU time, resident memory and threads."""

from __future__ import annotations

import time

import psutil

from fastbench.results import ProcessSample, ProcessUsage

#: Beyond that many samples every second one is dropped and half as many are kept from then on,
#: so that memory does not grow with the length of a run.
MAX_SAMPLES = 3000


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
        self._process: psutil.Process | None = None
        try:
            self._process = psutil.Process(pid)
            self._first = self._last = _clocks(self._process)
        except psutil.Error:
            self._process = None

    @property
    def cpu_percent(self) -> float | None:
        """CPU use between the last two samples, 100 = one core; None before the first."""
        return self._samples[-1].cpu_percent if self._samples else None

    def sample(self, at_s: float) -> bool:
        """Take a sample; False where the process is gone."""
        if self._process is None:
            return False
        try:
            with self._process.oneshot():
                gone = self._process.status() == psutil.STATUS_ZOMBIE
                clocks = _clocks(self._process)
                rss_bytes = self._process.memory_info().rss
                threads = self._process.num_threads()
            gone = gone or not self._process.is_running()  # the pid may be another's by now
        except psutil.Error:
            gone = True
        if gone:
            self._process = None
            return False
        cpu_percent = _percent(self._last, clocks)
        self._last = clocks
        self._add(
            ProcessSample(at_s=at_s, cpu_percent=cpu_percent, rss_bytes=rss_bytes, threads=threads)
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


def _clocks(process: psutil.Process) -> tuple[float, float]:
    """Return wall and CPU time in seconds, as near to each other as can be."""
    times = process.cpu_times()
    return time.monotonic(), float(times.user + times.system)


def _percent(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    elapsed_s = later[0] - earlier[0]
    return 100.0 * max(0.0, later[1] - earlier[1]) / elapsed_s if elapsed_s > 0 else 0.0
