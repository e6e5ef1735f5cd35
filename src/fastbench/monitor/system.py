"""What slows a machine down from outside a program: clocks, heat, CPU quotas, lost segments."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

from fastbench.monitor import cgroup, clock, network


@dataclass(frozen=True, slots=True)
class SystemUsage:
    """Fields as in :class:`fastbench.results.HostUsage`; None = not available."""

    cpu_mhz_min: float | None
    cpu_mhz_mean: float | None
    thermal_throttles: int | None
    quota_throttled_s: float | None
    tcp_segments_sent: int | None
    tcp_retransmits: int | None


@dataclass(frozen=True, slots=True)
class _Counters:
    throttles: dict[int, int] | None
    stopped_s: dict[Path, float]
    tcp: tuple[int, int] | None


class SystemProbe:
    """Samples what changes slowly; ``root`` stands for ``/``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._cpus = os.sched_getaffinity(0)
        self._groups = cgroup.groups(root)
        self._first = self._read()
        self._mhz_min: float | None = None
        self._mhz_sum = 0.0
        self._taken = 0

    def sample(self, at_s: float) -> bool:
        """Take a sample of the clocks; False where they are not told."""
        del at_s
        mhz = clock.frequencies_mhz(self._root, self._cpus)
        if mhz:
            self._mhz_min = min(*mhz, self._mhz_min or mhz[0])
            self._mhz_sum += statistics.fmean(mhz)
            self._taken += 1
        return bool(mhz)

    def usage(self) -> SystemUsage:
        """Return what happened since the probe was made; counters are read now."""
        last = self._read()
        tcp = _differences(self._first.tcp, last.tcp)
        return SystemUsage(
            cpu_mhz_min=self._mhz_min,
            cpu_mhz_mean=self._mhz_sum / self._taken if self._taken else None,
            thermal_throttles=_throttles(self._first.throttles, last.throttles),
            quota_throttled_s=_longest(self._first.stopped_s, last.stopped_s),
            tcp_segments_sent=tcp and tcp[0],
            tcp_retransmits=tcp and tcp[1],
        )

    def _read(self) -> _Counters:
        return _Counters(
            throttles=clock.thermal_throttles(self._root),
            stopped_s=cgroup.throttled_s(self._groups),
            tcp=network.tcp_segments(self._root),
        )


def _throttles(first: dict[int, int] | None, last: dict[int, int] | None) -> int | None:
    if first is None or last is None:
        return None
    return sum(max(0, count - first.get(core, count)) for core, count in last.items())


def _longest(first: dict[Path, float], last: dict[Path, float]) -> float | None:
    """Return the longest time of any group: one inside another was stopped together with it."""
    times = [max(0.0, time - first[file]) for file, time in last.items() if file in first]
    return max(times, default=None)


def _differences(
    first: tuple[int, int] | None, last: tuple[int, int] | None
) -> tuple[int, int] | None:
    if first is None or last is None:
        return None
    return max(0, last[0] - first[0]), max(0, last[1] - first[1])
