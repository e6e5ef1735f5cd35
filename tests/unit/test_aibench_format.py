"""aibench's headerless file, out and in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fastbench.datasets.aibench import export_aibench, import_aibench
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.verify import verify
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TENSOR_BYTES = 602_112


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Make a small synthetic dataset, which no test changes."""
    out = tmp_path_factory.mktemp("made") / "set"
    return build(VisionConfig(out=out, sample=3, workers=1))


def test_export_is_the_tensors_alone(dataset: Dataset, tmp_path: Path) -> None:
    """The file is the rows as little-endian floats, NHWC, one after another."""
    assert export_aibench(dataset.path, tmp_path / "tensors.out") == 3

    raw = (tmp_path / "tensors.out").read_bytes()
    assert len(raw) == 3 * TENSOR_BYTES
    values = np.frombuffer(raw, "<f4").reshape(3, 224, 224, 3)
    np.testing.assert_array_equal(np.load(dataset.data_path), values)


def test_there_and_back(dataset: Dataset, tmp_path: Path) -> None:
    """Exporting and importing gives the same tensors, and says where they came from."""
    export_aibench(dataset.path, tmp_path / "tensors.out")
    imported = import_aibench(tmp_path / "tensors.out", tmp_path / "back")

    np.testing.assert_array_equal(dataset.array(), imported.array())
    assert imported.sha256 == dataset.sha256
    assert (imported.manifest.source.kind, imported.layout) == ("aibench", "nhwc")
    assert verify(imported.path).differences == ()
    assert sorted(p.name for p in imported.path.iterdir()) == ["data.npy", "manifest.json"]


@pytest.mark.parametrize("size", [0, 1, TENSOR_BYTES - 4, TENSOR_BYTES + 1])
def test_import_of_a_wrong_size(tmp_path: Path, size: int) -> None:
    """A size that is no whole number of tensors is refused."""
    (tmp_path / "in").write_bytes(bytes(size))
    with pytest.raises(DatasetError, match="whole number of tensors of 602112 bytes"):
        import_aibench(tmp_path / "in", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf")])
def test_import_of_other_values(tmp_path: Path, value: float) -> None:
    """Values outside [0, 1] show that it is another file; nothing is left behind."""
    values = np.full((2, 224, 224, 3), 0.5, "<f4")
    values[1, 5, 5, 1] = value
    (tmp_path / "in").write_bytes(values.tobytes())

    with pytest.raises(DatasetError, match=r"tensor 1 holds values outside \[0, 1\]"):
        import_aibench(tmp_path / "in", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_import_of_nothing(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(DatasetError, match=r"none: cannot be read: No such file"):
        import_aibench(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize(("layout", "normalize"), [("nchw", "unit"), ("nhwc", "signed")])
def test_export_of_what_does_not_fit(tmp_path: Path, layout: str, normalize: str) -> None:
    """Other layouts and ranges are not passed off as aibench's."""
    config = VisionConfig(
        out=tmp_path / "set", sample=1, workers=1, layout=layout, normalize=normalize
    )
    with pytest.raises(DatasetError, match="aibench's format is nhwc, unit"):
        export_aibench(build(config).path, tmp_path / "tensors.out")
    assert not (tmp_path / "tensors.out").exists()


def test_export_does_not_overwrite(dataset: Dataset, tmp_path: Path) -> None:
    """What stands at the output stays."""
    (tmp_path / "tensors.out").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        export_aibench(dataset.path, tmp_path / "tensors.out")
    assert (tmp_path / "tensors.out").read_text() == "precious"


def test_failed_export_leaves_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills meanwhile is a clear error, and no half file stays."""

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastbench.datasets.aibench.os.pread", full)
    with pytest.raises(DatasetError, match="No space left"):
        export_aibench(dataset.path, tmp_path / "tensors.out")
    assert list(tmp_path.iterdir()) == []


def test_imported_dataset_has_no_images_to_verify(dataset: Dataset, tmp_path: Path) -> None:
    """Verifying an imported dataset against images says why that cannot be."""
    export_aibench(dataset.path, tmp_path / "tensors.out")
    imported = import_aibench(tmp_path / "tensors.out", tmp_path / "back")

    with pytest.raises(DatasetError, match="was imported"):
        verify(imported.path, dataset.path / "images")
    assert open_dataset(imported.path).manifest.images == []
