"""Looks at the head of every image, and plans what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.datasets import crops, manifest
from fastbench.datasets.images import BadImageError, displayed_size
from fastbench.datasets.worker import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.datasets.manifest import Skipped
    from fastbench.datasets.sources import ImageSource


@dataclass(frozen=True, slots=True)
class Survey:
    """What the heads of the image files say: which can be used, their sizes and changes."""

    names: list[str]
    sizes: list[tuple[int, int]]
    stamps: list[tuple[int, int]]
    skipped: list[Skipped]


def survey(source: ImageSource, limit: int | None) -> Survey:
    """Read the head of the first ``limit`` files: sizes must be known before corners are drawn."""
    found = Survey([], [], [], [])
    for name in source.names()[:limit]:
        try:
            with source.open(name) as file:
                size = displayed_size(file)
        except BadImageError as error:
            found.skipped.append(manifest.Skipped(name=name, reason=str(error)))
            continue
        found.names.append(name)
        found.sizes.append(size)
        found.stamps.append(source.stamp(name))
    return found


def plan(found: Survey, settings: manifest.Settings) -> Iterator[Task]:
    """Yield one task per usable image, in file order; image i fills rows i * reuse and on."""
    corners = crops.draw(found.sizes, settings.seed, settings.reuse)
    for index, (name, size, of_image) in enumerate(
        zip(found.names, found.sizes, corners, strict=True)
    ):
        yield Task(index, name, size, index * settings.reuse, of_image)
