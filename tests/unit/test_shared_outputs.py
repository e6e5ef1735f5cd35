"""Outputs in shared memory: which have places, where, and what is read there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fastbench.datasets.rows import Rows
from fastbench.errors import ServerError
from fastbench.models.base import TensorSpec
from fastbench.plan import FIELD_ROW, FORM_BLANKS, Field
from fastbench.servers.dialect import Served
from fastbench.servers.http_messages import Wanted
from fastbench.servers.shared_memory import shared
from fastbench.servers.shared_outputs import Layout, Outputs, Place, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCORES = TensorSpec("scores", "float32", (None, 2))
LABELS = TensorSpec("labels", "BYTES", (None, 1))
MASK = TensorSpec("mask", "uint8", (None, 3))


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Return six rows of 4 bytes."""
    path = tmp_path / "rows"
    path.write_bytes(np.arange(6, dtype="<f4").tobytes())
    return Rows(data_path=path, data_offset=0, row_bytes=4, rows=6, row_shape=(1,), dtype="float32")


@pytest.fixture
def outputs(rows: Rows) -> Iterator[Outputs]:
    """Return the places of a model with three outputs, two samples an inference."""
    layout = layout_of(Served(gives=(SCORES, LABELS, MASK), max_batch=8), rows, 2)
    with shared(rows, [], layout.room) as memory:
        yield Outputs("x", layout, memory)


def test_places(rows: Rows) -> None:
    """They lie behind the rows, one output after another, and none in another's."""
    layout = layout_of(Served(gives=(SCORES, LABELS, MASK), max_batch=8), rows, 2)

    assert layout == Layout(
        names=("scores", "labels", "mask"),
        places={"scores": Place(16, 24, 8), "mask": Place(6, 24 + 48, 3)},
        elsewhere={"labels": "BYTES"},
        room=48 + 18,
    )
    taken = [
        byte
        for place in layout.places.values()
        for row in (0, 2, 4)
        for byte in range(place.base + row * place.step, place.base + row * place.step + place.size)
    ]
    assert sorted(taken) == list(range(24, 24 + layout.room))


@pytest.mark.parametrize(
    ("spec", "max_batch", "found"),
    [
        (TensorSpec("y", "float64", (None, 5)), 8, Place(120, 24, 40)),
        (TensorSpec("y", "float32", (3, 5)), 0, Place(60, 24, 20)),
        (TensorSpec("y", "int8", (7,)), 0, Place(7, 24, 3)),
        (TensorSpec("y", "int8", ()), 0, Place(1, 24, 1)),
        (TensorSpec("y", "float32", (None, 5)), 0, "of any size"),
        (TensorSpec("y", "float32", (None, None)), 8, "of any size"),
        (TensorSpec("y", "float32", (3, None)), 0, "of any size"),
        (TensorSpec("y", "float32"), 8, "of any size"),
        (TensorSpec("y", "float32", (None, 0)), 8, "empty"),
        (TensorSpec("y", "BF16", (3, 5)), 0, "BF16"),
        (TensorSpec("y", None, (3, 5)), 0, "its type is not told"),
    ],
)
def test_what_has_a_place(rows: Rows, spec: TensorSpec, max_batch: int, found: Place | str) -> None:
    """Bytes that are known for three samples, none that are guessed; else the result says why."""
    layout = layout_of(Served(gives=(spec,), max_batch=max_batch), rows, 3)

    assert {**layout.places, **layout.elsewhere} == {"y": found}
    last = 3 * found.step + found.size if isinstance(found, Place) else 0
    assert last <= layout.room


def test_wanted(outputs: Outputs) -> None:
    """In the model's order, offsets all of one width."""
    places = [Field(FIELD_ROW, 2, base=b, step=s, form=FORM_BLANKS) for b, s in ((24, 8), (72, 3))]

    assert outputs.wanted(FORM_BLANKS) == [
        Wanted("scores", 16, places[0]),
        Wanted("labels"),
        Wanted("mask", 6, places[1]),
    ]


def test_reading(outputs: Outputs) -> None:
    """What lies in a row's place is read; of row 0 it can be made no answer, of no other."""
    values = np.arange(12, dtype="<f4").tobytes()
    os.pwrite(outputs.memory.fd, values, 24)

    outputs.blank()

    assert outputs.of_row(0)("scores", 16) == b"\xff" * 16
    assert outputs.of_row(2)("scores", 16) == values[16:32]
    assert outputs.of_row(4)("scores", 8) == values[32:40]
    assert outputs.of_row(2)("mask", 6) == b"\xff" * 6
    assert outputs.of_row(2)("labels", 5) == b""
    for size in (17, -1):
        with pytest.raises(LookupError):
            outputs.of_row(2)("scores", size)


def test_reply_that_carries_them_all_the_same(outputs: Outputs) -> None:
    """A server that does not put them there is told of; others may come over the connection."""
    outputs.check("triton+http://it", {"labels"})

    with pytest.raises(ServerError, match="it sends the output mask over the connection"):
        outputs.check("triton+http://it", {"labels", "mask"})


def test_details(outputs: Outputs, rows: Rows) -> None:
    """The result says which lie where, and how many bytes; and what verification reads."""
    assert outputs.details(verified=True) == {
        "shared_memory": "24 bytes of rows (x), which do not cross the connection; 66 bytes for "
        "outputs",
        "shared_memory_outputs": "scores (16 bytes an inference), mask (6 bytes an inference)",
        "connection_outputs": "labels (BYTES)",
        "verified_in_place": "what lies at the row of a reply when it is looked at",
    }
    assert "verified_in_place" not in outputs.details(verified=False)
    none = Outputs("x", layout_of(Served(), rows, 1), outputs.memory)
    assert none.first == ""
    assert none.details(verified=True)["connection_outputs"] == "all: none is told"
    assert none.details(verified=True)["shared_memory_outputs"] == "none"
