"""Rows of a dataset as the engine is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.plan import Data

if TYPE_CHECKING:
    from fastbench.datasets.rows import Rows


def file_data(rows: Rows, first: int = 0, count: int | None = None) -> Data:
    """Return ``count`` rows of a file, from row ``first`` on; None = all that follow."""
    return Data(
        str(rows.data_path),
        rows.data_offset + first * rows.row_bytes,
        rows.row_bytes,
        rows.rows - first if count is None else count,
    )
