"""aibench's fraud file: rows of id (uint64), 30 and 256 float32, little-endian, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastbench.datasets.aibench import writing
from fastbench.datasets.fraud import FraudDataset, open_fraud
from fastbench.datasets.fraud_manifest import BLOCK_ROWS
from fastbench.datasets.fraud_writer import publish_fraud, write_fraud
from fastbench.datasets.manifest import Source
from fastbench.datasets.partial import PartialDataset, check_absent
from fastbench.datasets.transactions import COLUMNS, REFERENCE_VALUES
from fastbench.errors import DatasetError, NoDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastbench.datasets.fraud_writer import Block

    Progress = Callable[[int, int], None]

ROW = np.dtype(
    [
        ("id", "<u8"),
        ("transaction", "<f4", (len(COLUMNS),)),
        ("reference", "<f4", (REFERENCE_VALUES,)),
    ]
)
NO_LABELS = np.zeros(0, np.uint8)


def export_fraud_aibench(folder: Path, out: Path, progress: Progress | None = None) -> int:
    """Write a fraud dataset as aibench's headerless file; return the number of rows.

    Labels have no place there. Raises :class:`DatasetError` where ``out`` cannot be written,
    :class:`UsageError` where it exists. A file cut short is not left behind.
    """
    check_absent(out)
    dataset = open_fraud(folder)
    unfinished = out.with_name(out.name + ".partial")
    with writing(unfinished):
        with unfinished.open("wb") as file:
            for first in range(0, dataset.rows, BLOCK_ROWS):
                rows = _rows(dataset, first)
                file.write(rows.data.cast("B"))
                if progress is not None:
                    progress(first + len(rows), dataset.rows)
        unfinished.rename(out)
    return dataset.rows


def import_fraud_aibench(file: Path, out: Path, progress: Progress | None = None) -> FraudDataset:
    """Make a dataset of a file that aibench's generator wrote.

    Raises :class:`DatasetError` where the size is no whole number of rows, the ids are not 0, 1,
    2 …, or a value cannot be right; :class:`UsageError` where ``out`` exists.
    """
    rows = _count_rows(file)
    with PartialDataset(out) as partial:
        partial.clear()
        arrays = write_fraud(partial, rows, _blocks(file, rows), labelled=False, progress=progress)
        publish_fraud(
            partial,
            arrays,
            description=f"{rows:,} transactions of aibench's {file.name}",
            source=Source(kind="aibench", path=str(file.resolve())),
            settings=None,
        )
    return open_fraud(out)


def _rows(dataset: FraudDataset, first: int) -> NDArray[np.void]:
    transactions = dataset.transactions.array()[first : first + BLOCK_ROWS]
    rows = np.empty(len(transactions), ROW)
    rows["id"] = np.arange(first, first + len(rows))
    rows["transaction"] = transactions
    rows["reference"] = dataset.references.array()[first : first + BLOCK_ROWS]
    return rows


def _count_rows(file: Path) -> int:
    try:
        size = file.stat().st_size
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise NoDatasetError(msg) from error
    if not file.is_file() or size == 0 or size % ROW.itemsize:
        msg = (
            f"{file}: {size} bytes is not a whole number of rows of {ROW.itemsize} bytes; the file "
            "is truncated or not aibench's fraud file"
        )
        raise DatasetError(msg)
    return size // ROW.itemsize


def _blocks(file: Path, rows: int) -> Iterator[Block]:
    try:
        with file.open("rb") as source:
            for first in range(0, rows, BLOCK_ROWS):
                count = min(BLOCK_ROWS, rows - first)
                block = np.frombuffer(source.read(count * ROW.itemsize), ROW)
                _check(file, first, count, block)
                yield block["transaction"], block["reference"], NO_LABELS
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise DatasetError(msg) from error


def _check(file: Path, first: int, count: int, block: NDArray[np.void]) -> None:
    if len(block) != count:
        msg = f"{file}: changed while it was read; import it again"
        raise DatasetError(msg)
    wrong = np.flatnonzero(block["id"] != np.arange(first, first + count, dtype=np.uint64))
    if len(wrong):
        row = int(wrong[0])
        msg = (
            f"{file}: row {first + row} has the id {block['id'][row]}; this is not aibench's "
            "fraud file, or one of several shards: generate it in one piece"
        )
        raise DatasetError(msg)
    good = np.isfinite(block["transaction"]).all(axis=1)
    good &= ((block["reference"] >= 0) & (block["reference"] <= 1)).all(axis=1)  # NaN fails, too
    if not good.all():
        msg = (
            f"{file}: row {first + int(np.argmin(good))} holds no numbers, or reference data "
            "outside [0, 1]; this is not aibench's fraud file"
        )
        raise DatasetError(msg)
