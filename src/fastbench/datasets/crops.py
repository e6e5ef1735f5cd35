"""Sizes and corners: where each crop lies, from the image sizes and the seed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIDE = 256  # pixels of the smaller side after resizing
CROP = 224  # side of the square cut out

Corners = list[tuple[int, int]]


def resized(width: int, height: int) -> tuple[int, int]:
    """Return (width, height) with the smaller side at SIDE and the other truncated."""
    if height <= width:
        return int(width * SIDE / height), SIDE
    return SIDE, int(height * SIDE / width)


def draw(sizes: Iterable[tuple[int, int]], seed: int, reuse: int) -> Iterator[Corners]:
    """Yield the ``reuse`` corners (x, y) of each image, given (width, height) in file order.

    Drawn by NumPy's legacy MT19937, x before y, upper bound excluded: the last possible corner
    never comes up, which keeps the sequence equal to that of ``numpy.random.seed(seed)`` and
    ``numpy.random.randint``. How many processes do the work has no influence.
    """
    random = np.random.RandomState(seed)
    for size in sizes:
        width, height = resized(*size)
        yield [
            (int(random.randint(0, width - CROP)), int(random.randint(0, height - CROP)))
            for _ in range(reuse)
        ]
