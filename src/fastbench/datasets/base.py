"""A dataset as the rest of fastbench sees it: rows of equal size in one file."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastbench.datasets import manifest as manifests
from fastbench.datasets import npy
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastbench.datasets.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Dataset:
    """A whole, checked dataset: ``rows`` samples of ``row_bytes`` bytes each, one after another.

    ``path``: the folder; ``data_path``: the ``.npy`` file in it, whose row 0 begins at byte
    ``data_offset``. ``row_shape``: of one sample, e.g. (224, 224, 3). ``dtype``: NumPy's name,
    always ``float32``. ``layout``: ``nhwc`` or ``nchw``.
    """

    path: Path
    data_path: Path
    data_offset: int
    row_bytes: int
    rows: int
    row_shape: tuple[int, ...]
    dtype: str
    layout: str
    manifest: Manifest

    @property
    def synthetic(self) -> bool:
        """Whether the samples were generated rather than photographed."""
        return self.manifest.synthetic

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        return self.manifest.description

    @property
    def sha256(self) -> str:
        """Identity of the content: the hash of the tensors' hashes, in row order."""
        joined = "".join(tensor.sha256 for tensor in self.manifest.tensors)
        return hashlib.sha256(joined.encode()).hexdigest()

    def array(self) -> NDArray[np.float32]:
        """Map the file, read-only: float32, shape (rows, *row_shape)."""
        return np.memmap(
            self.data_path,
            dtype=np.float32,
            mode="r",
            offset=self.data_offset,
            shape=(self.rows, *self.row_shape),
        )


def open_dataset(folder: Path | str) -> Dataset:
    """Open a dataset made by ``fastbench data`` and check that file and manifest agree.

    Hashes are not recomputed: that is :func:`fastbench.datasets.verify.verify`.

    Raises :class:`DatasetError` where anything is missing, truncated, of another type or shape.
    """
    path = Path(folder)
    if not path.is_dir():
        what = "is a file; give the dataset's folder" if path.exists() else "no such dataset folder"
        msg = f"{path}: {what} (make one with: fastbench data vision)"
        raise DatasetError(msg)
    manifest = manifests.read(path / manifests.FILE_NAME)
    _check_manifest(path, manifest)
    _check_file(path / manifest.array.file, manifest)
    rows, *row_shape = manifest.array.shape
    return Dataset(
        path=path,
        data_path=path / manifest.array.file,
        data_offset=manifest.array.offset,
        row_bytes=4 * math.prod(row_shape),
        rows=rows,
        row_shape=tuple(row_shape),
        dtype=manifest.array.dtype,
        layout=manifest.array.layout,
        manifest=manifest,
    )


def _check_manifest(path: Path, manifest: Manifest) -> None:
    listed, rows = len(manifest.tensors), manifest.array.shape[0]
    if listed != rows or not _images_fit(manifest):
        msg = (
            f"{path / manifests.FILE_NAME}: its {listed} tensors do not belong to {rows} rows of "
            f"{len(manifest.images)} images; make the dataset again"
        )
        raise DatasetError(msg)


def _images_fit(manifest: Manifest) -> bool:
    """Whether each image has its run of tensors, in order; an imported dataset has no images."""
    if manifest.settings is None:
        return not manifest.images
    reuse = manifest.settings.reuse
    expected = [image.name for image in manifest.images for _ in range(reuse)]
    return [tensor.image for tensor in manifest.tensors] == expected


def _check_file(path: Path, manifest: Manifest) -> None:
    array = manifest.array
    try:
        with path.open("rb") as file:
            shape, fortran_order, dtype = npy.read_header(file, str(path))
            offset = file.tell()
            size = file.seek(0, 2)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; make the dataset again"
        raise DatasetError(msg) from error
    if dtype != np.dtype("<f4"):
        msg = f"{path}: holds {dtype}, must be float32; make the dataset again"
        raise DatasetError(msg)
    if fortran_order or list(shape) != array.shape or offset != array.offset:
        msg = (
            f"{path}: shape {tuple(shape)} from byte {offset}, but the manifest says "
            f"{tuple(array.shape)} from byte {array.offset}; make the dataset again"
        )
        raise DatasetError(msg)
    expected = offset + 4 * math.prod(shape)
    if size != expected:
        how = "truncated" if size < expected else "too long"
        msg = f"{path}: {how}: {size} bytes, must be {expected}; make the dataset again"
        raise DatasetError(msg)
