"""Folders that hold something else than one run: sweeps, searches, suites, network baselines.

Each can be printed again in the formats of its command, from its folder or its file alone. Adding
one is a line in KINDS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastbench import journal, network, searches, suites, sweeps, versioned
from fastbench.errors import UsageError
from fastbench.network import Network
from fastbench.report import network as network_text
from fastbench.report import search_files, suite_formats, sweep_files
from fastbench.report.html import search_page, sweep_page
from fastbench.report.printing import check_name, print_bytes
from fastbench.searches import SearchResult
from fastbench.suites import SuiteResult
from fastbench.sweeps import SweepResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Study = SweepResult | SearchResult | SuiteResult | Network

SWEEP = "sweep.json"
SEARCH = "search.json"
SUITE = "suite.json"
RUN = ("result.json", journal.FILENAME)
SWEEP_FORMATS: dict[str, Callable[[SweepResult], bytes]] = {
    **sweep_files.FORMATS,
    "html": sweep_page.render,
}
SEARCH_FORMATS: dict[str, Callable[[SearchResult], bytes]] = {
    **search_files.FORMATS,
    "html": search_page.render,
}
NETWORK_FORMATS: dict[str, Callable[[Network], bytes]] = {
    "console": lambda found: network_text.render(found).encode(),
    "json": versioned.to_json,
}
FORMATS = tuple(SWEEP_FORMATS)


@dataclass(frozen=True, slots=True)
class Kind:
    """What such a file holds.

    ``name``: with its article; ``type``: what ``read`` makes of its bytes. ``parts``: what its
    folder has result folders of; empty = it has none.
    """

    name: str
    type: type
    read: Callable[[bytes], Study]
    formats: dict[str, Callable[[Any], bytes]]
    parts: str = ""


#: By the name of the file. What lies beside a run comes last, for the run goes before it.
KINDS = {
    SWEEP: Kind("a sweep", SweepResult, sweeps.from_json, SWEEP_FORMATS, "cells"),
    SEARCH: Kind("a search", SearchResult, searches.from_json, SEARCH_FORMATS, "probes"),
    SUITE: Kind("an ONNX suite", SuiteResult, suites.from_json, suite_formats.FORMATS),
    network.FILENAME: Kind("a network baseline", Network, network.from_json, NETWORK_FORMATS),
}


def check_format(name: str) -> None:
    """Raise :class:`UsageError` that names the formats where ``name`` is none of them."""
    check_name(name, FORMATS, "a sweep or a search is printed as")


def print_study(study: Study, name: str) -> None:
    """Print ``study`` to standard output in the format ``name``.

    Raises :class:`UsageError` where there is no such format of it.
    """
    kind = next(kind for kind in KINDS.values() if isinstance(study, kind.type))
    check_name(name, kind.formats, f"{kind.name} is printed as")
    print_bytes(kind.formats[name](study))


def file_of(path: Path) -> Path | None:
    """Return the file in a folder, or the file itself; None where it is a run, or nothing known."""
    if not path.is_dir():
        return path if path.name in KINDS and path.exists() else None
    found = next((path / name for name in KINDS if (path / name).exists()), None)
    is_beside = found is not None and found.name == network.FILENAME
    return None if is_beside and any((path / name).exists() for name in RUN) else found


def read_study(path: Path) -> Study | None:
    """Return what a folder or a file holds; None where it is a run, or nothing known.

    Raises :class:`UsageError` where the file cannot be read or is damaged.
    """
    file = file_of(path)
    if file is None:
        return None
    try:
        return KINDS[file.name].read(file.read_bytes())
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise UsageError(msg) from error
    except UsageError as error:
        msg = f"{file}: {error}"
        raise UsageError(msg) from error


def refuse(path: Path) -> None:
    """Raise :class:`UsageError` where ``path`` holds something else than the run that is wanted."""
    file = file_of(path)
    if file is None:
        return
    kind = KINDS[file.name]
    remedy = f"'fastbench report {path}' shows it"
    if kind.parts:
        parts = sorted(p.parent.name for p in file.parent.glob("*/result.json"))
        example = f", e.g. {file.parent / parts[0]}" if parts else ""
        remedy = f"name the result folders of its {kind.parts}{example}; {remedy}"
    msg = f"{path} holds {kind.name}, not a run: {remedy}"
    raise UsageError(msg)
