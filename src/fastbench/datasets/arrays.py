"""Any array of float32 as a dataset: a row along its first axis is what one inference sends."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.datasets import manifest, npy
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.npy import DATA_OFFSET
from fastbench.datasets.partial import DATA_FILE, PartialDataset
from fastbench.datasets.versions import libraries, own_version
from fastbench.errors import DatasetError, NoDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Progress = Callable[[int, int], None]


def import_npy(file: Path, out: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset of a NumPy file of float32 with two dimensions or more.

    Raises :class:`DatasetError` where the file is another one, :class:`UsageError` where ``out``
    exists.
    """
    array = _mapped(file)
    rows, row_bytes = len(array), array[0].nbytes
    with PartialDataset(out) as partial:
        partial.reserve(rows, row_bytes)
        tensors = []
        with partial.data_path.open("r+b") as data:
            data.seek(DATA_OFFSET)
            for row in range(rows):
                values = np.ascontiguousarray(array[row], "<f4").tobytes()
                data.write(values)
                tensors.append(manifest.Tensor(sha256=hashlib.sha256(values).hexdigest()))
                if progress is not None:
                    progress(row + 1, rows)
        head = npy.header(array.shape)
        partial.publish(_manifest(file, array.shape, tensors), {DATA_FILE: head})
    return open_dataset(out)


def _mapped(file: Path) -> NDArray[Any]:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or "it is not a NumPy file of numbers"
        msg = f"{file}: cannot be read: {why}"
        raise NoDatasetError(msg) from error
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not array.shape[1:]:
        msg = f"{file}: must hold one array of float32 with rows along its first axis"
        raise DatasetError(msg)
    if not array.size:
        msg = f"{file}: its shape {array.shape} has no values"
        raise DatasetError(msg)
    return array


def _manifest(
    file: Path, shape: tuple[int, ...], tensors: list[manifest.Tensor]
) -> manifest.Manifest:
    return manifest.Manifest(
        format=manifest.FORMAT,
        version=manifest.VERSION,
        fastbench_version=own_version(),
        synthetic=False,
        description=f"{len(tensors)} rows of {file.name}",
        source=manifest.Source(kind="npy", path=str(file.resolve())),
        settings=None,
        libraries=libraries(),
        array=manifest.Array(
            file=DATA_FILE, dtype="float32", shape=list(shape), layout="other", offset=DATA_OFFSET
        ),
        images=[],
        tensors=tensors,
    )
