"""The machine that the client runs on, as plain JSON data for ``result.json``.

Whatever cannot be read is absent from the result, never an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbench.machine import cpu, gpus, kernel, limits, nics, software

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path("/")


def describe(root: Path = ROOT) -> dict[str, Any]:
    """Return the platform: see ``docs/results.md`` for the keys, units are in their names."""
    parts: list[Callable[[], dict[str, Any]]] = [
        _basics,
        lambda: cpu.describe(root),
        lambda: kernel.describe(root),
        lambda: nics.describe(root),
        lambda: limits.describe(root),
        lambda: software.describe(root),
        gpus.describe,
    ]
    found: dict[str, Any] = {}
    for part in parts:
        found |= _attempt(part)
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def allowed_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def cpu_limit() -> float | None:
    """Return the CPUs' worth of time that the container may use; None = not limited."""
    return limits.cpu_limit(ROOT)


def _attempt(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return part()
    except Exception:  # noqa: BLE001 - a platform that hides something is no reason to fail
        return {}


def _basics() -> dict[str, Any]:
    import psutil

    return {
        "cpus_logical": os.cpu_count(),
        "cpus_physical": psutil.cpu_count(logical=False),
        "cpus_allowed": allowed_cpus(),
        "memory_bytes": limits.memory_bytes(),
        "kernel": os.uname().release,
    }
