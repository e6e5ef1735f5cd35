"""The stand-in for TensorFlow Serving: the official stubs understand what is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.realservers import MARKS, MODEL, add_up, run, start, stopped_midway, stopping, verified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = MARKS

Urls = dict[str, str]


@pytest.fixture(scope="module", autouse=True)
def stopped_in_the_end() -> Iterator[None]:
    """Leave nothing running."""
    with stopping("tfserving"):
        yield


@pytest.fixture
def tfserving() -> Urls:
    """Return the targets of the stand-in, which runs."""
    return start("tfserving")


@pytest.mark.parametrize(("body", "version", "batch"), [("json", "", 2), ("json-columns", "/1", 1)])
def test_images(tfserving: Urls, sample: Path, body: str, version: str, batch: int) -> None:
    """Rows and columns are classified as onnxruntime does, also by a named version."""
    options = ("--dataset", sample, "--body", body, "--batch", batch, "--connections", 2)
    verified(tfserving[f"tfserving+http {MODEL}"] + version, *options)


@pytest.mark.parametrize(("version", "batch", "pipeline"), [("", 2, 1), ("/1", 1, 3)])
def test_images_over_grpc(
    tfserving: Urls, sample: Path, version: str, batch: int, pipeline: int
) -> None:
    """The same rows by Predict, several calls at once."""
    options = ("--dataset", sample, "--batch", batch, "--pipeline", pipeline)
    verified(tfserving[f"tfserving+grpc {MODEL}"] + version, *options)


def test_fraud_over_grpc(tfserving: Urls, cards: Path, reference: str) -> None:
    """Two inputs by name, one of them from Valkey."""
    options = ("--workload", "fraud", "--dataset", cards, "--reference-from", reference)
    verified(tfserving["tfserving+grpc fraud"], *options, "--connections", 2)


def test_fraud_without_reference(tfserving: Urls, cards: Path) -> None:
    """Transactions as rows of numbers."""
    options = ("--workload", "fraud", "--dataset", cards, "--no-reference", "--batch", 4)
    verified(tfserving["tfserving+http fraud_noreference"], *options)


@pytest.mark.parametrize("scheme", ["tfserving+http", "tfserving+grpc"])
def test_wrong_model(tfserving: Urls, sample: Path, scheme: str) -> None:
    """An unknown name ends the run in one line with the server's words."""
    url = tfserving[f"{scheme} {MODEL}"].replace(MODEL, "other")

    done = run(url, "--dataset", sample)

    assert done.code == 1
    assert "Servable not found" in done.line


def test_stopped_midway(tfserving: Urls, sample: Path, tmp_path: Path) -> None:
    """It goes away in the middle: the run ends, and every inference has one outcome."""
    url = tfserving[f"tfserving+grpc {MODEL}"]
    repetition = stopped_midway("tfserving", url, tmp_path / "out", "--dataset", sample)

    assert repetition.counts.ok > 0
    assert add_up(repetition.counts)
