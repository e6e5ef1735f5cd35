"""GPUs by NVML, where its library and a driver are there."""

from __future__ import annotations

from typing import Any


def describe() -> dict[str, Any]:
    """Return the names of the GPUs and the version of their driver.

    Raises whatever NVML does where there is none: the caller leaves it out.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return {
            "gpus": [_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles],
            "gpu_driver": _text(pynvml.nvmlSystemGetDriverVersion()),
        }
    finally:
        pynvml.nvmlShutdown()


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
