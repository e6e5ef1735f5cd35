"""The head of a ``.npy`` file, padded so that the data begins on a page."""

from __future__ import annotations

from typing import IO

import numpy as np

from fastbench.errors import DatasetError

#: Where the data begins in every file written here; a page, so that mappings are aligned.
DATA_OFFSET = 4096

_MAGIC = b"\x93NUMPY\x01\x00"


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """Return the first DATA_OFFSET bytes of a C-ordered array's file.

    ``descr``: of its elements, as NumPy writes it; little-endian float32 unless given.
    """
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    room = DATA_OFFSET - len(_MAGIC) - 2
    return _MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1).encode() + b"\n"


def read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Read shape, Fortran order and type; the file then stands at the first byte of data.

    Raises :class:`DatasetError` where it is not the head of an array.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(file)
    except (ValueError, KeyError, EOFError) as error:
        msg = f"{name}: not a .npy file that fastbench can read; make the dataset again"
        raise DatasetError(msg) from error
    return shape, fortran_order, dtype
