"""The other dialects of gRPC, against stand-ins on grpcio and protobuf's own library.

They are written from the protocols' definitions and share no code with fastbench, so that a wrong
byte shows: as a refusal, or as an answer of onnxruntime to another input.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
import numpy as np
import pytest
from support.cli import Done, fastbench
from support.grpcserver import serving
from support.modelservers import Session, TorchManagement
from support.oip_protobuf import oip
from support.oip_protobuf import parsed as oip_parsed
from support.redisserver import port_of, programs
from support.redisserver import running as redis_running
from support.tfserving_protobuf import (
    AVAILABLE,
    DT_FLOAT,
    DT_STRING,
    LOADING,
    metadata_of,
    shape_of,
    tf,
)
from support.tfserving_protobuf import parsed as tf_parsed
from support.torchserve_protobuf import parsed as torch_parsed
from support.torchserve_protobuf import torch

from fastbench.datasets.fraud import FraudConfig, build_fraud
from fastbench.models.builtin import build_file
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUESTS = 30
OIP = "/inference.GRPCInferenceService/"
PREDICTIONS = "/tensorflow.serving.PredictionService/"
MODELS = "/tensorflow.serving.ModelService/"
TORCH = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


class Standin:
    """Answers by methods of its own, of the paths in ``methods``; ``asked``: each path."""

    methods: ClassVar[dict[str, str]] = {}

    def __init__(self, model: Path, **behaviour: Any) -> None:
        self.session = Session(model)
        self.behaviour = behaviour
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer one call."""
        with self._lock:
            self.asked.append(path)
        told = dict(context.invocation_metadata())
        token = self.behaviour.get("token")
        said = str(told.get("authorization"))
        if token and said != f"Bearer {token}":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"wrong: {said.rpartition(' ')[2]}")
        if path not in self.methods:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no method {path}")
        answer: bytes = getattr(self, self.methods[path])(request, context).SerializeToString()
        return answer


class TypedInference(Standin):
    """The Open Inference Protocol with typed contents only, as MLServer answers typed requests."""

    methods: ClassVar = {
        f"{OIP}ServerReady": "ready",
        f"{OIP}ModelReady": "ready",
        f"{OIP}ServerMetadata": "server",
        f"{OIP}ModelMetadata": "model",
        f"{OIP}ModelInfer": "infer",
    }

    def ready(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
        """Say yes."""
        return oip("Ready", ready=True)

    def server(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
        """Name it."""
        return oip("ServerMetadataResponse", name="typed", version="1")

    def model(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
        """Tell inputs and outputs, a list of labels first."""
        inputs, outputs = (
            [{"name": n, "datatype": "FP32", "shape": s} for n, s in tensors.items()]
            for tensors in (self.session.inputs, self.session.outputs)
        )
        labels = {"name": "labels", "datatype": "BYTES", "shape": [-1]}
        return oip("ModelMetadataResponse", name="m", inputs=inputs, outputs=[labels, *outputs])

    def infer(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Refuse raw contents, and answer with typed ones."""
        asked = oip_parsed("ModelInferRequest", request)
        if asked.raw_input_contents:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "raw contents are not taken")
        tensors = {
            tensor.name: np.asarray(tensor.contents.fp32_contents, "<f4").reshape(tensor.shape)
            for tensor in asked.inputs
        }
        labels = {"name": "labels", "datatype": "BYTES", "contents": {"bytes_contents": [b"cat"]}}
        outputs = [
            {"name": n, "datatype": "FP32", "contents": {"fp32_contents": v.ravel().tolist()}}
            for n, v in self.session.run(tensors).items()
        ]
        return oip("ModelInferResponse", model_name="m", outputs=[labels, *outputs])


class TensorFlowServing(Standin):
    """TensorFlow Serving; ``state``, ``signature``, ``metadata``, ``typed``: how it answers."""

    methods: ClassVar = {
        f"{MODELS}GetModelStatus": "status",
        f"{PREDICTIONS}GetModelMetadata": "metadata",
        f"{PREDICTIONS}Predict": "predict",
    }

    def status(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Tell the state of version 1."""
        if tf_parsed("GetModelStatusRequest", request).model_spec.name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model n")
        state = {"version": 1, "state": self.behaviour.get("state", AVAILABLE)}
        return tf("GetModelStatusResponse", model_version_status=[state])

    def metadata(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Tell the one signature."""
        if not self.behaviour.get("metadata", True):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no metadata here")
        assert list(tf_parsed("GetModelMetadataRequest", request).metadata_field) == [
            "signature_def"
        ]
        takes, gives = (
            {
                name: tf("TensorInfo", dtype=DT_FLOAT, tensor_shape=shape_of(tuple(shape)))
                for name, shape in tensors.items()
            }
            for tensors in (self.session.inputs, self.session.outputs)
        )
        return metadata_of(**{self.behaviour.get("signature", "serving_default"): (takes, gives)})

    def predict(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Run the model."""
        asked = tf_parsed("PredictRequest", request)
        signature = asked.model_spec.signature_name or "serving_default"
        if signature != self.behaviour.get("signature", "serving_default"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no signature {signature}")
        tensors = {}
        for name, tensor in asked.inputs.items():
            assert tensor.dtype == DT_FLOAT
            sizes = [dim.size for dim in tensor.tensor_shape.dim]
            tensors[name] = np.frombuffer(tensor.tensor_content, "<f4").reshape(sizes)
        outputs = {"labels": tf("TensorProto", dtype=DT_STRING, string_val=[b"cat"])}
        for name, values in self.session.run(tensors).items():
            held: dict[str, Any] = {"tensor_content": values.astype("<f4").tobytes()}
            if self.behaviour.get("typed"):
                held = {"float_val": values.ravel().tolist()}
            outputs[name] = tf(
                "TensorProto", dtype=DT_FLOAT, tensor_shape=shape_of(values.shape), **held
            )
        version = {"value": asked.model_spec.version.value}
        return tf("PredictResponse", outputs=outputs, model_spec={"name": "m", "version": version})


class TorchServe(Standin):
    """TorchServe's Predictions; ``raw``: its handler answers in bytes, not JSON."""

    methods: ClassVar = {TORCH: "predictions"}

    def predictions(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Run the model on the input ``data``, or on inputs by the names of the model's."""
        asked = torch_parsed("PredictionsRequest", request)
        if (asked.model_name, asked.model_version) not in {("m", ""), ("m", "1.0")}:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Model not found: {asked.model_name}")
        names = ["data"] if "data" in asked.input else list(self.session.inputs)
        found = self.session.run_bytes(b"".join(asked.input[name] for name in names))
        raw = found.astype("<f4").tobytes()
        prediction = raw if self.behaviour.get("raw") else json.dumps(found[0].tolist()).encode()
        return torch("PredictionResponse", prediction=prediction)


@contextlib.contextmanager
def place_of(standin: Standin) -> Iterator[str]:
    """Yield host and port of a stand-in."""
    with serving(standin) as (host, port):
        yield f"{host}:{port}"


def run(url: str, *options: object, requests: int = REQUESTS) -> Result:
    """Run briefly; each request must have succeeded, each sampled answer be right."""
    short = ("--repetitions", 1, "--quiet", "--warmup", 0, "--requests", requests)
    done = fastbench("run", url, *short, "--verify", 10, *options, "--format", "json")
    assert done.code == 0, done.err
    result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (requests, requests)
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
    assert result.target.protocol == "gRPC"
    return result


def refused(url: str, *options: object) -> Done:
    """Run in vain, and return what was said in one line."""
    done = fastbench("run", url, "--repetitions", 1, "--requests", 1, *options)
    assert done.code in {1, 2}, done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    return done


@pytest.fixture
def images(sample: Path, tiny_model: Path) -> tuple[object, ...]:
    """Return the options that send images to the small model."""
    return ("--dataset", sample, "--model", tiny_model, "--connections", 2, "--pipeline", 2)


class TestTypedContents:
    """``--body typed``: numbers by their type."""

    @pytest.mark.parametrize("batch", [1, 3])
    def test_images(self, images: tuple[object, ...], tiny_model: Path, batch: int) -> None:
        """Typed requests and replies are understood, by a server that takes no others."""
        with place_of(TypedInference(tiny_model)) as place:
            url = f"triton+grpc://{place}/m"
            result = run(url, *images, "--body", "typed", "--batch", batch)
            assert "raw contents are not taken" in refused(url, *images[:2]).line

        assert result.target.details["body"] == "typed"


class TestTensorFlowServing:
    """``tfserving+grpc://``."""

    @pytest.mark.parametrize(
        ("version", "batch", "behaviour"),
        [
            ("", 1, {}),
            ("/1", 3, {"typed": True}),
            ("?signature=mine", 2, {"signature": "mine"}),
            ("", 1, {"metadata": False}),
        ],
    )
    def test_images(
        self,
        images: tuple[object, ...],
        tiny_model: Path,
        version: str,
        batch: int,
        behaviour: dict[str, Any],
    ) -> None:
        """Rows are understood, answers as bytes and one by one are onnxruntime's."""
        standin = TensorFlowServing(tiny_model, **behaviour)
        [name] = standin.session.inputs
        with place_of(standin) as place:
            url = f"tfserving+grpc://{place}/m{version}"
            result = run(url, *images, "--batch", batch, "--input", name)

        target = result.target
        assert (target.kind, target.model) == ("tfserving", "m")
        assert target.details["model_versions"] == "1"
        told = behaviour.get("signature", "serving_default")
        assert target.details["signature"] == (
            told if behaviour.get("metadata", True) else "not told: not checked"
        )

    def test_refusals(self, sample: Path, tiny_model: Path) -> None:
        """What is not available, or has another signature or shape, is refused before any load."""
        data = ("--dataset", sample)
        standin = TensorFlowServing(tiny_model, signature="other")
        with place_of(standin) as place:
            url = f"tfserving+grpc://{place}/m"
            assert "GetModelStatus: GRPC 5 NOT_FOUND" in refused(f"{url[:-1]}n", *data).line
            assert "no signature serving_default, only other" in refused(url, *data).line
            standin.behaviour["state"] = LOADING
            assert "version 1 LOADING" in refused(url, *data).line

        assert f"{PREDICTIONS}Predict" not in standin.asked

    def test_metadata(self, images: tuple[object, ...], tiny_model: Path) -> None:
        """A header goes with every call, and a token that is refused is not repeated."""
        standin = TensorFlowServing(tiny_model, token="s3cret")  # repeats a wrong one alone
        with place_of(standin) as place:
            url = f"tfserving+grpc://{place}/m"
            result = run(url, *images, "--header", "Authorization: Bearer s3cret")
            wrong = refused(url, *images[:2], "--header", "Authorization: Bearer 0ther").err

        assert "0ther" not in wrong
        assert "PERMISSION_DENIED" in wrong
        assert "s3cret" not in str(result.config)

    def test_another_service(self, sample: Path, tiny_model: Path) -> None:
        """A gRPC server of another kind does not know the method."""
        with place_of(TorchServe(tiny_model)) as place:
            said = refused(f"tfserving+grpc://{place}/m", "--dataset", sample).line

        assert "GetModelStatus: GRPC 12 UNIMPLEMENTED" in said


class TestTorchServe:
    """``torchserve+grpc://``."""

    @pytest.mark.parametrize(("form", "raw"), [("raw", False), ("multipart", True)])
    def test_images(
        self, images: tuple[object, ...], tiny_model: Path, form: str, *, raw: bool
    ) -> None:
        """One input is ``data`` in both forms; a worker was seen to be ready."""
        standin = TorchServe(tiny_model, raw=raw)
        with place_of(standin) as place, TorchManagement("UNLOADING", "READY") as other:
            url = f"torchserve+grpc://{place}/m/1.0?management={other.place.rpartition(':')[2]}"
            result = run(url, *images, "--body", form)

        assert result.target.kind == "torchserve"
        assert result.target.details["readiness"] == "1 of 2 workers READY"

    def test_readiness(self, images: tuple[object, ...], tiny_model: Path) -> None:
        """No ready worker and no such model end the run; a closed management API is a warning."""
        data = images[:2]
        with place_of(TorchServe(tiny_model)) as place, TorchManagement("STARTING") as other:
            managed = f"?management={other.place.rpartition(':')[2]}"
            url = f"torchserve+grpc://{place}"
            assert "STARTING" in refused(f"{url}/m{managed}", *data).line
            assert "no such model" in refused(f"{url}/n{managed}", *data).line
            assert "NOT_FOUND: Model not found: n" in refused(f"{url}/n?management=1", *data).line
            silent = run(f"{url}/m?management=1", *images)

        assert "readiness-not-checked" in {w.code for w in silent.warnings}


@pytest.mark.skipif(not programs(), reason="needs redis-server or valkey-server")
def test_chain(tmp_path: Path) -> None:
    """Each transaction arrives with its own reference data, in every dialect and form."""
    build_fraud(FraudConfig(out=tmp_path / "cards", sample=20))
    model = tmp_path / "model.onnx"
    build_file("fraud", model)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(redis_running(programs()[0], tmp_path))
        typed, tensorflow, torchserve = (
            stack.enter_context(place_of(kind(model)))
            for kind in (TypedInference, TensorFlowServing, TorchServe)
        )
        options = (
            *("--workload", "fraud", "--dataset", tmp_path / "cards", "--model", model),
            *("--reference-from", f"redis://127.0.0.1:{port_of(client)}", "--pipeline", 2),
        )
        run(f"triton+grpc://{typed}/m", *options, "--body", "typed")
        run(f"tfserving+grpc://{tensorflow}/m", *options)
        for form in ("raw", "multipart"):
            url = f"torchserve+grpc://{torchserve}/m?management=1"
            result = run(url, *options, "--body", form)

    assert len(result.repetitions[0].steps) == 2
