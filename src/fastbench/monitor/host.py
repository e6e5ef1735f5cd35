"""The whole machine: CPU use, stolen time, memory left, swapping."""

from __future__ import annotations

import psutil

from fastbench.results import HostUsage


class HostProbe:
    """Samples the machine that the client runs on."""

    def __init__(self) -> None:
        self._first = self._last = _cpu_times()
        self._swapped_bytes = _swapped_bytes()
        self._cpu_percent_max = 0.0
        self._available_min_bytes = _available_bytes()
        self._taken = 0

    def sample(self, at_s: float) -> bool:
        """Take a sample; the host never ends."""
        del at_s
        now = _cpu_times()
        self._cpu_percent_max = max(self._cpu_percent_max, _busy_percent(self._last, now))
        self._available_min_bytes = min(self._available_min_bytes, _available_bytes())
        self._last = now
        self._taken += 1
        return True

    def usage(self) -> HostUsage | None:
        """Return means over the whole time and extremes over the samples."""
        if not self._taken:
            return None
        swapped_in, swapped_out = _swapped_bytes()
        return HostUsage(
            cpu_percent_mean=_busy_percent(self._first, self._last),
            cpu_percent_max=self._cpu_percent_max,
            steal_percent_mean=_share(self._first, self._last, ("steal",)),
            available_min_bytes=self._available_min_bytes,
            swap_in_bytes=max(0, swapped_in - self._swapped_bytes[0]),
            swap_out_bytes=max(0, swapped_out - self._swapped_bytes[1]),
        )


def _cpu_times() -> dict[str, float]:
    times: dict[str, float] = psutil.cpu_times()._asdict()
    # The kernel counts guests in user and nice already.
    return {name: value for name, value in times.items() if not name.startswith("guest")}


def _busy_percent(earlier: dict[str, float], later: dict[str, float]) -> float:
    if sum(later.values()) <= sum(earlier.values()):
        return 0.0
    return 100.0 - _share(earlier, later, ("idle", "iowait"))


def _share(earlier: dict[str, float], later: dict[str, float], names: tuple[str, ...]) -> float:
    total_s = sum(later.values()) - sum(earlier.values())
    part_s = sum(later.get(name, 0.0) - earlier.get(name, 0.0) for name in names)
    return min(100.0, max(0.0, 100.0 * part_s / total_s)) if total_s > 0 else 0.0


def _available_bytes() -> int:
    return int(psutil.virtual_memory().available)


def _swapped_bytes() -> tuple[int, int]:
    """Return bytes read from swap and written to it since boot."""
    swap = psutil.swap_memory()
    return int(swap.sin), int(swap.sout)
