"""TorchServe itself: Java in front, Python workers behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.cli import fastbench
from support.realservers import MARKS, MODEL, add_up, run, stopped_midway, verified

if TYPE_CHECKING:
    from pathlib import Path

    from support.realservers import Urls

pytestmark = MARKS
SERVER = "torchserve"


@pytest.mark.parametrize(("body", "batch"), [("raw", 2), ("multipart", 1), ("json", 1)])
def test_images(urls: Urls, sample: Path, body: str, batch: int) -> None:
    """Each form of body is classified as onnxruntime does, by workers that are ready."""
    options = ("--dataset", sample, "--body", body, "--batch", batch, "--connections", 2)
    result = verified(urls[f"torchserve {MODEL}"], *options)

    assert result.target.kind == "torchserve"


def test_images_over_grpc(urls: Urls, sample: Path) -> None:
    """The same rows by Predictions, several calls at once."""
    options = ("--dataset", sample, "--batch", 2, "--pipeline", 3)
    verified(urls[f"torchserve+grpc {MODEL}"], *options)


@pytest.mark.parametrize("scheme", ["torchserve", "torchserve+grpc"])
@pytest.mark.parametrize("body", ["raw", "multipart"])
def test_fraud(urls: Urls, cards: Path, reference: str, scheme: str, body: str) -> None:
    """Transaction and reference data of one row, one behind the other or as two inputs."""
    options = ("--workload", "fraud", "--dataset", cards, "--body", body)
    result = verified(urls[f"{scheme} fraud"], *options, "--reference-from", reference)

    assert len(result.repetitions[0].steps) == 2


@pytest.mark.parametrize("scheme", ["torchserve", "torchserve+grpc"])
def test_wrong_model(urls: Urls, sample: Path, scheme: str) -> None:
    """The management API knows no such model, which ends the run in one line."""
    done = run(urls[f"{scheme} {MODEL}"].replace(MODEL, "other"), "--dataset", sample)

    assert done.code == 1
    assert "knows no such model" in done.line


def test_wrong_rows(urls: Urls, sample: Path) -> None:
    """Images for the fraud model: what its handler says is the line that ends the run."""
    done = run(urls["torchserve fraud_noreference"], "--dataset", sample)

    assert done.code == 1
    assert "602112 bytes: one sample has 120" in done.line


def test_load_and_unload(urls: Urls, cards: Path) -> None:
    """The management API forgets a model and takes it up again from its archive."""
    url = urls["torchserve fraud_noreference"]
    plain = ("--workload", "fraud", "--no-reference", "--dataset", cards)
    forgotten = fastbench("model", "unload", url)
    without = run(url, *plain)
    taken_up = fastbench("model", "load", url, "fraud_noreference.mar", "--server-batch", "1")

    assert 'Model "fraud_noreference" unregistered' in forgotten.out, forgotten.err
    assert "knows no such model" in without.line
    assert "loaded fraud_noreference from fraud_noreference.mar: 1 of 1" in taken_up.out
    verified(url, *plain)


def test_stopped_midway(urls: Urls, sample: Path, tmp_path: Path) -> None:
    """It goes away in the middle: the run ends, and every inference has one outcome."""
    url = urls[f"torchserve {MODEL}"]
    repetition = stopped_midway("torchserve", url, tmp_path / "out", "--dataset", sample)

    assert repetition.counts.ok > 0
    assert add_up(repetition.counts)
