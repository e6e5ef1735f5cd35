"""Recomputes a dataset's hashes, and with the images at hand every step that made it."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.datasets import crops, pool
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.images import BadImageError, displayed_size
from fastbench.datasets.sources import ImageSource, open_source
from fastbench.datasets.worker import Job, Task
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastbench.datasets.crops import Corners
    from fastbench.datasets.manifest import Image, Manifest, Settings

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared: rows hashed from the file, images worked through from their sources.

    ``differences``: one line each, naming row or image; empty = all is as the manifest says.
    """

    rows: int
    images: int
    differences: tuple[str, ...]


def verify(folder: Path, images: Path | None = None, progress: Progress | None = None) -> Verified:
    """Compare a dataset with its manifest.

    The hash of every row is recomputed from the file, every crop corner from the seed. With
    ``images``, the folder or zip that it was made from (a synthetic dataset has its own), so are
    each file's hash and size and the tensors. ``progress`` is called with (steps done, in all).

    Raises :class:`DatasetError` where the dataset or the images cannot be opened.
    """
    dataset = open_dataset(folder)
    manifest = dataset.manifest
    if images is None and manifest.synthetic and (folder / manifest.source.path).is_dir():
        images = folder / manifest.source.path
    if images is not None and manifest.settings is None:
        msg = f"{folder}: was imported, so its manifest names no images; verify without --images"
        raise DatasetError(msg)

    count = len(manifest.images) if images is not None else 0
    differences: list[str] = []
    for done, found in enumerate(_steps(dataset, images), start=1):
        differences.extend(found)
        if progress is not None:
            progress(done, dataset.rows + count)
    return Verified(dataset.rows, count, tuple(differences))


def _steps(dataset: Dataset, images: Path | None) -> Iterator[list[str]]:
    """Yield what differs, row by row and then image by image."""
    settings = dataset.manifest.settings
    corners: dict[str, Corners] = {}
    if settings is not None:
        corners = _expected_corners(dataset.manifest, settings)
    yield from _row_steps(dataset, corners)
    if settings is not None and images is not None:
        yield from _image_steps(dataset.manifest, settings, corners, images)


def _expected_corners(manifest: Manifest, settings: Settings) -> dict[str, Corners]:
    """Draw all corners again. A skipped image whose size was known had its draw, too."""
    sizes = {image.name: (image.width, image.height) for image in manifest.images}
    for skipped in manifest.skipped:
        if skipped.width is not None and skipped.height is not None:
            sizes[skipped.name] = (skipped.width, skipped.height)
    names = sorted(sizes)
    drawn = crops.draw((sizes[name] for name in names), settings.seed, settings.reuse)
    return dict(zip(names, drawn, strict=True))


def _row_steps(dataset: Dataset, corners: dict[str, Corners]) -> Iterator[list[str]]:
    reuse = dataset.manifest.settings.reuse if dataset.manifest.settings else 1
    with dataset.data_path.open("rb") as file:
        for row, tensor in enumerate(dataset.manifest.tensors):
            found = []
            offset = dataset.data_offset + row * dataset.row_bytes
            data = os.pread(file.fileno(), dataset.row_bytes, offset)
            if hashlib.sha256(data).hexdigest() != tensor.sha256:
                found.append(f"row {row}: its bytes are not those that the manifest names")
            if corners and (tensor.x, tensor.y) != corners[tensor.image or ""][row % reuse]:
                found.append(f"row {row}: its crop corner is not the one that the seed gives")
            yield found


def _image_steps(
    manifest: Manifest, settings: Settings, corners: dict[str, Corners], path: Path
) -> Iterator[list[str]]:
    source = open_source(path)
    present = set(source.names())
    tasks = []
    for index, image in enumerate(manifest.images):
        difference = _compare_head(source, image, present)
        if difference:
            yield [difference]
        else:
            size = (image.width, image.height)
            tasks.append(Task(index, image.name, size, 0, corners[image.name]))
    job = Job(
        source=str(path),
        data=None,
        filter=settings.filter,
        layout=settings.layout,
        normalize=settings.normalize,
    )
    with closing(pool.run(job, tasks, len(tasks), None)) as answers:
        for answer in answers:
            image = manifest.images[answer.index]
            first = answer.index * settings.reuse
            rows = manifest.tensors[first : first + settings.reuse]
            if answer.bad:
                yield [f"{image.name}: {answer.bad}"]
            elif answer.sha256 != image.sha256:
                yield [f"{image.name}: the file's bytes are not those that the manifest names"]
            elif answer.tensors != [tensor.sha256 for tensor in rows]:
                made = ", ".join(f"{k} {v}" for k, v in manifest.libraries.items())
                yield [f"{image.name}: gives other tensors here; made with {made}"]
            else:
                yield []


def _compare_head(source: ImageSource, image: Image, present: set[str]) -> str:
    if image.name not in present:
        return f"{image.name}: missing"
    try:
        with source.open(image.name) as file:
            width, height = displayed_size(file)
    except BadImageError as error:
        return f"{image.name}: {error}"
    if (width, height) != (image.width, image.height):
        return f"{image.name}: is {width} x {height}, was {image.width} x {image.height}"
    return ""
