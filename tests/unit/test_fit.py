"""Whether a model takes the rows of a dataset: what is compared, and what is advised."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbench.datasets.rows import Rows
from fastbench.errors import ModelError, UsageError
from fastbench.models.base import TensorSpec
from fastbench.servers.fit import check_batch, check_inputs

FOLDER = Path("/data/set")


def rows(*shape: int, dtype: str = "float32") -> Rows:
    """Return five rows of one shape."""
    return Rows(
        data_path=FOLDER / "x.npy",
        data_offset=0,
        row_bytes=4,
        rows=5,
        row_shape=shape,
        dtype=dtype,
    )


def check(*takes: TensorSpec, batch: int = 1, inputs: tuple[Rows, ...] | None = None) -> None:
    """Check images of 8 x 6, or ``inputs``, against a model."""
    check_inputs("m", takes, inputs or (rows(8, 6, 3),), batch, FOLDER)


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("x", "float32", (None, 8, 6, 3)),
        TensorSpec("x", None, (2, 8, None, None)),
        TensorSpec("x", "float32", None),
        TensorSpec("x"),
    ],
)
def test_what_fits(spec: TensorSpec) -> None:
    """Sizes that are the same or of any size fit, and so does what is not known."""
    check(spec, batch=2)
    check(batch=2)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (TensorSpec("x", "float32", (None, 3, 8, 6)), "it takes NCHW, the rows are NHWC"),
        (TensorSpec("x", "float32", (None, 3, 6, 8)), "takes float32 Nx3x6x8"),
        (TensorSpec("x", "float32", (2, 8, 6, 3)), "--batch"),
        (TensorSpec("x", "float32", (8, 6, 3)), "gives float32 1x8x6x3"),
        (TensorSpec("x", "uint8", (None, 8, 6, 3)), "takes uint8"),
        (TensorSpec("x", "uint8", None), "of any shape"),
    ],
)
def test_what_does_not_fit(spec: TensorSpec, words: str) -> None:
    """Another shape, type or layout is refused, with the layout to build where it is only that."""
    with pytest.raises(ModelError, match=words):
        check(spec)


def test_rows_in_the_other_layout() -> None:
    """A model of NHWC and rows of NCHW are advised the other way round."""
    with pytest.raises(ModelError, match=r"takes NHWC, the rows are NCHW.*--layout nhwc"):
        check(TensorSpec("x", "float32", (None, 8, 6, 3)), inputs=(rows(3, 8, 6),))


def test_other_number_of_inputs() -> None:
    """A model of two inputs cannot be sent one."""
    with pytest.raises(ModelError, match=r"takes 2 inputs \(x, y\), and 1"):
        check(TensorSpec("x"), TensorSpec("y"))


def test_too_large_a_batch() -> None:
    """A batch is not longer than the dataset, whatever the model says of itself."""
    with pytest.raises(UsageError, match="has only 5 rows"):
        check(batch=6)


@pytest.mark.parametrize(("most", "batch"), [(0, 100), (4, 1), (4, 4)])
def test_batches_that_the_model_takes(most: int, batch: int) -> None:
    """As many samples as it takes, and any number where it does not say."""
    check_batch("m", most, batch)


def test_batches_that_are_too_large() -> None:
    """The line names the model, its limit and the option."""
    with pytest.raises(UsageError, match=r"--batch 5: model m takes at most 4 .*use --batch 4"):
        check_batch("m", 4, 5)
