"""``triton+grpc://``: the whole run against a stand-in on grpcio and protobuf's own library."""

# ruff: noqa: N802 - the methods of a gRPC service have its names

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import redis
from support.cli import Done, fastbench
from support.grpcserver import serving
from support.modelservers import Session
from support.oip_protobuf import oip, parsed
from support.redisserver import port_of, programs
from support.redisserver import running as redis_running

from fastbench.datasets.fraud import FraudConfig, build_fraud
from fastbench.models.builtin import build_file
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUESTS = 60
SERVICE = "/inference.GRPCInferenceService/"


class Standin:
    """Answers as the Open Inference Protocol has it, from a model in onnxruntime."""

    def __init__(self, model: Path, **behaviour: Any) -> None:
        self.session = Session(model)
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self._lock = threading.Lock()
        self._inferred = 0

    def __call__(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer one call."""
        method = path.removeprefix(SERVICE)
        answer = getattr(self, method, None)
        if answer is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no method {path}")
        return answer(request, context).SerializeToString()

    def ServerReady(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
        """Tell that the server is ready."""
        return oip("Ready", ready=self.behaviour.get("ready", True))

    def ServerMetadata(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
        """Tell what it is."""
        return oip(
            "ServerMetadataResponse", name="stand-in", version="1.2", extensions=["statistics"]
        )

    def ModelReady(self, request: bytes, _context: grpc.ServicerContext) -> Any:
        """Tell whether the model is ready; one that is not known is not, as Triton has it."""
        return oip("Ready", ready=parsed("ModelRequest", request).name == "m")

    def ModelMetadata(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Tell what it takes and gives."""
        if parsed("ModelRequest", request).name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
        kinds = [
            [{"name": n, "datatype": "FP32", "shape": s} for n, s in tensors.items()]
            for tensors in (self.session.inputs, self.session.outputs)
        ]
        return oip(
            "ModelMetadataResponse",
            name="m",
            versions=["1"],
            platform="onnx",
            inputs=kinds[0],
            outputs=kinds[1],
        )

    def ModelStatistics(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
        """Tell how often it inferred, 2 ms in the queue each time."""
        n = self._inferred
        return oip(
            "ModelStatisticsResponse",
            model_stats=[
                {
                    "inference_count": n,
                    "execution_count": n,
                    "inference_stats": {"queue": {"count": n, "ns": n * 2_000_000}},
                }
            ],
        )

    def ModelInfer(self, request: bytes, context: grpc.ServicerContext) -> Any:
        """Decode the tensors, run the model and answer with its outputs."""
        asked = parsed("ModelInferRequest", request)
        with self._lock:
            self.requests.append(request)
            self._inferred += 1
        if self._inferred > self.behaviour.get("fail_after", REQUESTS * 10):
            context.abort(grpc.StatusCode.INTERNAL, "out of memory")
        tensors = {
            tensor.name: np.frombuffer(raw, "<f4").reshape(tensor.shape)
            for tensor, raw in zip(asked.inputs, asked.raw_input_contents, strict=True)
        }
        found = self.session.run(tensors)
        names = [output.name for output in asked.outputs] or list(found)
        factor = self.behaviour.get("factor", 1)
        outputs = [{"name": name, "datatype": "FP32", "shape": found[name].shape} for name in names]
        raw = [(found[name] * factor).astype("<f4").tobytes() for name in names]
        return oip("ModelInferResponse", model_name="m", outputs=outputs, raw_output_contents=raw)


@contextlib.contextmanager
def standing_in(model: Path, **behaviour: Any) -> Iterator[tuple[Standin, str]]:
    """Yield the stand-in and the URL of its model."""
    standin = Standin(model, **behaviour)
    with serving(standin) as (host, port):
        yield standin, f"triton+grpc://{host}:{port}/m"


def run(url: str, *options: object) -> Done:
    """Run briefly."""
    short = ("--repetitions", 1, "--quiet", "--warmup", 0, "--requests", REQUESTS)
    return fastbench("run", url, *short, *options, "--format", "json")


def result_of(done: Done) -> Result:
    """Return the result of a run that went well."""
    assert done.code == 0, done.err
    return from_json(done.out.encode())


@pytest.mark.parametrize(("batch", "version", "pipeline"), [(1, "", 1), (3, "/1", 1), (2, "", 4)])
def test_images(sample: Path, tiny_model: Path, batch: int, version: str, pipeline: int) -> None:
    """Rows are understood, every sampled answer is onnxruntime's, the statistics are shown."""
    options = ("--dataset", sample, "--model", tiny_model, "--batch", batch, "--verify", 10)
    load = ("--connections", 2, "--pipeline", pipeline)
    with standing_in(tiny_model) as (standin, url):
        result = result_of(run(url + version, *options, *load))

    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (REQUESTS, REQUESTS)
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
    target = result.target
    assert (target.kind, target.protocol) == ("triton", "gRPC")
    assert (target.server, target.model, target.backend) == ("stand-in 1.2", "m", "onnx")
    metrics = repetition.server_metrics
    assert metrics is not None
    assert metrics.deltas["inference_count"] == REQUESTS
    assert metrics.deltas["queue_ns"] == REQUESTS * 2_000_000
    versions = {parsed("ModelInferRequest", r).model_version for r in standin.requests}
    assert versions == {version.removeprefix("/")}


def test_wrong_answers_are_told(sample: Path, tiny_model: Path) -> None:
    """A server that computes something else is found out by the first answer."""
    with standing_in(tiny_model, factor=2) as (_, url):
        done = run(url, "--dataset", sample, "--model", tiny_model, "--verify", 5)

    assert done.code == 1
    assert "differs from onnxruntime" in done.err


def test_errors_during_the_run(sample: Path, tiny_model: Path) -> None:
    """A status other than OK is counted by its name, with the server's words."""
    with standing_in(tiny_model, fail_after=11) as (_, url):
        result = result_of(run(url, "--dataset", sample))

    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.errors) == (10, REQUESTS - 10)
    [(name, error)] = repetition.counts.errors_by_class.items()
    assert (name, error.first_text) == ("GRPC 13 INTERNAL", "out of memory")


@pytest.mark.parametrize(
    ("change", "behaviour", "said"),
    [
        (
            lambda u: u[:-1] + "other",
            {},
            "ModelMetadata: GRPC 5 NOT_FOUND: Request for unknown model",
        ),
        (lambda u: u, {"ready": False}, "the server is not ready"),
        (lambda u: u, {"fail_after": 0}, "ModelInfer: GRPC 13 INTERNAL: out of memory"),
    ],
)
def test_what_cannot_be_run(
    sample: Path, tiny_model: Path, change: Any, behaviour: dict[str, Any], said: str
) -> None:
    """One line says what the server said, before any load."""
    with standing_in(tiny_model, **behaviour) as (_, url):
        done = run(change(url), "--dataset", sample)

    assert done.code == 1
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_rows_that_the_model_does_not_take(sample: Path, tiny_model: Path) -> None:
    """The shapes are compared before anything is sent."""

    class Other(Standin):
        def ModelMetadata(self, _request: bytes, _context: grpc.ServicerContext) -> Any:
            """Tell of another shape."""
            inputs = [{"name": "i", "datatype": "FP32", "shape": [-1, 3, 7, 7]}]
            return oip("ModelMetadataResponse", name="m", inputs=inputs)

    other = Other(tiny_model)
    with serving(other) as (host, port):
        done = run(f"triton+grpc://{host}:{port}/m", "--dataset", sample)

    assert done.code == 1
    assert "model m takes float32 Nx3x7x7" in done.err
    assert other.requests == []


def test_message_larger_than_the_server_takes(sample: Path, tiny_model: Path) -> None:
    """What the server says of it is told before any load."""
    with serving(Standin(tiny_model), max_receive_message_length=1000) as (host, port):
        done = run(f"triton+grpc://{host}:{port}/m", "--dataset", sample)

    assert done.code == 1
    assert "ModelInfer: GRPC 8 RESOURCE_EXHAUSTED: " in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_server_that_hangs_up() -> None:
    """A server that ends the connection at once may speak something else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(2):  # it is tried, and then asked
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        done = run(f"triton+grpc://127.0.0.1:{listener.getsockname()[1]}/m")
        thread.join()

    assert done.code == 1
    assert "does it speak gRPC there?" in done.err


def test_nobody_there() -> None:
    """A server that is absent is one line."""
    done = fastbench("run", "triton+grpc://127.0.0.1:9/m", "--repetitions", 1, "--requests", 1)

    assert done.code == 1
    assert "is the server running there?" in done.err


class TestFraud:
    """Card transactions, alone and with reference data that a chain gets."""

    @pytest.fixture
    def cards(self, tmp_path: Path) -> Path:
        """Return a few transactions with their reference data."""
        build_fraud(FraudConfig(out=tmp_path / "cards", sample=20))
        return tmp_path / "cards"

    def test_without_reference(self, cards: Path, tmp_path: Path) -> None:
        """The model of one input gets transactions, several at once."""
        model = tmp_path / "model.onnx"
        build_file("fraud_noreference", model)
        options = ("--workload", "fraud", "--dataset", cards, "--no-reference", "--verify", 10)
        with standing_in(model) as (_, url):
            result = result_of(run(url, *options, "--model", model, "--batch", 4))

        assert result.repetitions[0].counts.ok == REQUESTS

    @pytest.mark.skipif(not programs(), reason="needs redis-server or valkey-server")
    def test_chain(self, cards: Path, tmp_path: Path) -> None:
        """Each transaction has its own reference data; a value of another length is an error."""
        model = tmp_path / "model.onnx"
        build_file("fraud", model)
        with redis_running(programs()[0], tmp_path) as client, standing_in(model) as (_, url):
            place = f"redis://127.0.0.1:{port_of(client)}"
            options = ("--workload", "fraud", "--dataset", cards, "--reference-from", place)
            load = ("--connections", 2, "--pipeline", 3)
            checked = ("--model", model, "--verify", 10)
            good = result_of(run(url, *options, *load, *checked))
            redis.Redis.from_url(place).set("referenceBLOB:{7}", b"x" * 1020)
            spoilt = result_of(run(url, *options, *load))

        [repetition] = good.repetitions
        assert repetition.counts.ok == REQUESTS
        assert repetition.verification is not None
        assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
        counts = spoilt.repetitions[0].counts
        assert (counts.ok, counts.errors, counts.lost) == (57, 3, 0)
