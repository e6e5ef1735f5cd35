"""gunicorn and Flask in an environment of their own: the common production set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.realservers import MARKS, MODEL, add_up, run, stopped_midway, verified

if TYPE_CHECKING:
    from pathlib import Path

    from support.realservers import Urls

pytestmark = MARKS
SERVER = "flask"


@pytest.mark.parametrize(("body", "batch"), [("raw", 1), ("multipart", 2), ("json", 1)])
def test_images(urls: Urls, sample: Path, body: str, batch: int) -> None:
    """Each form of body is classified as onnxruntime does."""
    options = ("--dataset", sample, "--body", body, "--batch", batch, "--connections", 2)
    result = verified(urls[f"rest {MODEL}"], *options)

    assert (result.target.kind, result.target.server) == ("rest", "gunicorn")


@pytest.mark.parametrize("body", ["raw", "multipart"])
def test_fraud(urls: Urls, cards: Path, reference: str, body: str) -> None:
    """Transaction and reference data of one row, one behind the other or as two files."""
    options = ("--workload", "fraud", "--dataset", cards, "--body", body)
    result = verified(urls["rest fraud"], *options, "--reference-from", reference)

    assert len(result.repetitions[0].steps) == 2


def test_wrong_model(urls: Urls, sample: Path) -> None:
    """What the app says to an unknown name is the line that ends the run."""
    done = run(urls[f"rest {MODEL}"].replace(MODEL, "other"), "--dataset", sample)

    assert done.code == 1
    assert "no model other" in done.line


def test_stopped_midway(urls: Urls, sample: Path, tmp_path: Path) -> None:
    """It goes away in the middle: the run ends, and every inference has one outcome."""
    url = urls[f"rest {MODEL}"]
    repetition = stopped_midway("flask", url, tmp_path / "out", "--dataset", sample)

    assert repetition.counts.ok > 0
    assert add_up(repetition.counts)
