"""Opening a dataset: what is whole opens, and everything else is one clear error."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastbench.datasets import npy
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.verify import verify
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small synthetic dataset, once."""
    out = tmp_path_factory.mktemp("made") / "set"
    return build(VisionConfig(out=out, sample=3, workers=1)).path


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Dataset:
    """Open a copy of it that the test may damage."""
    shutil.copytree(made, tmp_path / "set")
    return open_dataset(tmp_path / "set")


def edit_manifest(dataset: Dataset, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest in place."""
    path = dataset.path / "manifest.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def test_fields(dataset: Dataset) -> None:
    """An opened dataset says where each row lies and what it is."""
    assert open_dataset(str(dataset.path)) == dataset
    assert (dataset.rows, dataset.row_shape, dataset.row_bytes) == (3, (224, 224, 3), 602_112)
    assert (dataset.dtype, dataset.layout, dataset.synthetic) == ("float32", "nhwc", True)
    raw = dataset.data_path.read_bytes()[dataset.data_offset + dataset.row_bytes :]
    assert raw[: dataset.row_bytes] == dataset.array()[1].tobytes()


def test_array_is_read_only(dataset: Dataset) -> None:
    """The mapped array cannot be written to by accident."""
    assert dataset.array().shape == (3, 224, 224, 3)
    with pytest.raises(ValueError, match="read-only"):
        dataset.array()[0] = 0


def test_identity_is_of_the_content(dataset: Dataset, tmp_path: Path) -> None:
    """The same content has the same identity, another has another."""
    same = build(VisionConfig(out=tmp_path / "same", sample=3, workers=1))
    other = build(VisionConfig(out=tmp_path / "other", sample=3, workers=1, seed=1))

    assert dataset.sha256 == same.sha256 != other.sha256


def test_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(DatasetError, match=r"nowhere: no such dataset folder"):
        open_dataset(tmp_path / "nowhere")


def test_file_instead_of_folder(dataset: Dataset) -> None:
    """The array file alone is not the dataset."""
    with pytest.raises(DatasetError, match="is a file"):
        open_dataset(dataset.data_path)


def test_missing_manifest(dataset: Dataset) -> None:
    """Without a manifest it is not a dataset."""
    (dataset.path / "manifest.json").unlink()
    with pytest.raises(DatasetError, match="no manifest"):
        open_dataset(dataset.path)


def test_missing_data(dataset: Dataset) -> None:
    """Without its array it is not a dataset."""
    dataset.data_path.unlink()
    with pytest.raises(DatasetError, match=r"data\.npy: cannot be read"):
        open_dataset(dataset.path)


@pytest.mark.parametrize(
    ("keep", "message"), [(-1, "truncated"), (5000, "truncated"), (100, "not a .npy"), (0, "not a")]
)
def test_truncated_data(dataset: Dataset, keep: int, message: str) -> None:
    """An array cut short anywhere is told from a whole one."""
    raw = dataset.data_path.read_bytes()
    dataset.data_path.write_bytes(raw[:keep])
    with pytest.raises(DatasetError, match=message):
        open_dataset(dataset.path)


def test_data_too_long(dataset: Dataset) -> None:
    """Bytes behind the array are not overlooked."""
    with dataset.data_path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DatasetError, match="too long"):
        open_dataset(dataset.path)


def test_wrong_dtype(dataset: Dataset) -> None:
    """An array of doubles is refused by its type."""
    np.save(dataset.data_path, np.zeros((3, 224, 224, 3)))
    with pytest.raises(DatasetError, match="holds float64, must be float32"):
        open_dataset(dataset.path)


def test_other_array(dataset: Dataset) -> None:
    """An array that is not the manifest's is refused with both shapes."""
    np.save(dataset.data_path, np.zeros((2, 224, 224, 3), np.float32))
    with pytest.raises(DatasetError, match=r"shape \(2, 224, 224, 3\).*says \(3, 224, 224, 3\)"):
        open_dataset(dataset.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["array"].update(dtype="int8"), r"float32.*array\.dtype"),
        (lambda m: m["array"].update(layout="hcwn"), r"array\.layout"),
        (lambda m: m["array"].update(shape=[]), r"array\.shape"),
        (lambda m: m["array"].update(file="../data.npy"), r"array\.file"),
        (lambda m: m["settings"].update(seed=-1), r"settings\.seed"),
        (lambda m: m["settings"].update(filter="area"), r"settings\.filter"),
        (lambda m: m["images"][0].update(width=0), r"images.*width"),
        (lambda m: m["tensors"][0].update(sha256="12"), r"tensors.*sha256"),
        (lambda m: m["tensors"].pop(), "2 tensors do not belong to 3 rows of 3 images"),
        (lambda m: m["tensors"][0].update(image="other.jpg"), "do not belong"),
        (lambda m: m.pop("array"), "not a valid manifest"),
        (lambda m: m.update(version=2), "version 2, this fastbench reads"),
        (lambda m: m.update(format="cake"), "format 'cake'"),
    ],
)
def test_bad_manifest(
    dataset: Dataset, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    """Whatever is wrong in a manifest is named."""
    edit_manifest(dataset, change)
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset(dataset.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_manifest_that_is_no_json_object(dataset: Dataset, content: bytes) -> None:
    """A manifest of other bytes is one clear error."""
    (dataset.path / "manifest.json").write_bytes(content)
    with pytest.raises(DatasetError, match="not a valid manifest"):
        open_dataset(dataset.path)


def test_header_is_numpys_own(tmp_path: Path) -> None:
    """NumPy reads the padded head as it reads its own."""
    path = tmp_path / "a.npy"
    path.write_bytes(npy.header((2, 3)) + np.arange(6, dtype="<f4").tobytes())

    np.testing.assert_array_equal(np.arange(6, dtype=np.float32).reshape(2, 3), np.load(path))
    assert path.stat().st_size == 4096 + 24


class TestVerify:
    """Verification finds every kind of difference, and nothing where there is none."""

    def test_whole(self, dataset: Dataset) -> None:
        """A synthetic dataset is verified down to its own images."""
        verified = verify(dataset.path)

        assert (verified.rows, verified.images, verified.differences) == (3, 3, ())

    def test_changed_tensor(self, dataset: Dataset) -> None:
        """One changed byte is found in its row."""
        with dataset.data_path.open("r+b") as file:
            file.seek(dataset.data_offset + dataset.row_bytes + 77)
            file.write(b"\x01\x02\x03")
        (difference,) = verify(dataset.path).differences
        assert difference.startswith("row 1:")

    def test_changed_corner(self, dataset: Dataset) -> None:
        """A crop corner that the seed does not give is found."""
        edit_manifest(dataset, lambda m: m["tensors"][2].update(x=999))

        assert "row 2: its crop corner" in verify(dataset.path).differences[0]

    def test_changed_image(self, dataset: Dataset) -> None:
        """A source image of other bytes is found."""
        path = dataset.path / "images" / "synthetic-000001.jpg"
        path.write_bytes(path.read_bytes() + b"x")
        (difference,) = verify(dataset.path).differences
        assert difference.startswith("synthetic-000001.jpg: the file's bytes")

    def test_missing_image(self, dataset: Dataset) -> None:
        """A source image that is gone is found."""
        (dataset.path / "images" / "synthetic-000000.jpg").unlink()

        assert verify(dataset.path).differences == ("synthetic-000000.jpg: missing",)

    def test_other_settings(self, dataset: Dataset) -> None:
        """Tensors made with another filter than the manifest says are found."""
        edit_manifest(dataset, lambda m: m["settings"].update(filter="box"))

        found = verify(dataset.path).differences
        assert len(found) == 3
        assert all("gives other tensors" in line for line in found)

    def test_progress(self, dataset: Dataset) -> None:
        """Progress counts rows and images up to the whole."""
        seen: list[tuple[int, int]] = []
        verify(dataset.path, progress=lambda done, total: seen.append((done, total)))

        assert seen == [(step, 6) for step in range(1, 7)]
