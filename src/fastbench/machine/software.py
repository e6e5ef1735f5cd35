"""Versions of what the client is made of."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import platform
import ssl
from pathlib import Path
from typing import Any

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
        "build": build(),
    }


def build() -> dict[str, str]:
    """Return how the native part was built: compiler, type, flags, sanitizers, TLS library.

    It lies beside the extension modules; empty where it is missing or damaged.
    """
    spec = importlib.util.find_spec("fastbench._engine")
    if spec is None or spec.origin is None:
        return {}
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(Path(spec.origin).with_name("build.json").read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items() if value}
    return {}


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
