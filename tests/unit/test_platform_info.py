"""The description of the machine: true where it can be checked, silent where it cannot be read."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastbench import platform_info


def test_facts_that_can_be_checked() -> None:
    """What the standard library knows is said the same."""
    about = platform_info.describe()

    assert about["cpus_logical"] == os.cpu_count()
    assert about["cpus_allowed"] == sorted(os.sched_getaffinity(0))
    assert about["kernel"] == os.uname().release
    assert platform.python_version() in about["python"]
    assert about["memory_bytes"] > 2**20
    assert "numpy" in about["libraries"]


def test_is_json_without_empty_values() -> None:
    """The description goes into a file as it is; unknown things are absent, not null."""
    about = platform_info.describe()

    assert json.loads(json.dumps(about)) == about
    assert not [key for key, value in about.items() if value in (None, "", [], {})]


def test_unreadable_machine_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc and /sys are hidden the keys that need them are absent."""

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    about = platform_info.describe()

    assert "cpu_model" not in about
    assert "tcp_congestion_control" not in about
    assert about["kernel"] == os.uname().release


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_cpu_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: float | None
) -> None:
    """Both generations of cgroups are read."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(platform_info, "_CGROUP", tmp_path)

    assert platform_info.cpu_limit() == limit


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUs are listed by NVML's names, also where an old version gives bytes."""
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetName=lambda i: ("Example GPU", b"Example GPU")[i],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    assert platform_info.describe()["gpus"] == ["Example GPU", "Example GPU"]
