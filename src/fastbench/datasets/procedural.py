"""Synthetic pictures with the look of photographs, the same on every machine.

Gradients, textures of several sizes, shapes and grain: content that costs a JPEG decoder about
what a photograph does. They show nothing real, and everything made of them is marked synthetic.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_IMAGES = 1_000_000

#: Sizes of COCO's photographs, width x height in pixels, in about their proportions.
SIZES = ((640, 480), (640, 427), (480, 640), (640, 480), (640, 425), (427, 640))

_QUALITY = 95  # gives files of COCO's size
_OCTAVES = ((3, 70), (8, 40), (24, 28), (80, 18), (240, 12))  # cells across, amplitude in levels
_SHAPES = 14
_GRAIN = 16  # peak of the sensor-like noise, in levels


def file_name(index: int) -> str:
    """Name of one image: says that it is synthetic, sorts by number."""
    return f"synthetic-{index:06d}.jpg"


def write_images(folder: Path, count: int) -> None:
    """Write the first ``count`` JPEGs into ``folder``, which then holds nothing else.

    They have the same bytes each time; those that are there already are kept.

    Raises :class:`DatasetError` where that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for _ in threads.map(lambda index: _write(folder, index), range(count)):
                pass
        for surplus in {path.name for path in folder.iterdir()} - set(map(file_name, range(count))):
            (folder / surplus).unlink()
    except OSError as error:
        msg = f"{folder}: synthetic images cannot be written: {error.strerror or error}"
        raise DatasetError(msg) from error


def make_image(index: int) -> Image.Image:
    """Make one picture: RGB, of one of SIZES."""
    random = np.random.RandomState(index)  # the legacy generator's stream never changes
    width, height = SIZES[index % len(SIZES)]
    picture = Image.fromarray(_texture(random, width, height))
    _draw_shapes(picture, random)
    return Image.fromarray(_grained(np.asarray(picture), random))


def _write(folder: Path, index: int) -> None:
    path = folder / file_name(index)
    if not path.exists():
        unfinished = path.with_suffix(".tmp")
        make_image(index).save(unfinished, "JPEG", quality=_QUALITY)
        unfinished.rename(path)


def _texture(random: np.random.RandomState, width: int, height: int) -> NDArray[np.uint8]:
    """Make a gradient between two colours with value noise of several sizes on it."""
    top, bottom = random.randint(30, 226, (2, 3))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(top + (bottom - top) * down, (height, width, 3)).astype(np.float32)
    for cells, amplitude in _OCTAVES:
        tint = (random.randint(60, 101, 3) / 100 * amplitude / 128).astype(np.float32)
        picture += (_noise(random, cells, width, height) - 128)[..., None] * tint
    return np.clip(picture, 0, 255).astype(np.uint8)


def _noise(
    random: np.random.RandomState, cells: int, width: int, height: int
) -> NDArray[np.float32]:
    rows = max(2, cells * height // width)
    grid = random.randint(0, 256, (rows, cells)).astype(np.uint8)
    smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth).astype(np.float32)


def _draw_shapes(picture: Image.Image, random: np.random.RandomState) -> None:
    """Put opaque ellipses and polygons on it: the edges that photographs have."""
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(_SHAPES):
        x, y = int(random.randint(0, width)), int(random.randint(0, height))
        reach = int(random.randint(10, 110))
        colour = tuple(int(c) for c in random.randint(0, 256, 3))
        if random.randint(0, 2):
            draw.ellipse((x - reach, y - reach // 2, x + reach, y + reach // 2), fill=colour)
        else:
            offsets = random.randint(-reach, reach + 1, (5, 2))
            draw.polygon([(x + int(dx), y + int(dy)) for dx, dy in offsets], fill=colour)


def _grained(picture: NDArray[np.uint8], random: np.random.RandomState) -> NDArray[np.uint8]:
    height, width, _ = picture.shape
    raw = np.frombuffer(random.bytes(2 * height * width), np.uint8).reshape(2, height, width)
    grain = (raw.astype(np.int16).sum(axis=0) - 255) * _GRAIN // 255  # triangular
    grained: NDArray[np.int16] = picture.astype(np.int16) + grain[..., None]
    return np.clip(grained, 0, 255).astype(np.uint8)
