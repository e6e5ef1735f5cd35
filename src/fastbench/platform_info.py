"""The machine that the client runs on, as plain JSON data for ``result.json``.

Whatever cannot be read is absent from the result, never an error.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARIES = (
    "fastbench",
    "hdrhistogram",
    "hiredis",
    "msgspec",
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
    "pillow-simd",
    "psutil",
    "redis",
    "torch",
)

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES = 2**60  # cgroup v1 writes a number near 2**63 for "no limit"


def describe() -> dict[str, Any]:
    """Return the platform: see ``docs/results.md`` for the keys, units are in their names."""
    probes: dict[str, Callable[[], Any]] = {
        "cpu_model": _cpu_model,
        "cpus_logical": os.cpu_count,
        "cpus_physical": _cpus_physical,
        "cpus_allowed": allowed_cpus,
        "cpu_limit": cpu_limit,
        "cpu_governor": _cpu_governor,
        "cpu_max_mhz": _cpu_max_mhz,
        "numa_nodes": _numa_nodes,
        "memory_bytes": _memory_bytes,
        "memory_limit_bytes": _memory_limit_bytes,
        "machine": platform.machine,
        "kernel": platform.release,
        "distribution": _distribution,
        "container": _container,
        "tcp_congestion_control": _tcp_congestion_control,
        "python": _python,
        "libraries": _libraries,
        "gpus": _gpus,
    }
    found = {key: _attempt(probe) for key, probe in probes.items()}
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def allowed_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def cpu_limit() -> float | None:
    """Return the CPUs' worth of time that the container may use; None = not limited."""
    v2 = _read_if_there(_CGROUP / "cpu.max")
    if v2 is not None:
        quota, period = v2.split()
        return None if quota == "max" else int(quota) / int(period)
    quota_us = int(_read(_CGROUP / "cpu/cpu.cfs_quota_us"))
    return None if quota_us < 0 else quota_us / int(_read(_CGROUP / "cpu/cpu.cfs_period_us"))


def _attempt(probe: Callable[[], Any]) -> Any:
    try:
        return probe()
    except Exception:  # noqa: BLE001 - a platform that hides something is no reason to fail
        return None


def _read(path: Path | str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


def _read_if_there(path: Path) -> str | None:
    return _read(path) if path.exists() else None


def _cpu_model() -> str:
    lines = _read("/proc/cpuinfo").splitlines()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor()


def _cpus_physical() -> int | None:
    import psutil

    count: int | None = psutil.cpu_count(logical=False)
    return count


def _cpu_governor() -> str:
    return _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def _cpu_max_mhz() -> float:
    return int(_read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")) / 1000


def _numa_nodes() -> int:
    return len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory_limit_bytes() -> int | None:
    v2 = _read_if_there(_CGROUP / "memory.max")
    text = v2 if v2 is not None else _read(_CGROUP / "memory/memory.limit_in_bytes")
    limit = _UNLIMITED_BYTES if text == "max" else int(text)
    return limit if limit < min(_UNLIMITED_BYTES, _memory_bytes()) else None


def _distribution() -> str:
    return platform.freedesktop_os_release()["PRETTY_NAME"]


def _container() -> str | None:
    if Path("/run/.containerenv").exists():
        return "podman"
    if Path("/.dockerenv").exists():
        return "docker"
    environment = Path("/proc/1/environ").read_bytes().split(b"\0")
    kinds = [v.removeprefix(b"container=") for v in environment if v.startswith(b"container=")]
    return kinds[0].decode() if kinds else None


def _tcp_congestion_control() -> str:
    return _read("/proc/sys/net/ipv4/tcp_congestion_control")


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _libraries() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _gpus() -> list[str]:
    import pynvml

    pynvml.nvmlInit()
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    finally:
        pynvml.nvmlShutdown()


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
