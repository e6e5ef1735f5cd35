"""Tables as plain text, as wide as what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = -1) -> str:
    """Return a table with columns as wide as their cells, to the right; ``left``: to the left.

    The mark ``~`` after a number hangs over, so that digits stand under digits.
    """
    cells = [[_padded(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        " ".join(
            cell.ljust(width) if i == left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _padded(cell: str) -> str:
    return cell if cell.endswith(("~", "!", "?")) else f"{cell} "
