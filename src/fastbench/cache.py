"""The folder for what fastbench can make or fetch again: models, sample datasets, downloads."""

from __future__ import annotations

import os
from pathlib import Path

from fastbench.errors import UsageError


def cache_folder() -> Path:
    """Return $XDG_CACHE_HOME/fastbench, or ~/.cache/fastbench where that is not set.

    A relative $XDG_CACHE_HOME counts as not set, as its specification says.
    Raises :class:`UsageError` for a user without a home folder.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given / "fastbench"
    try:
        return Path.home() / ".cache" / "fastbench"
    except RuntimeError as e:
        msg = "this user has no home folder: set XDG_CACHE_HOME to a folder for models and samples"
        raise UsageError(msg) from e
