"""What keeps a process from its CPU: neighbours that spin, a CPU quota."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PERIOD_US = 100_000
_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def neighbours(cpu: int, count: int) -> Iterator[None]:
    """Run ``count`` processes that do nothing but use that CPU."""
    program = f"import os; os.sched_setaffinity(0, [{cpu}]); print(flush=True)\nwhile True: pass"
    spinning = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        for process in spinning:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
        yield
    finally:
        for process in spinning:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def cpu_quota(percent: int) -> Iterator[Callable[[], None]]:
    """Make a control group that may use so much of one CPU; yields what makes a process join it.

    Skips the test where this machine does not let us.
    """
    v1 = (_V1 / "cpu.cfs_quota_us").exists() or (_V1 / "cpu.shares").exists()
    group = (_V1 if v1 else _V2) / f"fastbench-test-{os.getpid()}"
    quota_us = PERIOD_US * percent // 100
    try:
        group.mkdir()
        if v1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield lambda: _join(group)
    finally:
        group.rmdir()


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))
