"""NVIDIA's Triton itself, over HTTP and gRPC, with models in its Python backend."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support.cli import fastbench
from support.realservers import (
    MARKS,
    MODEL,
    REQUESTS,
    add_up,
    run,
    stopped_midway,
    verified,
)

if TYPE_CHECKING:
    from support.realservers import Urls

pytestmark = MARKS
PROTOCOLS = ("triton+http", "triton+grpc")
SERVER = "triton"


@pytest.mark.parametrize("scheme", PROTOCOLS)
@pytest.mark.parametrize(("batch", "version", "connections"), [(1, "", 2), (3, "/1", 1)])
def test_images(
    urls: Urls, sample: Path, scheme: str, batch: int, version: str, connections: int
) -> None:
    """Images in ones and threes are classified as onnxruntime does; the server's books agree."""
    load = ("--dataset", sample, "--batch", batch, "--connections", connections)
    result = verified(urls[f"{scheme} {MODEL}"] + version, *load)

    target, [repetition] = result.target, result.repetitions
    assert (target.kind, target.server) == ("triton", "triton 2.51.0")
    assert repetition.server_metrics is not None
    deltas = repetition.server_metrics.deltas
    assert deltas["inference_count"] == REQUESTS * batch
    assert deltas["execution_count"] == REQUESTS


def test_json(urls: Urls, sample: Path) -> None:
    """Numbers as text are understood, too."""
    verified(urls[f"triton+http {MODEL}"], "--dataset", sample, "--body", "json")


def test_typed_contents(urls: Urls, sample: Path) -> None:
    """Numbers by their type are the same images as their bytes."""
    verified(urls[f"triton+grpc {MODEL}"], "--dataset", sample, "--body", "typed", "--batch", 2)


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_fraud(urls: Urls, cards: Path, reference: str, scheme: str) -> None:
    """Each transaction goes with its own reference data, which a real Valkey holds."""
    options = ("--workload", "fraud", "--dataset", cards)
    chain = verified(
        urls[f"{scheme} fraud"], *options, "--reference-from", reference, "--connections", 2
    )
    verified(urls[f"{scheme} fraud_noreference"], *options, "--no-reference", "--batch", 4)

    assert len(chain.repetitions[0].steps) == 2


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_shared_memory(urls: Urls, sample: Path, scheme: str) -> None:
    """Rows that Triton reads where they lie are those that onnxruntime computed with.

    So are the outputs that it puts into the places of these rows.
    """
    url = urls[f"{scheme} {MODEL}"]
    result = verified(url, "--dataset", sample, "--shm", "--batch", 2, "--connections", 2)

    details = result.target.details
    assert "shared_memory" in details
    assert details["shared_memory_outputs"].endswith(f" ({2 * 1001 * 4:,} bytes an inference)")
    length = int(details.get("reply_body_bytes") or details["reply_message_bytes"])
    assert length < 2 * 1001
    place = urlsplit(urls[f"triton+http {MODEL}"]).netloc
    status = f"http://{place}/v2/systemsharedmemory/status"
    with urllib.request.urlopen(status, timeout=60) as told:
        assert json.load(told) == []


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_model_control(urls: Urls, scheme: str) -> None:
    """A Triton that was not started for it says that it loads and unloads nothing."""
    lines = [
        fastbench("model", what, urls[f"{scheme} {MODEL}"]).line for what in ("load", "unload")
    ]

    assert all("not allowed" in line for line in lines)


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_wrong_model(urls: Urls, sample: Path, scheme: str) -> None:
    """A model or version that the server does not hold ends the run in one line: what it holds."""
    url = urls[f"{scheme} {MODEL}"]

    model = run(url.replace(MODEL, "other"), "--dataset", sample)
    version = run(f"{url}/7", "--dataset", sample)

    assert (model.code, version.code) == (1, 1)
    assert f"no model other; it has fraud, fraud_noreference, {MODEL}" in model.line
    assert f"no version 7 of model {MODEL}; it has 1" in version.line


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_wrong_rows(urls: Urls, sample: Path, scheme: str) -> None:
    """Images for the fraud model: refused by the shapes that the server tells."""
    done = run(urls[f"{scheme} fraud_noreference"], "--dataset", sample)

    assert done.code == 1
    assert "fraud_noreference takes float32 Nx30" in done.line


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_stopped_midway(urls: Urls, sample: Path, tmp_path: Path, scheme: str) -> None:
    """Triton goes away in the middle: the run ends, and every inference has one outcome."""
    url = urls[f"{scheme} {MODEL}"]
    repetition = stopped_midway("triton", url, tmp_path / "out", "--dataset", sample)

    assert repetition.counts.ok > 0
    assert add_up(repetition.counts)
    prefix = f"fastbench-triton-{urlsplit(urls[f'triton+http {MODEL}']).port}-"
    assert [path for path in Path("/dev/shm").iterdir() if path.name.startswith(prefix)] == []
