"""Stub of the extension that turns 8-bit pixels into float32."""

import numpy as np
from numpy.typing import NDArray

def to_float(
    pixels: bytes,
    height: int,
    width: int,
    table: NDArray[np.float32],
    out: NDArray[np.float32],
    planar: bool = False,
) -> None:
    """Convert ``pixels`` to float32 by a table, straight into ``out``, without the GIL.

    ``pixels``: height x width pixels of 3 (R, G, B) or 4 bytes (R, G, B, ignored).
    ``table``: 3 x 256, C-contiguous: the value of each level of each channel.
    ``out``: height * width * 3 floats, one-dimensional; filled as H x W x 3, or as 3 x H x W
    when ``planar``.

    Raises :class:`ValueError` where the sizes disagree.
    """
