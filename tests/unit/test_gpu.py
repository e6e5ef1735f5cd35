"""GPUs through a stand-in for NVIDIA's library: what each tells, and those that tell nothing."""

# ruff: noqa: N802, D102 - a stand-in has the names of NVIDIA's library

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fastbench.monitor import gpu
from fastbench.monitor.gpu import GpusProbe
from fastbench.monitor.sampler import Monitor

if TYPE_CHECKING:
    import pytest


class NVMLError(Exception):
    """What the library raises."""


class Library:
    """As ``pynvml``: one row of (utilisation, bytes, milliwatts) per sample, None = not told."""

    NVMLError = NVMLError

    def __init__(self, *gpus: list[tuple[int | None, int | None, int | None]]) -> None:
        self._gpus = gpus
        self._at = [0] * len(gpus)
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return b"Old Card" if handle else "Example GPU"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=self._told(handle, 0))

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=self._told(handle, 1))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self._told(handle, 2, ends=True)

    def _told(self, handle: int, field: int, *, ends: bool = False) -> int:
        value = self._gpus[handle][self._at[handle]][field]
        self._at[handle] += ends
        if value is None:
            raise NVMLError
        return value


def test_means_and_maxima() -> None:
    """Per cent, bytes and watts of each GPU by its index; names of old drivers are bytes."""
    library = Library([(10, 100, 70_500), (50, 300, 90_500)], [(0, 5, 20_000), (0, 4, 20_000)])
    probe = GpusProbe(library)
    assert probe.sample(0.0)
    assert probe.sample(1.0)
    first, second = probe.usage()

    assert (first.index, first.name) == (0, "Example GPU")
    assert (first.utilisation_percent_mean, first.utilisation_percent_max) == (30, 50)
    assert first.memory_used_max_bytes == 300
    assert (first.power_watts_mean, first.power_watts_max) == (80.5, 90.5)
    assert (second.index, second.name) == (1, "Old Card")
    assert (second.utilisation_percent_mean, second.utilisation_percent_max) == (0, 0)
    assert second.memory_used_max_bytes == 5


def test_figure_that_is_not_told() -> None:
    """What a GPU does not tell is None and not 0; the rest of it stays."""
    library = Library([(None, 100, 5000), (None, None, 7000)])
    probe = GpusProbe(library)
    probe.sample(0.0)
    probe.sample(1.0)
    (usage,) = probe.usage()

    assert (usage.utilisation_percent_mean, usage.utilisation_percent_max) == (None, None)
    assert usage.memory_used_max_bytes == 100
    assert usage.power_watts_mean == 6.0


def test_driver_that_does_not_work() -> None:
    """A library without a working driver is no GPU, and that is no error."""

    class Broken(Library):
        def nvmlInit(self) -> None:
            raise NVMLError

    probe = GpusProbe(Broken())

    assert not probe.sample(0.0)
    assert probe.usage() == []
    probe.close()


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """Without the driver's library nothing is imported and nothing is said."""

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)

    assert gpu.driver() is None
    assert GpusProbe(None).usage() == []
    assert capfd.readouterr() == ("", "")


def test_monitor_has_the_gpus_and_releases_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library tells while the monitor runs is in its result; it is closed after."""
    library = Library([(10, 100, 1000)] * 1000)
    monkeypatch.setattr(gpu, "driver", lambda: library)
    with Monitor() as monitor:
        assert library.open == 1
    usage = monitor.stop()

    assert [g.utilisation_percent_max for g in usage.gpus] == [10]
    assert library.open == 0
