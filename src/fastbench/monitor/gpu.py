"""NVIDIA GPUs of this machine: utilisation, memory and power, from the driver's own library.

Source: NVIDIA's NVML API Reference, by its Python binding ``pynvml`` (nvidia-ml-py).
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastbench.results import GpuUsage

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

DRIVER_LIBRARY = "libnvidia-ml.so.1"


def driver() -> ModuleType | None:
    """Return the binding where the driver's library is installed; None elsewhere."""
    try:
        ctypes.CDLL(DRIVER_LIBRARY)
        return importlib.import_module("pynvml")
    except (OSError, ImportError):
        return None


class GpusProbe:
    """Samples every GPU; ``library``: the module ``pynvml``, None = there is no driver."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._gpus: list[_Gpu] = [] if library is None else _find(library)

    def sample(self, at_s: float) -> bool:
        """Take a sample; False where there is no GPU."""
        del at_s
        for gpu in self._gpus:
            gpu.sample(self._library)
        return bool(self._gpus)

    def usage(self) -> list[GpuUsage]:
        """Return one record for each GPU, by index."""
        return [gpu.usage() for gpu in self._gpus]

    def close(self) -> None:
        """Release the driver's library."""
        if self._gpus:
            _quietly(self._library, self._library.nvmlShutdown)


@dataclass(slots=True)
class _Figure:
    """Mean and maximum of what was told; None before."""

    total: float = 0.0
    taken: int = 0
    maximum: float | None = None

    def add(self, value: float | None) -> None:
        if value is not None:
            self.total += value
            self.taken += 1
            self.maximum = max(value, self.maximum or value)

    @property
    def mean(self) -> float | None:
        return self.total / self.taken if self.taken else None


class _Gpu:
    def __init__(self, index: int, name: str, handle: Any) -> None:
        self._index = index
        self._name = name
        self._handle = handle
        self._percent, self._bytes, self._watts = _Figure(), _Figure(), _Figure()

    def sample(self, nvml: Any) -> None:
        """Ask for each figure by itself: a part of a GPU, as MIG makes them, tells not all."""
        handle = self._handle
        self._percent.add(_quietly(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu))
        self._bytes.add(_quietly(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used))
        self._watts.add(_quietly(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000))

    def usage(self) -> GpuUsage:
        most = self._bytes.maximum
        return GpuUsage(
            index=self._index,
            name=self._name,
            utilisation_percent_mean=self._percent.mean,
            utilisation_percent_max=self._percent.maximum,
            memory_used_max_bytes=None if most is None else int(most),
            power_watts_mean=self._watts.mean,
            power_watts_max=self._watts.maximum,
        )


def _find(nvml: Any) -> list[_Gpu]:
    """Return the GPUs that this process may see; none where the driver does not work."""
    try:
        nvml.nvmlInit()
        return [_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []


def _gpu(nvml: Any, index: int) -> _Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(handle)
    return _Gpu(index, name.decode() if isinstance(name, bytes) else name, handle)


def _quietly(nvml: Any, ask: Callable[[], float]) -> float | None:
    """Return the answer; None where the GPU does not tell, or is lost."""
    try:
        return ask()
    except nvml.NVMLError:
        return None
