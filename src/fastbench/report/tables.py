"""The tables of the console report: one column per repetition, then median and spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fastbench.statistics.intervals import median_ranks

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fastbench.report.rows import Row, Rows

LABEL_WIDTH = 21
CELL_WIDTH = 11
SPREAD_WIDTH = 25


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns the tables have."""

    repetitions: bool
    summary: bool
    spread: bool

    @classmethod
    def fit(cls, repetitions: int, width: int) -> Layout:
        """Choose the richest layout that fits into ``width`` columns."""
        if repetitions <= 1:
            return cls(repetitions=True, summary=False, spread=False)
        room = width - LABEL_WIDTH - (CELL_WIDTH + 1)
        columns = 1 if median_ranks(repetitions) is None else 2  # both ends; the interval
        cells, spread = repetitions * (CELL_WIDTH + 1), columns * (SPREAD_WIDTH + 1)
        each = room >= cells
        return cls(
            repetitions=each,
            summary=True,
            spread=room >= spread + (cells if each else 0),
        )


def table(rows: Rows, layout: Layout) -> Table:
    """Return ``rows`` cut to the columns of ``layout``."""
    made = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False, header_style="bold")
    made.add_column(rows.title, min_width=LABEL_WIDTH - 1, no_wrap=True)
    names = [*rows.repetitions] if layout.repetitions else []
    names += [rows.summary] if layout.summary else []
    for name in names:
        made.add_column(_padded(name), min_width=CELL_WIDTH, justify="right", no_wrap=True)
    if layout.spread and rows.spread:
        name = _padded("min .. max")
        made.add_column(name, min_width=SPREAD_WIDTH, justify="right", no_wrap=True)
    interval = layout.spread and any(row.interval for row in rows.rows)
    if interval:
        name = _padded("95 % for median")
        made.add_column(name, min_width=SPREAD_WIDTH, justify="right", no_wrap=True)
    for row in rows.rows:
        if not row.cells:
            made.add_row("")
            made.add_row(Text(row.label, style="bold"))
        else:
            made.add_row(*_cells(row, layout, spread=rows.spread, interval=interval))
    return made


def _cells(row: Row, layout: Layout, *, spread: bool, interval: bool) -> list[RenderableType]:
    cells: list[RenderableType] = [f"  {row.label}"]
    cells += [_padded(cell) for cell in row.cells] if layout.repetitions else []
    cells += [Text(_padded(row.summary), style="bold")] if layout.summary else []
    cells += [_padded(row.ends)] if layout.spread and spread else []
    cells += [_padded(row.interval)] if interval else []
    return cells


def _padded(cell: str) -> str:
    """Keep the last character of a cell for the mark, so that digits stand under digits."""
    return cell if cell.endswith("~") else f"{cell} "
