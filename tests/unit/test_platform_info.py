"""The description of the machine: true where it can be checked, silent where it cannot be read."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from support.faketree import plant

from fastbench import platform_info

if TYPE_CHECKING:
    import pytest


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


def test_every_key_is_documented() -> None:
    """The page on results names each key of this machine's platform, and of its interfaces."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()
    about = platform_info.describe()
    keys = [*about, *(key for nic in about.get("nics", []) for key in nic), *about["ulimits"]]

    assert [key for key in keys if f"`{key}`" not in page] == []


def test_other_root(tmp_path: Path) -> None:
    """With another root the files below it are read, not this machine's."""
    plant(tmp_path, {"proc/cpuinfo": "model name\t: Example 9000"})

    about = platform_info.describe(tmp_path)

    assert about["cpu_model"] == "Example 9000"
    assert "clocksource" not in about
    assert about["cpus_allowed"] == sorted(os.sched_getaffinity(0))


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUs are listed by NVML's names, also where an old version gives bytes."""
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetName=lambda i: ("Example GPU", b"Example GPU")[i],
        nvmlSystemGetDriverVersion=lambda: b"570.1",
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    about = platform_info.describe()

    assert about["gpus"] == ["Example GPU", "Example GPU"]
    assert about["gpu_driver"] == "570.1"
