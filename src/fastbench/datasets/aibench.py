"""aibench's vision file: tensors of 224 x 224 x 3 little-endian float32 in [0, 1], nothing else."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fastbench.datasets import manifest, npy
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.images import ROW_BYTES
from fastbench.datasets.npy import DATA_OFFSET
from fastbench.datasets.partial import DATA_FILE, PartialDataset, check_absent
from fastbench.datasets.versions import libraries, own_version
from fastbench.datasets.vision import ROW_SHAPE
from fastbench.errors import DatasetError, NoDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Progress = Callable[[int, int], None]


def export_aibench(folder: Path, out: Path, progress: Progress | None = None) -> int:
    """Write a dataset as aibench's headerless file; return the number of tensors.

    Raises :class:`DatasetError` where the dataset is not NHWC in [0, 1] or ``out`` cannot be
    written, :class:`UsageError` where ``out`` exists. A file cut short is not left behind.
    """
    check_absent(out)
    dataset = open_dataset(folder)
    _check_exportable(dataset)
    unfinished = out.with_name(out.name + ".partial")
    with writing(unfinished):
        _copy_rows(dataset, unfinished, progress)
        unfinished.rename(out)
    return dataset.rows


def import_aibench(file: Path, out: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset of a file that aibench's generator wrote.

    Raises :class:`DatasetError` where the file's size is not a multiple of a tensor's, or a value
    is not in [0, 1]; :class:`UsageError` where ``out`` exists.
    """
    rows = _count_rows(file)
    with PartialDataset(out) as partial:
        partial.clear()
        partial.reserve(rows, ROW_BYTES)
        try:
            with file.open("rb") as source, partial.data_path.open("r+b") as data:
                data.seek(DATA_OFFSET)
                tensors = []
                for row in range(rows):
                    values = source.read(ROW_BYTES)
                    _check_values(file, row, values)
                    data.write(values)
                    tensors.append(manifest.Tensor(sha256=hashlib.sha256(values).hexdigest()))
                    if progress is not None:
                        progress(row + 1, rows)
        except OSError as error:
            msg = f"{file}: cannot be imported into {out}: {error.strerror}"
            raise DatasetError(msg) from error
        shape = (rows, *ROW_SHAPE["nhwc"])
        partial.publish(_manifest(file, tensors), {DATA_FILE: npy.header(shape)})
    return open_dataset(out)


def _check_exportable(dataset: Dataset) -> None:
    settings = dataset.manifest.settings
    normalize = "unit" if settings is None else settings.normalize
    shape = ROW_SHAPE["nhwc"]
    if dataset.layout != "nhwc" or dataset.row_shape != shape or normalize != "unit":
        msg = (
            f"{dataset.path}: layout {dataset.layout}, normalize {normalize}: aibench's format is "
            f"nhwc, unit; make the dataset with --layout nhwc --normalize unit"
        )
        raise DatasetError(msg)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Remove the file if the work on it fails."""
    try:
        yield
    except OSError as error:
        path.unlink(missing_ok=True)
        msg = f"{path}: cannot be written: {error.strerror}"
        raise DatasetError(msg) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy_rows(dataset: Dataset, to: Path, progress: Progress | None) -> None:
    with dataset.data_path.open("rb") as source, to.open("wb") as target:
        for row in range(dataset.rows):
            offset = dataset.data_offset + row * dataset.row_bytes
            target.write(os.pread(source.fileno(), dataset.row_bytes, offset))
            if progress is not None:
                progress(row + 1, dataset.rows)


def _count_rows(file: Path) -> int:
    try:
        size = file.stat().st_size
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise NoDatasetError(msg) from error
    if not file.is_file() or size == 0 or size % ROW_BYTES:
        msg = (
            f"{file}: {size} bytes is not a whole number of tensors of {ROW_BYTES} bytes "
            f"(224 x 224 x 3 float32); the file is truncated or not aibench's"
        )
        raise DatasetError(msg)
    return size // ROW_BYTES


def _check_values(file: Path, row: int, values: bytes) -> None:
    floats = np.frombuffer(values, "<f4")
    if len(values) != ROW_BYTES or not (floats.min() >= 0 and floats.max() <= 1):  # NaN fails, too
        msg = f"{file}: tensor {row} holds values outside [0, 1]; this is not aibench's file"
        raise DatasetError(msg)


def _manifest(file: Path, tensors: list[manifest.Tensor]) -> manifest.Manifest:
    return manifest.Manifest(
        format=manifest.FORMAT,
        version=manifest.VERSION,
        fastbench_version=own_version(),
        synthetic=False,
        description=f"{len(tensors)} tensors of aibench's {file.name}",
        source=manifest.Source(kind="aibench", path=str(file.resolve())),
        settings=None,
        libraries=libraries(),
        array=manifest.Array(
            file=DATA_FILE,
            dtype="float32",
            shape=[len(tensors), *ROW_SHAPE["nhwc"]],
            layout="nhwc",
            offset=DATA_OFFSET,
        ),
        images=[],
        tensors=tensors,
    )
