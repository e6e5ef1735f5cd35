"""Transactions with reference data: the fraud dataset."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.datasets import fraud_manifest, manifest
from fastbench.datasets.base import existing_folder
from fastbench.datasets.creditcard import read_creditcard
from fastbench.datasets.fraud_writer import publish_fraud, write_fraud
from fastbench.datasets.partial import PartialDataset, check_absent
from fastbench.datasets.rows import Rows, open_rows
from fastbench.datasets.transactions import (
    COLUMNS,
    REFERENCE_VALUES,
    Listed,
    References,
    Synthetic,
)
from fastbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastbench.datasets.fraud_writer import Block
    from fastbench.datasets.transactions import TransactionSource

    Progress = Callable[[int, int], None]

FIELDS = ("transaction", "reference")
MAX_ROWS = 100_000_000
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudDataset:
    """A whole, checked dataset: row i of each array belongs to transaction i.

    ``transactions``: (n, 30) float32; ``references``: (n, 256) float32; ``labels``: (n,) uint8,
    None where the source had none.
    """

    path: Path
    transactions: Rows
    references: Rows
    labels: Rows | None
    manifest: fraud_manifest.FraudManifest

    @property
    def fields(self) -> dict[str, Rows]:
        """What a command can send of it, by name."""
        return dict(zip(FIELDS, (self.transactions, self.references), strict=True))

    @property
    def rows(self) -> int:
        """Transactions in it."""
        return self.transactions.rows

    @property
    def synthetic(self) -> bool:
        """Whether transactions were generated."""
        return self.manifest.synthetic

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        return self.manifest.description

    @property
    def files(self) -> tuple[Rows, ...]:
        """All arrays that there are."""
        return (self.transactions, self.references, *((self.labels,) if self.labels else ()))

    @property
    def sha256(self) -> str:
        """Identity of the content: the hash of the blocks' hashes, array after array."""
        joined = "".join(block for a in self.manifest.arrays for block in a.blocks)
        return hashlib.sha256(joined.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudConfig:
    """What to make a dataset of.

    ``out``: folder to make. Exactly one source: ``csv``, Kaggle's ``creditcard.csv`` or
    ``.csv.gz``; ``sample``, that many generated, synthetic transactions. ``rows``: only so many of
    the file, which is read again where it has fewer; None = all. ``seed``: of the reference data
    and of what is generated.

    Raises :class:`UsageError` naming the option, its value and the remedy.
    """

    out: Path
    csv: Path | None = None
    sample: int | None = None
    rows: int | None = None
    seed: int = 12345

    def __post_init__(self) -> None:
        """Check every value."""
        if (self.csv is None) == (self.sample is None):
            msg = "give exactly one of --csv and --sample: where transactions come from"
            raise UsageError(msg)
        if self.rows is not None and self.csv is None:
            msg = "--rows belongs to --csv: --sample says itself how many"
            raise UsageError(msg)
        for option, value, low, high in (
            ("sample", self.sample, 1, MAX_ROWS),
            ("rows", self.rows, 1, MAX_ROWS),
            ("seed", self.seed, 0, MAX_SEED),
        ):
            if value is not None and not low <= value <= high:
                msg = f"--{option} {value}: must be between {low} and {high}"
                raise UsageError(msg)


def build_fraud(config: FraudConfig, progress: Progress | None = None) -> FraudDataset:
    """Make a dataset and open it; ``progress`` is called with (rows done, rows in all).

    It appears at ``config.out`` only when it is whole; whatever interrupts it leaves nothing.

    Raises :class:`UsageError` where ``out`` exists, :class:`DatasetError` where the file is not
    as it must be, or nothing can be written.
    """
    check_absent(config.out)
    source = _source(config)
    with PartialDataset(config.out) as partial:
        partial.clear()
        blocks = _blocks(source, config.seed)
        arrays = write_fraud(partial, source.rows, blocks, labelled=True, progress=progress)
        origin, description = _origin(config, source.rows)
        publish_fraud(
            partial,
            arrays,
            description=description,
            source=origin,
            settings=fraud_manifest.FraudSettings(seed=config.seed, rows=config.rows),
        )
    return open_fraud(config.out)


def open_fraud(folder: Path | str) -> FraudDataset:
    """Open a dataset made by ``fastbench data fraud`` and check that files and manifest agree.

    Raises :class:`DatasetError` where anything is missing, truncated, of another type or shape.
    """
    path = existing_folder(folder, "fastbench data fraud")
    found = manifest.read_as(
        path / manifest.FILE_NAME, fraud_manifest.FraudManifest, manifest.FRAUD_FORMAT
    )
    _check_shapes(path, found)
    return FraudDataset(
        path=path,
        transactions=_open(path, found.transactions),
        references=_open(path, found.references),
        labels=_open(path, found.labels) if found.labels else None,
        manifest=found,
    )


def _open(path: Path, array: fraud_manifest.BlockArray) -> Rows:
    return open_rows(path / array.file, array.dtype, array.shape, array.offset)


def _check_shapes(path: Path, found: fraud_manifest.FraudManifest) -> None:
    rows = found.transactions.shape[0]
    wanted: list[tuple[str, list[int]]] = [
        ("float32", [rows, len(COLUMNS)]),
        ("float32", [rows, REFERENCE_VALUES]),
        ("uint8", [rows]),
    ]
    blocks = -(-rows // fraud_manifest.BLOCK_ROWS)
    for array, (dtype, shape) in zip(found.arrays, wanted, strict=False):
        if (array.dtype, array.shape, len(array.blocks)) != (dtype, shape, blocks):
            msg = (
                f"{path / manifest.FILE_NAME}: {array.file} must be {dtype} of shape "
                f"{tuple(shape)} with {blocks} hashes; make the dataset again"
            )
            raise DatasetError(msg)


def _source(config: FraudConfig) -> TransactionSource:
    if config.csv is None:
        return Synthetic(config.sample or 0, config.seed)
    values, labels = read_creditcard(config.csv)
    return Listed(values, labels, config.rows or len(values))


def _blocks(source: TransactionSource, seed: int) -> Iterator[Block]:
    references = References(seed)
    for first in range(0, source.rows, fraud_manifest.BLOCK_ROWS):
        count = min(fraud_manifest.BLOCK_ROWS, source.rows - first)
        transactions, labels = source.block(first, count)
        yield transactions, references.block(count), labels


def _origin(config: FraudConfig, rows: int) -> tuple[manifest.Source, str]:
    """Return the source, and what the dataset is in a few words."""
    if config.csv is None:
        description = f"{rows:,} synthetic transactions made by fastbench"
        return manifest.Source(kind="sample", path=""), description
    source = manifest.Source(kind="csv", path=str(config.csv.resolve()))
    return source, f"{rows:,} transactions of {config.csv.name}"
