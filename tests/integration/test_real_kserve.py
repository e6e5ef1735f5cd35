"""KServe: a second server of the Open Inference Protocol, and the protocol before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.realservers import MARKS, MODEL, run, verified

if TYPE_CHECKING:
    from pathlib import Path

    from support.realservers import Urls

pytestmark = MARKS
SERVER = "kserve"


@pytest.mark.parametrize(
    ("scheme", "body", "batch"),
    [
        ("triton+http", "raw", 2),
        ("triton+http", "json", 1),
        ("triton+grpc", "raw", 2),
        ("tfserving+http", "json", 1),
    ],
)
def test_images(urls: Urls, sample: Path, scheme: str, body: str, batch: int) -> None:
    """Both versions of its protocol, with tensors as bytes and as text, are onnxruntime's."""
    form = () if scheme == "triton+grpc" else ("--body", body)
    options = ("--dataset", sample, "--batch", batch, "--connections", 2, *form)
    result = verified(urls[f"{scheme} {MODEL}"], *options)

    assert scheme == "tfserving+http" or result.target.server == "kserve 0.21.0"


@pytest.mark.parametrize(("scheme", "form"), [("triton+http", "raw"), ("triton+grpc", None)])
def test_fraud(urls: Urls, cards: Path, reference: str, scheme: str, form: str | None) -> None:
    """Two inputs by name, one of them from Valkey."""
    options = ("--workload", "fraud", "--dataset", cards, "--reference-from", reference)
    verified(urls[f"{scheme} fraud"], *options, *(("--body", form) if form else ()))


def test_bytes_that_it_does_not_announce(urls: Urls, sample: Path) -> None:
    """It takes tensors as bytes but does not say so: one must choose."""
    done = run(urls[f"triton+http {MODEL}"], "--dataset", sample)

    assert done.code == 1
    assert "does not announce the extension binary_tensor_data" in done.line


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("triton+http", f"the server has no model other; it has fraud, fraud_noreference, {MODEL}"),
        ("triton+grpc", "does not know model other: ModelMetadata: GRPC 5 NOT_FOUND: Model with"),
        ("tfserving+http", "Model with name other does not exist"),
    ],
)
def test_wrong_model(urls: Urls, sample: Path, scheme: str, said: str) -> None:
    """A model that it does not hold ends the run in one line: its words, or what it holds."""
    done = run(urls[f"{scheme} {MODEL}"].replace(MODEL, "other"), "--dataset", sample)

    assert done.code == 1
    assert said in done.line
