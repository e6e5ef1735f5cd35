"""CPU quotas: how long this process's control group, or one above it, was stopped.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.stat``: ``throttled_usec``),
Documentation/scheduler/sched-bwc.rst (version 1: ``throttled_time`` in ns), cgroups(7).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fastbench.monitor.files import read_fields, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNT = "sys/fs/cgroup"
#: Where version 1 mounts the controller named ``cpu``.
_MOUNTS_V1 = ("cpu,cpuacct", "cpu", "cpuacct,cpu")


def groups(root: Path) -> list[Path]:
    """Return the ``cpu.stat`` of this process's group and of those above it that tell of quotas.

    In a container only groups that are mounted there can be seen: its own mostly, and none
    outside it. Empty where there is no such group.
    """
    found = dict.fromkeys(file for folder in _folders(root) for file in _upward(folder))
    return [file for file in found if _throttled_s(file) is not None]


def throttled_s(files: list[Path]) -> dict[Path, float]:
    """Return for each file how long its group was stopped since it was made, in seconds.

    The kernel adds up the time of every CPU that the group was stopped on.
    """
    times = {file: _throttled_s(file) for file in files}
    return {file: time for file, time in times.items() if time is not None}


def _throttled_s(file: Path) -> float | None:
    fields = read_fields(file)
    if "throttled_usec" in fields:
        return fields["throttled_usec"] / 1e6
    return fields["throttled_time"] / 1e9 if "throttled_time" in fields else None


def _folders(root: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the mount point and the own group's path of each hierarchy with CPU quotas."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        outside = ".." in path.split("/")  # of what a control-group namespace shows
        group = PurePosixPath("/") if outside else PurePosixPath("/", path)
        if not controllers:
            yield root / _MOUNT, group
            yield root / _MOUNT / "unified", group  # beside version 1
        elif "cpu" in controllers.split(","):
            for name in _MOUNTS_V1:
                yield root / _MOUNT / name, group


def _upward(folder: tuple[Path, PurePosixPath]) -> Iterator[Path]:
    """Yield ``cpu.stat`` from the own group up to the mount point.

    A path that is seen from outside a container does not exist inside; the mount point does.
    """
    mount, group = folder
    for path in (group, *group.parents):
        yield mount / path.relative_to("/") / "cpu.stat"
