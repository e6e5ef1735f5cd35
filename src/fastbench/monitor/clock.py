"""CPU clocks: how fast they run, and how often heat slowed them down.

Sources: the kernel's Documentation/admin-guide/pm/cpufreq.rst (``scaling_cur_freq``) and
Documentation/ABI/testing/sysfs-devices-system-cpu (``thermal_throttle``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastbench import topology
from fastbench.monitor.files import read_number, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Clocks are read of at most that many CPUs: each costs a file, on some machines an interrupt.
MAX_CPUS = 32

_CPUS = "sys/devices/system/cpu"
_PROCESSOR = re.compile(r"^processor\s*:\s*(\d+)$", re.MULTILINE)
_MHZ = re.compile(r"^cpu MHz\s*:\s*([\d.]+)$", re.MULTILINE)


def frequencies_mhz(root: Path, cpus: Iterable[int]) -> list[float]:
    """Return the present clock of each of ``cpus`` that tells it, in MHz; of 32 at most.

    Where there is no cpufreq, as in virtual machines, /proc/cpuinfo is asked; what a hypervisor
    writes there is mostly the nominal clock.
    """
    wanted = sorted(cpus)[:MAX_CPUS]
    files = (root / _CPUS / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq" for cpu in wanted)
    told = [khz / 1000 for file in files if (khz := read_number(file))]
    return told or _of_cpuinfo(root, set(wanted))


def thermal_throttles(root: Path) -> dict[int, int] | None:
    """Return how often each physical core was slowed down for heat since boot.

    SMT siblings count the same events, so the larger of theirs is taken. None where no core
    tells: other than Intel's, and in virtual machines.
    """
    counts: dict[int, int] = {}
    for cpu in topology.read(root):
        folder = root / _CPUS / f"cpu{cpu.number}" / "thermal_throttle"
        count = read_number(folder / "core_throttle_count")
        if count is not None:
            counts[cpu.core] = max(count, counts.get(cpu.core, 0))
    return counts or None


def _of_cpuinfo(root: Path, cpus: set[int]) -> list[float]:
    blocks = (read_text(root / "proc/cpuinfo") or "").split("\n\n")
    found = []
    for block in blocks:
        processor, mhz = _PROCESSOR.search(block), _MHZ.search(block)
        if processor and mhz and int(processor[1]) in cpus:
            found.append(float(mhz[1]))
    return found
