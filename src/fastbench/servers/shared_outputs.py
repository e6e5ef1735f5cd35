"""Outputs in system shared memory: each row of the dataset has a place where its answer is put.

A request names places by the row that it carries, as it names the row's own. Two inferences of one
row that are in flight together write the same place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastbench.errors import ServerError
from fastbench.plan import FIELD_ROW, Field
from fastbench.servers.http_messages import Wanted
from fastbench.servers.oip_messages import NUMPY_TYPES
from fastbench.servers.shared_memory import offset_width

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from fastbench.datasets.rows import Rows
    from fastbench.models.base import TensorSpec
    from fastbench.servers.dialect import Served
    from fastbench.servers.shared_memory import Memory, Region

_NUMBERS = frozenset(NUMPY_TYPES.values())


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output is put: ``size`` bytes of an inference at ``base`` + its row x ``step``."""

    size: int
    base: int
    step: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the outputs of a model go.

    ``names``: of all, in the model's order. ``places``: of those in shared memory, ``room`` bytes
    together. ``elsewhere``: why the others come back over the connection.
    """

    names: tuple[str, ...]
    places: Mapping[str, Place]
    elsewhere: Mapping[str, str]
    room: int


def layout_of(served: Served, rows: Rows, batch: int) -> Layout:
    """Give each output whose bytes are known before an inference a place for each of the rows."""
    places, elsewhere = {}, {}
    end = begin = rows.rows * rows.row_bytes
    for spec in served.gives:
        size = _bytes_of(spec, batch if served.max_batch else None)
        if isinstance(size, str):
            elsewhere[spec.name] = size
            continue
        step = -(-size // batch)  # an inference has the places of all its rows
        places[spec.name] = Place(size, end, step)
        end += rows.rows * step
    return Layout(tuple(spec.name for spec in served.gives), places, elsewhere, end - begin)


def _bytes_of(spec: TensorSpec, batch: int | None) -> int | str:
    """Return the bytes of an output of an inference, or in words why nobody knows them.

    ``batch``: what the first dimension is; None = the model does not say that this is the batch.
    """
    if spec.dtype not in _NUMBERS:
        return f"{spec.dtype or 'its type is not told'}"
    shape = spec.shape
    if shape and shape[0] is None and batch is not None:
        shape = (batch, *shape[1:])
    known = [size for size in shape or () if size is not None]
    if shape is None or len(known) < len(shape):
        return "of any size"
    return np.dtype(spec.dtype).itemsize * math.prod(known) or "empty"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The places of outputs in a region that is open here, behind the rows of ``input``."""

    input: str
    layout: Layout
    memory: Memory

    @property
    def first(self) -> str:
        """The output that is compared; empty where none is known."""
        return next(iter(self.layout.names), "")

    @property
    def region(self) -> Region:
        """The region."""
        return self.memory.region

    def wanted(self, form: int) -> list[Wanted]:
        """Return what a request asks for; ``form``: of the offsets in it."""
        width = offset_width(self.region, form)
        return [
            Wanted(name, p.size, Field(FIELD_ROW, width, base=p.base, step=p.step, form=form))
            if (p := self.layout.places.get(name))
            else Wanted(name)
            for name in self.layout.names
        ]

    def of_row(self, row: int) -> Callable[[str, int], bytes]:
        """Return what reads so many bytes of an output of the inference that begins with a row.

        It reads what lies there now; nothing of an output without a place. It raises
        :class:`LookupError` where the place is smaller.
        """

        def read(name: str, size: int) -> bytes:
            place = self.layout.places.get(name)
            if place is None:
                return b""
            if not 0 <= size <= place.size:
                msg = f"{size} bytes of {place.size}"
                raise LookupError(msg)
            return self.memory.read(place.base + row * place.step, size)

        return read

    def blank(self) -> None:
        """Write what is no answer where the answer to row 0 is put."""
        for place in self.layout.places.values():
            self.memory.blank(place.base, place.size)

    def check(self, url: str, carried: Collection[str]) -> None:
        """Raise :class:`ServerError` where a reply carried what should lie in the region."""
        for name in self.layout.places:
            if name in carried:
                msg = (
                    f"{url} sends the output {name} over the connection, although it was told to "
                    "put it into shared memory: leave out --shm"
                )
                raise ServerError(msg)

    def details(self, *, verified: bool) -> dict[str, str]:
        """Say for the result what lies in shared memory, and what does not."""
        layout, size = self.layout, self.memory.rows_bytes
        placed = [f"{name} ({p.size:,} bytes an inference)" for name, p in layout.places.items()]
        others = [f"{name} ({why})" for name, why in layout.elsewhere.items()]
        words = {
            "shared_memory": f"{size:,} bytes of rows ({self.input}), which do not cross "
            f"the connection; {layout.room:,} bytes for outputs",
            "shared_memory_outputs": ", ".join(placed) or "none",
            "connection_outputs": ", ".join(others)
            or ("" if layout.names else "all: none is told"),
            "verified_in_place": "what lies at the row of a reply when it is looked at"
            if verified and self.first in layout.places
            else "",
        }
        return {name: text for name, text in words.items() if text}
