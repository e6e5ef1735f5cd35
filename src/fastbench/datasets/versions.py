"""Versions of everything that decides a dataset's bytes."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from PIL import features


def libraries() -> dict[str, str]:
    """Return the versions of everything that decides the bytes."""
    found = {"python": sys.version.split()[0], "numpy": np.__version__}
    for name in ("pillow-simd", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["libjpeg"] = str(features.version("jpg"))
    if features.check_feature("libjpeg_turbo"):
        found["libjpeg-turbo"] = str(features.version("libjpeg_turbo"))
    return found


def own_version() -> str:
    """Return the version of the installed fastbench."""
    try:
        return version("fastbench")
    except PackageNotFoundError:
        return "unknown"
