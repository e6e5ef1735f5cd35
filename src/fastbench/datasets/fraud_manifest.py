"""The manifest of a dataset of transactions: three arrays, and the hash of every block of rows."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fastbench.datasets.manifest import FileName, Positive, Record, Sha256, Source

#: Rows that one hash covers: transactions and references are small and many.
BLOCK_ROWS = 10_000


class FraudSettings(Record, frozen=True, kw_only=True):
    """How it was made; the same settings and source give the same bytes.

    ``rows``: how many were asked for; None = as many as the source has.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    rows: Positive | None


class BlockArray(Record, frozen=True, kw_only=True):
    """An array file: its name in the folder, type, shape, and where row 0 begins, in bytes.

    ``blocks``: the hash of the bytes of each ``BLOCK_ROWS`` rows, the last one of those left.
    """

    file: FileName
    dtype: Annotated[str, Meta(pattern="^(float32|uint8)$")]
    shape: Annotated[list[Positive], Meta(min_length=1)]
    offset: int
    blocks: list[Sha256]


class FraudManifest(Record, frozen=True, kw_only=True):
    """Everything that ``manifest.json`` holds.

    ``transactions``: (n, 30); ``references``: (n, 256); ``labels``: (n,), 1 = fraud, None where
    the source had none. ``settings``: None = imported, made by another program.
    """

    format: str
    version: int
    fastbench_version: str
    synthetic: bool
    description: str
    source: Source
    settings: FraudSettings | None
    libraries: dict[str, str]
    transactions: BlockArray
    references: BlockArray
    labels: BlockArray | None

    @property
    def arrays(self) -> tuple[BlockArray, ...]:
        """All arrays that there are."""
        return (self.transactions, self.references, *((self.labels,) if self.labels else ()))
