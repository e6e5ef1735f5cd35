"""Rows of equal size in one ``.npy`` file: what the engine sends and an oracle reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.datasets import npy
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """``rows`` samples of ``row_bytes`` bytes each, one after another.

    ``data_path``: the file, whose row 0 begins at byte ``data_offset``. ``row_shape``: of one
    sample, e.g. (224, 224, 3). ``dtype``: NumPy's name, e.g. ``float32``.
    """

    data_path: Path
    data_offset: int
    row_bytes: int
    rows: int
    row_shape: tuple[int, ...]
    dtype: str

    def array(self) -> NDArray[Any]:
        """Map the file, read-only: shape (rows, *row_shape) of ``dtype``."""
        return np.memmap(
            self.data_path,
            dtype=self.dtype,
            mode="r",
            offset=self.data_offset,
            shape=(self.rows, *self.row_shape),
        )


def open_rows(path: Path, dtype: str, shape: Sequence[int], offset: int) -> Rows:
    """Open a file of which the manifest says type, shape and where row 0 begins.

    Raises :class:`DatasetError` where it is missing, truncated or not what the manifest says.
    """
    _check_file(path, np.dtype(dtype), shape, offset)
    rows, *row_shape = shape
    return Rows(
        data_path=path,
        data_offset=offset,
        row_bytes=np.dtype(dtype).itemsize * math.prod(row_shape),
        rows=rows,
        row_shape=tuple(row_shape),
        dtype=dtype,
    )


def _check_file(path: Path, wanted: np.dtype[Any], shape: Sequence[int], offset: int) -> None:
    try:
        with path.open("rb") as file:
            found, fortran_order, dtype = npy.read_header(file, str(path))
            begins = file.tell()
            size = file.seek(0, 2)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; make the dataset again"
        raise DatasetError(msg) from error
    if dtype != wanted.newbyteorder("<"):
        msg = f"{path}: holds {dtype}, must be {wanted}; make the dataset again"
        raise DatasetError(msg)
    if fortran_order or found != tuple(shape) or begins != offset:
        msg = (
            f"{path}: shape {found} from byte {begins}, but the manifest says "
            f"{tuple(shape)} from byte {offset}; make the dataset again"
        )
        raise DatasetError(msg)
    expected = offset + wanted.itemsize * math.prod(shape)
    if size != expected:
        how = "truncated" if size < expected else "too long"
        msg = f"{path}: {how}: {size} bytes, must be {expected}; make the dataset again"
        raise DatasetError(msg)
