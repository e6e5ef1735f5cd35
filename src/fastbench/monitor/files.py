"""Small files of /proc and /sys, where absence is an answer and no error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return what the file holds, without white space around it; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    """Return the whole number that the file holds; None where there is none."""
    return number(read_text(path) or "")


def read_fields(path: Path) -> dict[str, int]:
    """Return the ``name number`` lines of a file such as cpu.stat; empty where it is not there."""
    pairs = re.findall(r"^(\S+) (-?\d+)$", read_text(path) or "", re.MULTILINE)
    return {name: int(value) for name, value in pairs}


def number(text: str) -> int | None:
    """Return the whole number that ``text`` is; None where it is none."""
    try:
        return int(text)
    except ValueError:
        return None
