"""What this process may use: open files, locked memory, and the limits of its container.

Sources: getrlimit(2); the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.max``,
``memory.max``, ``cpuset.cpus.effective``) and cgroup-v1/.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from fastbench.monitor.files import read_text

_UNLIMITED_BYTES = 2**60  # version 1 writes a number near 2**63 for "no limit"
_MOUNT = "sys/fs/cgroup"
_RLIMITS = {"nofile": resource.RLIMIT_NOFILE, "memlock_bytes": resource.RLIMIT_MEMLOCK}


def describe(root: Path) -> dict[str, Any]:
    """Return the limits; those of the container are read below ``root``."""
    return {
        "cpu_limit": cpu_limit(root),
        "memory_limit_bytes": memory_limit_bytes(root),
        "cpuset": _first(root, "cpuset.cpus.effective", "cpuset/cpuset.effective_cpus"),
        "ulimits": ulimits(),
    }


def cpu_limit(root: Path = Path("/")) -> float | None:
    """Return the CPUs' worth of time that the container may use; None = not limited."""
    quota, _, period = (_first(root, "cpu.max") or "").partition(" ")
    if not quota:
        quota = _first(root, "cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us") or ""
        period = _first(root, "cpu/cpu.cfs_period_us", "cpu,cpuacct/cpu.cfs_period_us") or ""
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max", -1, or no such file
    return int(quota) / int(period)


def memory_limit_bytes(root: Path) -> int | None:
    """Return the memory that the container may use; None = not limited."""
    text = _first(root, "memory.max", "memory/memory.limit_in_bytes") or ""
    limit = int(text) if text.isdecimal() else _UNLIMITED_BYTES
    return limit if limit < min(_UNLIMITED_BYTES, memory_bytes()) else None


def memory_bytes() -> int:
    """Return the memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def ulimits() -> dict[str, list[int | None]]:
    """Return soft and hard limit of each kind; None = unlimited."""
    found = {name: resource.getrlimit(kind) for name, kind in _RLIMITS.items()}
    return {
        name: [None if value == resource.RLIM_INFINITY else value for value in pair]
        for name, pair in found.items()
    }


def _first(root: Path, *names: str) -> str | None:
    texts = (read_text(root / _MOUNT / name) for name in names)
    return next((text for text in texts if text), None)
