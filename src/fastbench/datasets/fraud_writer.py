"""Writes a fraud dataset: its arrays block by block, each hashed as it goes, then the manifest."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from fastbench.datasets import npy
from fastbench.datasets.fraud_manifest import BlockArray, FraudManifest
from fastbench.datasets.manifest import FRAUD_FORMAT, VERSION
from fastbench.datasets.transactions import COLUMNS, REFERENCE_VALUES
from fastbench.datasets.versions import numeric_libraries, own_version
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from fastbench.datasets.fraud_manifest import FraudSettings
    from fastbench.datasets.manifest import Source
    from fastbench.datasets.partial import PartialDataset
    from fastbench.datasets.transactions import Floats, Labels

    Block = tuple[Floats, Floats, Labels]  # transactions, references, labels of the same rows

#: By their names in the manifest: type and shape of one row.
ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "transactions": ("float32", (len(COLUMNS),)),
    "references": ("float32", (REFERENCE_VALUES,)),
    "labels": ("uint8", ()),
}
#: By type: how NumPy writes it.
DESCRS = {"float32": "<f4", "uint8": "|u1"}


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in the files."""

    transactions: BlockArray
    references: BlockArray
    labels: BlockArray | None

    @property
    def heads(self) -> dict[str, bytes]:
        """What the files must begin with, by their names."""
        arrays = [a for a in (self.transactions, self.references, self.labels) if a]
        return {a.file: npy.header(tuple(a.shape), DESCRS[a.dtype]) for a in arrays}


def write_fraud(
    partial: PartialDataset,
    rows: int,
    blocks: Iterable[Block],
    *,
    labelled: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write ``rows`` rows; ``labelled``: whether labels are known and written.

    Raises :class:`DatasetError` where the disk has no room or cannot be written.
    """
    names = [name for name in ARRAYS if labelled or name != "labels"]
    hashes: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        partial.reserve(rows, _row_bytes(name), file_name(name))
    done = 0
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_Output(partial, name)) for name in names]
        for block in blocks:
            for output in files:
                values = block[tuple(ARRAYS).index(output.name)]
                hashes[output.name].append(output.write(values))
            done += len(block[0])
            if progress is not None:
                progress(done, rows)
    records = {name: _record(name, rows, hashes[name]) for name in names}
    return Written(records["transactions"], records["references"], records.get("labels"))


def publish_fraud(
    partial: PartialDataset,
    written: Written,
    *,
    description: str,
    source: Source,
    settings: FraudSettings | None,
) -> None:
    """Write the manifest, and give the dataset its final name."""
    whole = FraudManifest(
        format=FRAUD_FORMAT,
        version=VERSION,
        fastbench_version=own_version(),
        synthetic=source.kind == "sample",
        description=description,
        source=source,
        settings=settings,
        libraries=numeric_libraries(),
        transactions=written.transactions,
        references=written.references,
        labels=written.labels,
    )
    partial.publish(whole, written.heads)


def file_name(name: str) -> str:
    """Return the file of an array."""
    return f"{name}.npy"


class _Output:
    """A data file behind its head, which is written last."""

    def __init__(self, partial: PartialDataset, name: str) -> None:
        self.name = name
        self._path = partial.path / file_name(name)
        self._file: IO[bytes] = self._path.open("r+b")

    def __enter__(self) -> Self:
        self._file.seek(npy.DATA_OFFSET)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, values: NDArray[Any]) -> str:
        """Append rows and return their hash."""
        data = np.ascontiguousarray(values, _descr(self.name)).data.cast("B")
        try:
            self._file.write(data)
        except OSError as error:
            msg = f"{self._path}: cannot be written: {error.strerror}"
            raise DatasetError(msg) from error
        return hashlib.sha256(data).hexdigest()


def _record(name: str, rows: int, hashes: list[str]) -> BlockArray:
    return BlockArray(
        file=file_name(name),
        dtype=ARRAYS[name][0],
        shape=list(_shape(name, rows)),
        offset=npy.DATA_OFFSET,
        blocks=hashes,
    )


def _shape(name: str, rows: int) -> tuple[int, ...]:
    return (rows, *ARRAYS[name][1])


def _descr(name: str) -> str:
    return DESCRS[ARRAYS[name][0]]


def _row_bytes(name: str) -> int:
    return np.dtype(_descr(name)).itemsize * int(np.prod(ARRAYS[name][1]))
