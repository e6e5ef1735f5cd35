"""What a file of the result folder is: a name and a rendering of the result, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.results import Result


@dataclass(frozen=True, slots=True)
class Exporter:
    """One file of the result folder.

    ``render`` turns a result into the file's bytes. It reads nothing else, so that every file
    can be made again from ``result.json``.
    """

    filename: str
    render: Callable[[Result], bytes]
