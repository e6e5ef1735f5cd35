"""A folder in which another maker of datasets, or the same one, was killed at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastbench.datasets.aibench import export_aibench, import_aibench
from fastbench.datasets.fraud import FraudConfig, build_fraud
from fastbench.datasets.fraud_aibench import export_fraud_aibench, import_fraud_aibench
from fastbench.datasets.verify import verify
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

FRAUD = {"transactions.npy", "references.npy", "labels.npy", "manifest.json"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a dataset to make; what a killed maker of images began lies beside it."""
    left = tmp_path / "set.partial"
    (left / "images" / "deep").mkdir(parents=True)
    (left / "images" / "deep" / "a.jpg").write_bytes(b"old")
    (left / "data.npy").write_bytes(b"old")
    (left / "labels.npy").write_bytes(b"old" * 10_000)
    (left / "link").symlink_to(tmp_path)
    (left / "journal.jsonl").write_bytes(b"of another\n")
    return tmp_path / "set"


def names(folder: Path) -> set[str]:
    """Return what is in a folder."""
    return {path.name for path in folder.iterdir()}


def test_fraud(out: Path) -> None:
    """A fraud dataset holds its own files alone."""
    made = build_fraud(FraudConfig(out=out, sample=20))

    assert names(made.path) == FRAUD
    assert names(out.parent) == {"set"}


def test_imported_fraud(out: Path, tmp_path: Path) -> None:
    """An imported fraud dataset has no labels, also where another one had left some."""
    build_fraud(FraudConfig(out=tmp_path / "other", sample=20))
    export_fraud_aibench(tmp_path / "other", tmp_path / "file")

    made = import_fraud_aibench(tmp_path / "file", out)

    assert names(made.path) == FRAUD - {"labels.npy"}


def test_imported_images(out: Path, tmp_path: Path) -> None:
    """Imported tensors come without another's images."""
    build(VisionConfig(out=tmp_path / "other", sample=2, workers=1))
    export_aibench(tmp_path / "other", tmp_path / "file")

    made = import_aibench(tmp_path / "file", out)

    assert names(made.path) == {"data.npy", "manifest.json"}
    assert verify(made.path).differences == ()


def test_images(out: Path, tmp_path: Path) -> None:
    """A vision dataset that does not go on with what is there holds its own files alone."""
    sample = build(VisionConfig(out=tmp_path / "other", sample=2, workers=1))

    made = build(VisionConfig(out=out, images=sample.path / "images", workers=1))

    assert names(made.path) == {"data.npy", "manifest.json"}
    assert made.sha256 == sample.sha256


def test_fewer_synthetic_images(tmp_path: Path) -> None:
    """A smaller sample than the one that was interrupted has no image too many."""

    def interrupt(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(DatasetError, match="goes on"):
        build(VisionConfig(out=tmp_path / "set", sample=4, workers=1), interrupt)

    made = build(VisionConfig(out=tmp_path / "set", sample=2, workers=1))

    assert made.rows == 2
    assert names(made.path) == {"data.npy", "manifest.json", "images"}
    assert names(made.path / "images") == {"synthetic-000000.jpg", "synthetic-000001.jpg"}


def test_nothing_is_left_after_an_error(out: Path, tmp_path: Path) -> None:
    """What was begun afresh is removed by an error, for nobody could go on with it."""

    def fail(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_fraud(FraudConfig(out=out, sample=20), fail)

    assert names(tmp_path) == set()
