"""Tables as plain text, as wide as what they hold."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 100


def wrapped(text: str) -> str:
    """Return a text in lines of at most 100 columns."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def text_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = -1,
    width: int | None = None,
) -> str:
    """Return a table with columns as wide as their cells, to the right; ``left``: to the left.

    The mark ``~`` after a number hangs over, so that digits stand under digits. Where it would be
    wider than ``width``, the first cell of a row has a line of its own above the others.
    """
    whole = _table(heads, rows, left)
    if width is None or max(map(len, whole)) <= width:
        return "\n".join(whole)
    head, *below = _table(heads[1:], [row[1:] for row in rows], left - 1 if left > 0 else -1)
    names = [wrapped(row[0]) for row in rows]
    pairs = (f"{name}\n{line}" for name, line in zip(names, below, strict=True))
    return "\n".join((f"{heads[0]}\n{head}", *pairs))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    cells = [[_padded(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        " ".join(
            cell.ljust(width) if i == left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return [line.rstrip() for line in lines]


def _padded(cell: str) -> str:
    return cell if cell.endswith(("~", "!", "?")) else f"{cell} "
