"""Versions of everything that decides a dataset's bytes."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np


def libraries() -> dict[str, str]:
    """Return the versions of everything that decides the bytes of images."""
    from PIL import features

    found = numeric_libraries()
    for name in ("pillow-simd", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["libjpeg"] = str(features.version("jpg"))
    if features.check_feature("libjpeg_turbo"):
        found["libjpeg-turbo"] = str(features.version("libjpeg_turbo"))
    return found


def numeric_libraries() -> dict[str, str]:
    """Return the versions of what decides the bytes of a dataset without images."""
    return {"python": sys.version.split()[0], "numpy": np.__version__}


def own_version() -> str:
    """Return the version of the installed fastbench."""
    try:
        return version("fastbench")
    except PackageNotFoundError:
        return "unknown"
