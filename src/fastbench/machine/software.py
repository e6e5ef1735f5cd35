"""Versions of what the client is made of."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LIBRARIES = (
    *("fastbench", "hdrhistogram", "hiredis", "msgspec", "numpy", "nvidia-ml-py", "onnx"),
    *("onnxruntime", "pillow", "pillow-simd", "psutil", "redis", "torch"),
)


def describe(root: Path) -> dict[str, Any]:
    """Return interpreter, libraries, distribution and container."""
    return {
        "machine": platform.machine(),
        "distribution": _distribution(),
        "container": _container(root),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": _libraries(),
    }


def _distribution() -> str | None:
    with contextlib.suppress(OSError, KeyError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return None


def _container(root: Path) -> str | None:
    for file, kind in (("run/.containerenv", "podman"), (".dockerenv", "docker")):
        if (root / file).exists():
            return kind
    with contextlib.suppress(OSError):
        words = (root / "proc/1/environ").read_bytes().split(b"\0")
        kinds = [w.removeprefix(b"container=") for w in words if w.startswith(b"container=")]
        return kinds[0].decode(errors="replace") if kinds else None
    return None


def _libraries() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
