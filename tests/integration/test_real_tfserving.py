"""The stand-in for TensorFlow Serving: the official stubs understand what is sent."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support.realservers import (
    MARKS,
    MODEL,
    STATE,
    add_up,
    run,
    stopped_midway,
    verified,
)

from fastbench.local_servers.base import FILES
from fastbench.models.loading import load_model

if TYPE_CHECKING:
    from pathlib import Path

    from support.realservers import Urls

pytestmark = MARKS
SERVER = "tfserving"


@pytest.mark.parametrize(("body", "version", "batch"), [("json", "", 2), ("json-columns", "/1", 1)])
def test_images(urls: Urls, sample: Path, body: str, version: str, batch: int) -> None:
    """Rows and columns are classified as onnxruntime does, also by a named version."""
    options = ("--dataset", sample, "--body", body, "--batch", batch, "--connections", 2)
    verified(urls[f"tfserving+http {MODEL}"] + version, *options)


@pytest.mark.parametrize(("version", "batch", "pipeline"), [("", 2, 1), ("/1", 1, 3)])
def test_images_over_grpc(
    urls: Urls, sample: Path, version: str, batch: int, pipeline: int
) -> None:
    """The same rows by Predict, several calls at once."""
    options = ("--dataset", sample, "--batch", batch, "--pipeline", pipeline)
    verified(urls[f"tfserving+grpc {MODEL}"] + version, *options)


def test_fraud_over_grpc(urls: Urls, cards: Path, reference: str) -> None:
    """Two inputs by name, one of them from Valkey."""
    options = ("--workload", "fraud", "--dataset", cards, "--reference-from", reference)
    verified(urls["tfserving+grpc fraud"], *options, "--connections", 2)


def test_fraud_without_reference(urls: Urls, cards: Path) -> None:
    """Transactions as rows of numbers."""
    options = ("--workload", "fraud", "--dataset", cards, "--no-reference", "--batch", 4)
    verified(urls["tfserving+http fraud_noreference"], *options)


@pytest.mark.parametrize("scheme", ["tfserving+http", "tfserving+grpc"])
def test_wrong_model(urls: Urls, sample: Path, scheme: str) -> None:
    """An unknown name ends the run in one line with the server's words."""
    url = urls[f"{scheme} {MODEL}"].replace(MODEL, "other")

    done = run(url, "--dataset", sample)

    assert done.code == 1
    assert "Servable not found" in done.line


#: Calls Predict with zeros of each shape given, and prints the status of each.
CALLS = """
import json, sys
import grpc
import tensorflow_error_codes
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    for shape in json.loads(sys.argv[2]):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "fraud_noreference"
        tensor = request.inputs[sys.argv[3]]
        tensor.dtype, tensor.tensor_content = types_pb2.DT_FLOAT, bytes(4 * 60)
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        try:
            found = stub.Predict(request).outputs.values()
            print([dim.size for dim in next(iter(found)).tensor_shape.dim])
        except grpc.RpcError as error:
            print(error.code().name)
"""


def test_shape_of_a_request(urls: Urls) -> None:
    """By Google's own stubs: 60 numbers are two transactions only where the request says so."""
    place = urlsplit(urls["tfserving+grpc fraud_noreference"]).netloc
    [name] = [tensor.name for tensor in load_model("fraud_noreference").inputs]
    python = STATE / "tfserving" / "venv" / "bin" / "python"
    shapes = [[2, 30], [30, 2], [60], [1, 2, 30], [], [-1, 30], [3, 30]]

    done = subprocess.run(
        [python, "-c", CALLS, place, json.dumps(shapes), name],
        env=os.environ | {"PYTHONPATH": str(FILES)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.splitlines() == ["[2, 2]", *["INVALID_ARGUMENT"] * 6], done.stderr


def test_stopped_midway(urls: Urls, sample: Path, tmp_path: Path) -> None:
    """It goes away in the middle: the run ends, and every inference has one outcome."""
    url = urls[f"tfserving+grpc {MODEL}"]
    repetition = stopped_midway("tfserving", url, tmp_path / "out", "--dataset", sample)

    assert repetition.counts.ok > 0
    assert add_up(repetition.counts)
