"""The manifest as a document: what stands in it, and that it can be relied on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from fastbench.datasets import manifest
from fastbench.datasets.vision import VisionConfig, build

if TYPE_CHECKING:
    from pathlib import Path


def test_hashes_are_of_the_bytes(tmp_path: Path) -> None:
    """Every sha-256 can be recomputed by other means from file and array."""
    dataset = build(VisionConfig(out=tmp_path / "set", sample=2, workers=1))
    content = json.loads((dataset.path / "manifest.json").read_bytes())

    for image in content["images"]:
        data = (dataset.path / "images" / image["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == image["sha256"]
    for tensor, row in zip(content["tensors"], dataset.array(), strict=True):
        assert hashlib.sha256(row.tobytes()).hexdigest() == tensor["sha256"]


def test_what_it_says(tmp_path: Path) -> None:
    """Seed, settings, versions, sizes and crop corners stand in it; synthetic is said."""
    dataset = build(VisionConfig(out=tmp_path / "set", sample=2, workers=1, seed=5))
    content = json.loads((dataset.path / "manifest.json").read_bytes())

    assert content["synthetic"] is True
    assert "synthetic" in content["description"]
    assert content["settings"]["seed"] == 5
    assert content["settings"]["filter"] == "hamming"
    assert content["libraries"].keys() >= {"python", "numpy", "libjpeg"}
    assert [i["width"] for i in content["images"]] == [640, 640]
    assert all(t["x"] >= 0 and t["y"] in range(32) for t in content["tensors"])
    assert content["array"]["shape"] == [2, 224, 224, 3]
    assert content["skipped"] == []


def test_same_work_same_bytes(tmp_path: Path) -> None:
    """Made twice, a dataset is the same to the last byte, manifest and all."""
    one, two = (
        build(VisionConfig(out=tmp_path / name, sample=2, workers=1)) for name in ("one", "two")
    )

    for name in ("data.npy", "manifest.json"):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


def test_read_gives_what_was_written(tmp_path: Path) -> None:
    """Writing and reading back loses nothing."""
    made = build(VisionConfig(out=tmp_path / "set", sample=1, workers=1)).manifest
    manifest.write(made, tmp_path / "copy.json")

    assert manifest.read(tmp_path / "copy.json") == made
