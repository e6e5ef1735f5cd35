"""Printing what was measured: the name of a format checked, its bytes to standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_name(name: str, formats: Iterable[str], lead: str = "choose") -> None:
    """Raise :class:`UsageError` that names the ``formats``, after ``lead``, without ``name``."""
    known = tuple(formats)
    if name not in known:
        msg = f"--format {name!r}: {lead} {', '.join(known)}"
        raise UsageError(msg)


def print_bytes(content: bytes) -> None:
    """Print ``content`` to standard output, after what was printed as text, and nothing else."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
