"""The reference app: each form of body gives onnxruntime's answer, each wrong one a reason."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastbench.models.inputs import random_inputs
from fastbench.models.loading import load_model
from fastbench.models.onnx_session import Oracle
from fastbench.serve.rest_app import create_app

if TYPE_CHECKING:
    from flask.testing import FlaskClient

IMAGES = np.random.default_rng(3).random((2, 224, 224, 3), dtype=np.float32)
MODELS = ("mean_rgb_224", "fraud")


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """Return a client of the app with a model of one input and one of two."""
    return create_app({name: str(load_model(name).path) for name in MODELS}, 1).test_client()


@pytest.fixture(scope="module")
def means() -> np.ndarray[Any, Any]:
    """Return what the model of one input answers."""
    return Oracle(load_model("mean_rgb_224")).run([IMAGES])[0]


def fraud() -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Return inputs by name and the answer of the model of two."""
    model = load_model("fraud")
    inputs = random_inputs(model)
    named = {spec.name: value for spec, value in zip(model.inputs, inputs, strict=True)}
    return named, Oracle(model).run(inputs)[0]


def test_raw(client: FlaskClient, means: np.ndarray[Any, Any]) -> None:
    """Raw bytes of several samples are answered with raw bytes."""
    reply = client.post(
        "/predict/mean_rgb_224", data=IMAGES.tobytes(), content_type="application/octet-stream"
    )

    assert reply.mimetype == "application/octet-stream"
    np.testing.assert_array_equal(np.frombuffer(reply.data, "<f4").reshape(2, 3), means)


@pytest.mark.parametrize("samples", [1, 3])
def test_raw_inputs_one_after_the_other(client: FlaskClient, samples: int) -> None:
    """Bytes for a model of two inputs are all samples of the first, then all of the second."""
    model = load_model("fraud")
    inputs = [np.repeat(value, samples, axis=0) for value in random_inputs(model)]
    data = b"".join(value.tobytes() for value in inputs)

    reply = client.post("/predict/fraud", data=data, content_type="application/octet-stream")
    wrong = client.post("/predict/fraud", data=data[4:], content_type="application/octet-stream")

    found = np.frombuffer(reply.data, "<f4").reshape(samples, 2)
    np.testing.assert_array_equal(found, Oracle(model).run(inputs)[0])
    assert wrong.status_code == 400
    assert "one sample of all inputs has 1144" in wrong.get_json()["error"]


def test_json(client: FlaskClient, means: np.ndarray[Any, Any]) -> None:
    """JSON under ``instances`` is answered with JSON under ``outputs``."""
    reply = client.post("/predict/mean_rgb_224", json={"instances": IMAGES.tolist()})

    np.testing.assert_array_equal(np.float32(reply.get_json()["outputs"]), means)


@pytest.mark.parametrize("form", ["json", "multipart"])
def test_two_inputs_by_name(client: FlaskClient, form: str) -> None:
    """``transaction`` and ``reference`` go to the inputs of these names."""
    inputs, expected = fraud()
    assert set(inputs) == {"transaction", "reference"}

    if form == "json":
        reply = client.post("/predict/fraud", json={k: v.tolist() for k, v in inputs.items()})
    else:
        files = {k: (io.BytesIO(v.tobytes()), k) for k, v in inputs.items()}
        reply = client.post("/predict/fraud", data=files, content_type="multipart/form-data")

    np.testing.assert_allclose(reply.get_json()["outputs"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("path", "send", "status", "words"),
    [
        ("/predict/none", {"json": {"instances": []}}, 404, "no model none"),
        ("/v1/models/none", {"json": {"instances": []}}, 404, "there are POST /predict/NAME"),
        ("/predict/mean_rgb_224", {"json": {"instances": [[1], [2, 3]]}}, 400, "not no list"),
        ("/predict/mean_rgb_224", {"json": {"instances": [1, 2]}}, 400, "224x224x3"),
        ("/predict/mean_rgb_224", {"json": [1]}, 400, "not nothing"),
        ("/predict/fraud", {"json": {"transaction": [0] * 30}}, 400, "not transaction"),
        ("/predict/fraud", {"json": {"instances": [0] * 30}}, 400, "several inputs"),
        ("/predict/mean_rgb_224", {"data": b"{", "content_type": "application/json"}, 400, ""),
        ("/predict/mean_rgb_224", {"data": b"x", "content_type": "text/plain"}, 415, ""),
        (
            "/predict/mean_rgb_224",
            {"data": b"abc", "content_type": "application/octet-stream"},
            400,
            "not 3 bytes",
        ),
    ],
)
def test_wrong_requests(
    client: FlaskClient, path: str, send: dict[str, Any], status: int, words: str
) -> None:
    """A request that does not fit is refused with a reason in JSON."""
    reply = client.post(path, **send)

    assert reply.status_code == status
    assert words in reply.get_json()["error"]


def test_health(client: FlaskClient) -> None:
    """/health names the models."""
    assert client.get("/health").get_json() == {"status": "ok", "models": sorted(MODELS)}
