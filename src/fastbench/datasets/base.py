"""A vision dataset as the rest of fastbench sees it: one tensor a row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastbench.datasets import manifest as manifests
from fastbench.datasets.rows import Rows, open_rows
from fastbench.errors import DatasetError, NoDatasetError

if TYPE_CHECKING:
    from fastbench.datasets.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Rows):
    """A whole, checked dataset.

    ``path``: the folder. ``layout``: ``nhwc``, ``nchw`` or ``other``. ``dtype`` is always
    ``float32``.
    """

    path: Path
    layout: str
    manifest: Manifest

    @property
    def fields(self) -> dict[str, Rows]:
        """What a command can send of it, by name."""
        return {"image": self}

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


def open_dataset(folder: Path | str) -> Dataset:
    """Open a dataset made by ``fastbench data`` and check that file and manifest agree.

    Hashes are not recomputed: that is :func:`fastbench.datasets.verify.verify`.

    Raises :class:`DatasetError` where anything is missing, truncated, of another type or shape.
    """
    path = existing_folder(folder, "fastbench data vision")
    manifest = manifests.read(path / manifests.FILE_NAME)
    _check_manifest(path, manifest)
    array = manifest.array
    rows = open_rows(path / array.file, array.dtype, array.shape, array.offset)
    return Dataset(
        data_path=rows.data_path,
        data_offset=rows.data_offset,
        row_bytes=rows.row_bytes,
        rows=rows.rows,
        row_shape=rows.row_shape,
        dtype=rows.dtype,
        path=path,
        layout=array.layout,
        manifest=manifest,
    )


def existing_folder(folder: Path | str, command: str) -> Path:
    """Return the folder of a dataset; ``command``: makes one, for the message.

    Raises :class:`DatasetError` where it is no folder.
    """
    path = Path(folder)
    if not path.is_dir():
        what = "is a file; give the dataset's folder" if path.exists() else "no such dataset folder"
        msg = f"{path}: {what} (make one with: {command})"
        raise NoDatasetError(msg)
    return path


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
