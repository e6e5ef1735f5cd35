"""Any array of float32 as a dataset: bytes as they lie, and what is refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fastbench.datasets.arrays import import_npy
from fastbench.datasets.verify import verify
from fastbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 16), (2, 3, 4, 5), (1, 1)])
def test_rows_are_those_of_the_array(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    """Whatever lay in the file, also NaN, is a row of the same bytes, each with its hash."""
    values = np.random.default_rng(1).random(shape, np.float32)
    values.flat[0] = np.nan
    array = np.asarray(values, order=order)
    np.save(tmp_path / "in.npy", array)

    dataset = import_npy(tmp_path / "in.npy", tmp_path / "out")

    np.testing.assert_array_equal(dataset.array(), values)
    assert dataset.row_bytes == values[0].nbytes
    assert [t.sha256 for t in dataset.manifest.tensors] == [
        hashlib.sha256(row.tobytes()).hexdigest() for row in values
    ]
    assert (dataset.layout, dataset.manifest.source.kind) == ("other", "npy")
    assert verify(dataset.path).differences == ()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((2, 3), np.float64), "must hold one array of float32"),
        (np.zeros((2, 3), ">f4"), "must hold one array of float32"),
        (np.zeros(3, np.float32), "rows along its first axis"),
        (np.zeros((0, 3), np.float32), "has no values"),
        (np.zeros((2, 0), np.float32), "has no values"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: NDArray[np.float32], says: str) -> None:
    """What is no rows of float32 is named, and nothing is left behind."""
    np.save(tmp_path / "in.npy", array)

    with pytest.raises(DatasetError, match=says):
        import_npy(tmp_path / "in.npy", tmp_path / "out")

    assert [p.name for p in tmp_path.iterdir()] == ["in.npy"]


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A file that NumPy cannot read, or that is not there, is one line."""
    (tmp_path / "in.npy").write_bytes(content)
    for name in ("in.npy", "none.npy"):
        with pytest.raises(DatasetError, match=rf"{name}: cannot be read"):
            import_npy(tmp_path / name, tmp_path / "out")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """A dataset is made once."""
    np.save(tmp_path / "in.npy", np.zeros((2, 3), np.float32))
    import_npy(tmp_path / "in.npy", tmp_path / "out")

    with pytest.raises(UsageError, match="exists already"):
        import_npy(tmp_path / "in.npy", tmp_path / "out")
