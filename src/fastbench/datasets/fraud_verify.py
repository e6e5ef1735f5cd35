"""Recomputes the hashes of a fraud dataset, and what its seed gives."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.datasets.fraud import FraudDataset, open_fraud
from fastbench.datasets.fraud_manifest import BLOCK_ROWS
from fastbench.datasets.transactions import References, Synthetic
from fastbench.datasets.verify import Verified
from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastbench.datasets.fraud_manifest import BlockArray
    from fastbench.datasets.rows import Rows

    Progress = Callable[[int, int], None]


def verify_fraud(
    folder: Path, images: Path | None = None, progress: Progress | None = None
) -> Verified:
    """Compare a fraud dataset with its manifest, block by block.

    The hash of every block is recomputed from the files, and so is everything that comes from
    the seed: reference data, and synthetic transactions. ``progress``: (rows done, rows in all).

    Raises :class:`DatasetError` where the dataset cannot be opened, :class:`UsageError` for
    ``images``.
    """
    if images is not None:
        msg = f"--images: {folder} was made of transactions; verify it without"
        raise UsageError(msg)
    dataset = open_fraud(folder)
    differences: list[str] = []
    for first, found in _steps(dataset):
        differences.extend(found)
        if progress is not None:
            progress(min(first + BLOCK_ROWS, dataset.rows), dataset.rows)
    return Verified(dataset.rows, 0, tuple(differences))


def _steps(dataset: FraudDataset) -> Iterator[tuple[int, list[str]]]:
    """Yield the first row of each block and what differs in it."""
    pairs = list(zip(dataset.manifest.arrays, dataset.files, strict=True))
    regenerated = _Regenerated(dataset)
    for index, first in enumerate(range(0, dataset.rows, BLOCK_ROWS)):
        found = [_compare(array, rows, index, first) for array, rows in pairs]
        yield first, [*filter(None, found), *regenerated.compare(first)]


def _compare(array: BlockArray, rows: Rows, index: int, first: int) -> str:
    data = np.ascontiguousarray(rows.array()[first : first + BLOCK_ROWS]).data.cast("B")
    if hashlib.sha256(data).hexdigest() == array.blocks[index]:
        return ""
    last = min(first + BLOCK_ROWS, rows.rows) - 1
    return f"{array.file}: rows {first} to {last}: not the bytes that the manifest names"


class _Regenerated:
    """What the seed gives, block after block."""

    def __init__(self, dataset: FraudDataset) -> None:
        self._dataset = dataset
        settings = dataset.manifest.settings
        self._references = References(settings.seed) if settings else None
        drawn = settings is not None and dataset.manifest.synthetic
        self._source = Synthetic(dataset.rows, settings.seed) if settings and drawn else None

    def compare(self, first: int) -> list[str]:
        """Return the names of the arrays whose next block is not what the seed gives."""
        end = min(first + BLOCK_ROWS, self._dataset.rows)
        expected: list[tuple[Rows, NDArray[Any]]] = []
        if self._references:
            expected.append((self._dataset.references, self._references.block(end - first)))
        if self._source:
            values, labels = self._source.block(first, end - first)
            expected.append((self._dataset.transactions, values))
            if self._dataset.labels:
                expected.append((self._dataset.labels, labels))
        return [
            f"{rows.data_path.name}: rows {first} to {end - 1}: not what the seed gives"
            for rows, values in expected
            if not np.array_equal(rows.array()[first:end], values)
        ]
