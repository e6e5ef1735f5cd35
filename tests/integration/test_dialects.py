"""Model servers by name over HTTP: the whole run against stand-ins that decode what they get."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import redis
from support.cli import Done, fastbench
from support.modelservers import (
    OpenInference,
    Reply,
    TensorFlowServing,
    TorchInference,
    TorchManagement,
)
from support.redisserver import port_of, programs
from support.redisserver import running as redis_running

from fastbench.datasets.base import open_dataset
from fastbench.datasets.fraud import FraudConfig, build_fraud
from fastbench.models.builtin import build_file
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fastbench.datasets.fraud import FraudDataset

TRITON = ("binary_tensor_data", "statistics", "classification")
REQUESTS = 20
FRAUD = "fraud"


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> FraudDataset:
    """Return a few transactions with their reference data."""
    out = tmp_path_factory.mktemp("cards") / "set"
    return build_fraud(FraudConfig(out=out, sample=50))


@pytest.fixture(scope="module")
def fraud_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of the fraud models, with reference data and without."""
    folder = tmp_path_factory.mktemp("models")
    found = {name: folder / f"{name}.onnx" for name in ("fraud", "fraud_noreference")}
    for name, path in found.items():
        build_file(name, path)
    return found


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a real Redis."""
    if not programs():
        pytest.skip("neither redis-server nor valkey-server is installed")
    with redis_running(programs()[0], tmp_path) as client:
        yield f"redis://127.0.0.1:{port_of(client)}"


def run(url: str, *options: object, requests: int = REQUESTS) -> Result:
    """Run briefly; every inference must succeed and every sampled answer be onnxruntime's."""
    short = ("--repetitions", 1, "--quiet", "--warmup", 0, "--requests", requests)
    done = fastbench("run", url, *short, *options, "--format", "json", "--verify", 10)
    assert done.code == 0, done.err
    result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (requests, requests)
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
    return result


def refused(url: str, *options: object) -> Done:
    """Run where that cannot be."""
    done = fastbench("run", url, "--repetitions", 1, "--requests", 1, *options)
    assert done.code in {1, 2}, done.out
    return done


def images(sample: Path, tiny_model: Path) -> tuple[object, ...]:
    """Return the options of a vision run."""
    return ("--dataset", sample, "--model", tiny_model)


class Both(OpenInference):
    """A server that takes plain bytes too."""

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer these with nothing."""
        if path == "/plain":
            return Reply(b"")
        return super().answer(method, path, fields, body)


class TestTriton:
    """The Open Inference Protocol v2."""

    @pytest.mark.parametrize(
        ("body", "batch", "version"), [("raw", 1, ""), ("raw", 3, "/1"), ("json", 2, "")]
    )
    def test_images(
        self, sample: Path, tiny_model: Path, body: str, batch: int, version: str
    ) -> None:
        """Bytes and JSON are understood, and the server's statistics stand in the result."""
        with OpenInference(tiny_model, TRITON) as server:
            url = f"triton+http://{server.place}/m{version}"
            vision = images(sample, tiny_model)
            result = run(url, *vision, "--batch", batch, "--body", body, "--connections", 2)

        target = result.target
        assert (target.kind, target.server, target.model) == ("triton", "stand-in 1.2", "m")
        assert target.backend == "onnx"
        assert target.details["body"] == body
        metrics = result.repetitions[0].server_metrics
        assert metrics is not None
        assert metrics.deltas["execution_count"] == REQUESTS
        assert metrics.deltas["inference_count"] == REQUESTS * batch
        assert metrics.deltas["queue_ns"] == 2_000_000 * REQUESTS * batch

    def test_beside_a_stream_that_cannot_ask(
        self, sample: Path, tiny_model: Path, tmp_path: Path
    ) -> None:
        """A stream of plain REST to the same server does not cost it the statistics."""
        config = tmp_path / "run.toml"
        with Both(tiny_model, TRITON) as server:
            config.write_text(
                f"dataset = {str(sample)!r}\nmodel = {str(tiny_model)!r}\n"
                f"[[stream]]\nname = 'rest'\ntarget = 'rest://{server.place}/plain'\n"
                f"[[stream]]\nname = 'oip'\ntarget = 'triton+http://{server.place}/m'\n"
                f"[[stream]]\nname = 'first'\ntarget = 'triton+http://{server.place}/m/1'\n"
            )
            short = ("--repetitions", 1, "--quiet", "--warmup", 0, "--requests", REQUESTS)
            done = fastbench("run", "--config", config, *short, "--format", "json")

        assert done.code == 0, done.err
        metrics = from_json(done.out.encode()).repetitions[0].server_metrics
        assert metrics is not None
        assert metrics.unavailable == ""
        assert metrics.deltas["execution_count"] == 2 * REQUESTS

    def test_bytes_of_a_request(self, sample: Path, tiny_model: Path) -> None:
        """The engine sends the JSON of the binary extension and the row, byte for byte."""
        with OpenInference(tiny_model, TRITON) as server:
            run(f"triton+http://{server.place}/m", *images(sample, tiny_model))
            fields, body = server.bodies[0]

        [name], [output] = server.session.inputs, server.session.outputs
        head = (
            f'{{"id":"1","inputs":[{{"name":"{name}","shape":[1,224,224,3],"datatype":"FP32",'
            '"parameters":{"binary_data_size":602112}}],'
            '"outputs":[{"name":"OUTPUT","parameters":{"binary_data":true}}]}'
        ).replace("OUTPUT", output)
        rows = open_dataset(sample).array()
        assert fields["Inference-Header-Content-Length"] == str(len(head))
        assert body[: len(head)] == head.encode()
        assert body[len(head) :] == rows[0].tobytes()
        sent = [b for _, b in server.bodies[1:]]  # what came before was the first inference
        assert set(sent) == {head.encode() + row.tobytes() for row in rows}

    def test_report_shows_queue_and_execution(self, sample: Path, tiny_model: Path) -> None:
        """Queue and execution of the server stand beside the client's service time."""
        with OpenInference(tiny_model, TRITON) as server:
            done = fastbench(
                *("run", f"triton+http://{server.place}/m", *images(sample, tiny_model)),
                *("--requests", 20, "--repetitions", 1, "--warmup", 0, "--quiet"),
            )

        assert done.code == 0, done.err
        head = done.out.index("server, by its own account")
        for label in ("samples/execution", "queue mean, ms", "execution mean, ms"):
            assert label in done.out[head:]

    def test_without_extensions(self, sample: Path, tiny_model: Path) -> None:
        """Such a server gets bytes only where that is asked for, and is not asked for figures."""
        with OpenInference(tiny_model, ()) as server:
            url, vision = f"triton+http://{server.place}/m", images(sample, tiny_model)
            line = refused(url, *vision).line
            result = run(url, *vision, "--body", "json")
            run(url, *vision, "--body", "raw")

        assert "does not announce the extension binary_tensor_data: use --body json" in line
        assert result.repetitions[0].server_metrics is None
        assert not [path for _, path in server.asked if path.endswith("/stats")]

    @pytest.mark.parametrize(
        ("path", "words"),
        [("/v2/health/ready", "the server is not ready"), ("/v2/models/m/ready", "model m is not")],
    )
    def test_what_is_not_ready(self, tiny_model: Path, path: str, words: str) -> None:
        """A server or a model that is not ready gets no inference."""
        with OpenInference(tiny_model, TRITON) as server:
            server.states[path] = 503
            line = refused(f"triton+http://{server.place}/m").line

        assert words in line
        assert "503" in line
        assert not [path for _, path in server.asked if path.endswith("/infer")]

    def test_what_does_not_fit(self, sample: Path, tiny_model: Path) -> None:
        """Another layout, type, or number of inputs ends in one line that says what to do."""
        with OpenInference(tiny_model, TRITON) as server:
            url = f"triton+http://{server.place}/m"
            [tensor] = server.inputs
            lines = []
            for change in (
                {"shape": [-1, 3, 224, 224]},
                {"datatype": "UINT8"},
                {"shape": [-1, 30]},
            ):
                server.inputs = [tensor | change]
                lines.append(refused(url, "--dataset", sample).line)
            server.inputs = [tensor, tensor]
            lines.append(refused(url, "--dataset", sample).line)

        assert "it takes NCHW, the rows are NHWC" in lines[0]
        assert "--layout nchw" in lines[0]
        assert "takes uint8" in lines[1]
        assert "float32 1x224x224x3" in lines[2]
        assert "takes 2 inputs" in lines[3]
        assert server.bodies == []

    def test_no_such_model(self, tiny_model: Path) -> None:
        """An unknown model, or a server without this protocol, is said to be that."""
        with OpenInference(tiny_model, TRITON) as server:
            line = refused(f"triton+http://{server.place}/n").line
            assert "does not know model n: GET /v2/models/n was answered 404" in line
        with TensorFlowServing(tiny_model) as other:
            assert "/v2/health/ready" in refused(f"triton+http://{other.place}/m").line


class TestTensorFlowServing:
    """TensorFlow Serving's REST API."""

    @pytest.mark.parametrize("body", ["json", "json-columns"])
    @pytest.mark.parametrize("metadata", [True, False])
    def test_images(self, sample: Path, tiny_model: Path, body: str, *, metadata: bool) -> None:
        """Rows and columns are answered rightly, with the signature told or not."""
        with TensorFlowServing(tiny_model, metadata=metadata) as server:
            url = f"tfserving+http://{server.place}/m/1"
            result = run(url, *images(sample, tiny_model), "--body", body, "--batch", 2)

        assert (result.target.kind, result.target.model) == ("tfserving", "m")
        assert ("not checked" in result.target.details["signature"]) != metadata

    @pytest.mark.parametrize("body", ["json", "json-columns"])
    def test_signature(self, sample: Path, tiny_model: Path, body: str) -> None:
        """The signature that the URL names is checked, and named in each request."""
        with TensorFlowServing(tiny_model) as server:
            server.signature = 'a"b'
            url = f"tfserving+http://{server.place}/m?signature=a%22b"
            result = run(url, *images(sample, tiny_model), "--body", body)

        assert result.target.details["signature"] == 'a"b'

    def test_refusals(self, sample: Path, tiny_model: Path) -> None:
        """What is not available, has another signature or no bytes is refused in one line."""
        with TensorFlowServing(tiny_model) as server:
            url = f"tfserving+http://{server.place}/m"
            assert "404" in refused(f"tfserving+http://{server.place}/n").line
            assert "must be one of json, json-columns" in refused(url, "--body", "raw").line
            server.signature = "other"
            assert "no signature serving_default, only other" in refused(url).line
            server.state = "LOADING"
            assert "version 1 LOADING" in refused(url, "--dataset", sample).line


class TestTorchServe:
    """TorchServe's inference and management APIs."""

    @pytest.mark.parametrize("body", ["raw", "json", "multipart"])
    def test_images(self, sample: Path, tiny_model: Path, body: str) -> None:
        """Each form of body is understood; a worker was seen to be ready."""
        with TorchInference(tiny_model) as server, TorchManagement("UNLOADING", "READY") as other:
            port = other.place.rpartition(":")[2]
            url = f"torchserve://{server.place}/m/1.0?management={port}"
            result = run(url, *images(sample, tiny_model), "--body", body)

        details = result.target.details
        assert details["readiness"] == "1 of 2 workers READY"
        assert details["server_batch_delay_ms"] == "100"
        assert "readiness-not-checked" not in {w.code for w in result.warnings}

    def test_readiness(self, sample: Path, tiny_model: Path) -> None:
        """No ready worker and no such model end the run; a closed management API is a warning."""
        vision = images(sample, tiny_model)
        with TorchInference(tiny_model) as server, TorchManagement("STARTING") as other:
            managed = f"?management={other.place.rpartition(':')[2]}"
            assert "STARTING" in refused(f"torchserve://{server.place}/m{managed}").line
            assert "no such model" in refused(f"torchserve://{server.place}/n{managed}").line
            other.status = 400
            refusing = run(f"torchserve://{server.place}/m{managed}", *vision)
            silent = run(f"torchserve://{server.place}/m?management=1", *vision)

        for result, why in ((refusing, "answered 400"), (silent, "does not answer")):
            assert why in result.target.details["readiness"]
            assert "readiness-not-checked" in {w.code for w in result.warnings}


class TestFraud:
    """Card transactions, with reference data by a chain and without."""

    def test_without_reference(self, cards: FraudDataset, fraud_models: dict[str, Path]) -> None:
        """The model of one input gets transactions, several at once too, in every dialect."""
        options = ("--workload", FRAUD, "--dataset", cards.path, "--no-reference")
        model = fraud_models["fraud_noreference"]
        with OpenInference(model, TRITON) as server:
            run(f"triton+http://{server.place}/m", *options, "--batch", 4)
            run(f"triton+http://{server.place}/m", *options, "--body", "json")
        with TensorFlowServing(model) as server:
            run(f"tfserving+http://{server.place}/m", *options, "--batch", 4)
        with TorchInference(model) as server:
            url = f"torchserve://{server.place}/m?management=1"
            for body in ("raw", "json", "multipart"):
                run(url, *options, "--body", body)
            run(f"rest://{server.place}/predictions/m", *options, "--body", "json")

    @pytest.mark.parametrize("close_every", [0, 7])
    def test_chain_to_triton(
        self,
        cards: FraudDataset,
        fraud_models: dict[str, Path],
        redis_url: str,
        close_every: int,
    ) -> None:
        """Each transaction arrives with its own reference data, also over closing connections."""
        options = ("--workload", FRAUD, "--dataset", cards.path, "--reference-from", redis_url)
        with OpenInference(fraud_models["fraud"], TRITON) as server:
            server.inputs.reverse()  # names decide, not the order
            server.close_every = close_every
            url = f"triton+http://{server.place}/m"
            result = run(url, *options, "--connections", 2, requests=60)

        [repetition] = result.repetitions
        assert [step.target for step in repetition.steps] == [redis_url, url]
        assert result.target.details["fetched_from"] == redis_url
        assert "50 rows sent" in result.target.details["references"]
        transactions = np.load(cards.transactions.data_path)
        references = np.load(cards.references.data_path)
        pairs = {transactions[i].tobytes() + references[i].tobytes() for i in range(50)}
        assert {body[-30 * 4 - 1024 :] for _, body in server.bodies[1:]} == pairs

    @pytest.mark.parametrize("body", ["raw", "multipart"])
    def test_chain_by_bytes(
        self,
        cards: FraudDataset,
        fraud_models: dict[str, Path],
        redis_url: str,
        body: str,
    ) -> None:
        """TorchServe and plain servers get both inputs, one after the other or as a form."""
        options = ("--workload", FRAUD, "--dataset", cards.path, "--reference-from", redis_url)
        with TorchInference(fraud_models["fraud"]) as server:
            torch = f"torchserve://{server.place}/m?management=1"
            run(torch, *options, "--body", body, "--pipeline", 2)
            run(f"rest://{server.place}/predictions/m", *options, "--body", body)

    def test_wrong_lengths_are_errors(
        self, cards: FraudDataset, fraud_models: dict[str, Path], redis_url: str
    ) -> None:
        """A value of another length breaks no framing: it is refused, the next one is right."""
        options = ("--workload", FRAUD, "--dataset", cards.path, "--reference-from", redis_url)
        short = ("--repetitions", 1, "--quiet", "--warmup", 0, "--requests", 50, "--format", "json")
        with OpenInference(fraud_models["fraud"], TRITON) as server:
            url = f"triton+http://{server.place}/m"
            run(url, *options)
            redis.Redis.from_url(redis_url).set("referenceBLOB:{7}", b"x" * 1020)
            done = fastbench("run", url, *options, *short)

        counts = json.loads(done.out)["repetitions"][0]["counts"]
        assert (counts["ok"], counts["errors"], counts["lost"]) == (49, 1, 0)

    @pytest.mark.parametrize(
        ("url", "options", "words"),
        [
            ("rest://h/p", (), "give --reference-from URL or --no-reference"),
            ("triton+http://h/m", ("--body", "json"), "use --body raw, or --no-reference"),
            ("tfserving+http://h/m", (), "stand in no JSON; use --no-reference"),
            ("torchserve://h/m", ("--body", "json"), "use --body raw or multipart, or"),
        ],
    )
    def test_what_cannot_be(self, url: str, options: tuple[object, ...], words: str) -> None:
        """Reference data that nobody holds, or that cannot stand in JSON, are refused."""
        chain = ("--reference-from", "redis://h") if url != "rest://h/p" else ()
        done = refused(url, "--workload", FRAUD, *options, *chain)

        assert done.code == 2
        assert words in done.line
