"""Sweeps and searches in the formats of ``--format``, also from their folders alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastbench import searches, sweeps
from fastbench.errors import UsageError
from fastbench.report import search_files, sweep_files
from fastbench.report.html import search_page, sweep_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastbench.searches import SearchResult
    from fastbench.sweeps import SweepResult

SWEEP = "sweep.json"
SEARCH = "search.json"
SWEEP_FORMATS: dict[str, Callable[[SweepResult], bytes]] = {
    **sweep_files.FORMATS,
    "html": sweep_page.render,
}
SEARCH_FORMATS: dict[str, Callable[[SearchResult], bytes]] = {
    **search_files.FORMATS,
    "html": search_page.render,
}
FORMATS = tuple(SWEEP_FORMATS)
READERS: dict[str, Callable[[bytes], SweepResult | SearchResult]] = {
    SWEEP: sweeps.from_json,
    SEARCH: searches.from_json,
}


def check_format(name: str) -> None:
    """Raise :class:`UsageError` that names the formats where ``name`` is none of them."""
    if name not in FORMATS:
        msg = f"--format {name!r}: a sweep or a search is printed as {', '.join(FORMATS)}"
        raise UsageError(msg)


def print_study(study: SweepResult | SearchResult, name: str) -> None:
    """Print a sweep or a search to standard output in the format ``name``.

    Raises :class:`UsageError` where there is no such format.
    """
    check_format(name)
    formats: dict[str, Callable[[Any], bytes]] = (
        SWEEP_FORMATS if isinstance(study, sweeps.SweepResult) else SEARCH_FORMATS
    )
    sys.stdout.flush()
    sys.stdout.buffer.write(formats[name](study))
    sys.stdout.flush()


def read_study(path: Path) -> SweepResult | SearchResult | None:
    """Return the sweep or search in a folder, or in the file itself; None where it is neither.

    Raises :class:`UsageError` where the file cannot be read or is damaged.
    """
    files = [path / name for name in READERS] if path.is_dir() else [path]
    file = next((f for f in files if f.name in READERS and f.exists()), None)
    if file is None:
        return None
    try:
        return READERS[file.name](file.read_bytes())
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise UsageError(msg) from error
    except UsageError as error:
        msg = f"{file}: {error}"
        raise UsageError(msg) from error
