"""``--shm``: rows and outputs in system shared memory; stand-ins open it by the C library."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.cli import Done, Running, fastbench, running
from support.grpcserver import serving
from support.modelservers import OpenInference, Reply, Session
from support.oip_protobuf import oip, parsed
from support.sharedmemory import Regions

from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import grpc
    from support.modelservers import Tensors

REQUESTS = 40
EXTENSIONS = ("binary_tensor_data", "system_shared_memory")
CONFIGURATION = "model_configuration"
MAX_BATCH = 8
SAMPLE_ROWS, ROW_BYTES, ANSWER_BYTES = 8, 224 * 224 * 3 * 4, 3 * 4
#: What of a result's details is about outputs.
TOLD = ("shared_memory_outputs", "connection_outputs", "verified_in_place")
SERVICE = "/inference.GRPCInferenceService/"


class Http(OpenInference):
    """A stand-in that opens regions, infers from them, and puts outputs there.

    ``config``: whether it tells that the first dimension is the batch. ``puts``: whether it puts
    outputs where it is told to.
    """

    def __init__(self, model: Path, *, config: bool = False, puts: bool = True) -> None:
        super().__init__(model, (*EXTENSIONS, *[CONFIGURATION] * config))
        self.regions, self.puts = Regions(), puts
        self.changed: list[int] = []  # rows whose answers are wrong

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer what Triton's extension has, and the protocol."""
        found = re.fullmatch(r"/v2/systemsharedmemory/region/([^/]+)/(register|unregister)", path)
        if path == "/v2/models/m/config":
            return Reply({"max_batch_size": MAX_BATCH})
        if found is None:
            return super().answer(method, path, fields, self._placed(path, body))
        if found[2] == "unregister":
            kept = not self.regions.unregister(found[1])
            return Reply({"error": "currently in use"}, 400) if kept else Reply()
        about = json.loads(body)
        assert about["offset"] == 0
        self.regions.register(found[1], about["key"], about["byte_size"])
        return Reply()

    def _placed(self, path: str, body: bytes) -> bytes:
        """Return the body of an inference with the bytes that it names in place."""
        if not path.endswith("/infer"):
            return body
        head = json.loads(body)
        [tensor] = head["inputs"]
        where = tensor.pop("parameters")
        name, size = where["shared_memory_region"], where["shared_memory_byte_size"]
        raw = self.regions.read(name, where["shared_memory_offset"], size)
        tensor["data"] = np.frombuffer(raw, "<f4").tolist()
        return json.dumps(head).encode()

    def _infer(self, _fields: Mapping[str, str], body: bytes) -> Reply:
        return super()._infer({}, body)

    def _reply(self, head: dict[str, Any], found: Tensors) -> Reply:
        """Put what is wanted in a region there, and say no more of it than Triton does."""
        [wanted] = head["outputs"]
        where = wanted.get("parameters", {})
        if "shared_memory_region" not in where or not self.puts:
            return super()._reply(head, found)
        values = found[wanted["name"]].astype("<f4")
        put(self.regions, where, values, self.changed)
        output = {"name": wanted["name"], "datatype": "FP32", "shape": [*values.shape]}
        return Reply({"model_name": "m", "outputs": [output]})


def put(
    regions: Regions, where: Mapping[str, Any], values: np.ndarray[Any, Any], changed: list[int]
) -> None:
    """Write an output into its place, as large as was told; other numbers for ``changed`` rows."""
    assert values.nbytes == where["shared_memory_byte_size"]
    offset = where["shared_memory_offset"]
    row = (offset - SAMPLE_ROWS * ROW_BYTES) / ANSWER_BYTES
    data = (values + 1 if row in changed else values).tobytes()
    regions.write(where["shared_memory_region"], offset, data)


class Grpc:
    """The same over gRPC."""

    def __init__(self, model: Path, *, config: bool = False) -> None:
        self.session = Session(model)
        self.regions = Regions()
        self.extensions = (*EXTENSIONS, *[CONFIGURATION] * config)
        self.changed: list[int] = []

    def __call__(self, path: str, request: bytes, _context: grpc.ServicerContext) -> bytes:
        """Answer one call."""
        method = path.removeprefix(SERVICE)
        if method == "ModelInfer":
            return self._infer(parsed("ModelInferRequest", request))
        if method == "SystemSharedMemoryRegister":
            asked = parsed("RegisterRequest", request)
            self.regions.register(asked.name, asked.key, asked.byte_size)
        if method == "SystemSharedMemoryUnregister":
            self.regions.unregister(parsed("UnregisterRequest", request).name)
        kinds = [
            [{"name": n, "datatype": "FP32", "shape": s} for n, s in tensors.items()]
            for tensors in (self.session.inputs, self.session.outputs)
        ]
        told = {
            "ServerReady": oip("Ready", ready=True),
            "ModelReady": oip("Ready", ready=True),
            "ServerMetadata": oip("ServerMetadataResponse", name="s", extensions=self.extensions),
            "ModelConfig": oip("ModelConfigResponse", config={"max_batch_size": MAX_BATCH}),
            "ModelMetadata": oip(
                "ModelMetadataResponse", name="m", inputs=kinds[0], outputs=kinds[1]
            ),
        }
        return told[method].SerializeToString() if method in told else b""

    def _infer(self, asked: Any) -> bytes:
        [tensor] = asked.inputs
        where = _parameters(tensor)
        raw = self.regions.read(
            where["shared_memory_region"],
            where["shared_memory_offset"],
            where["shared_memory_byte_size"],
        )
        found = self.session.run(
            {tensor.name: np.frombuffer(raw, "<f4").reshape(tuple(tensor.shape))}
        )
        [wanted] = asked.outputs
        values = found[wanted.name]
        data = values.tobytes()
        if wanted.parameters:
            put(self.regions, _parameters(wanted), values, self.changed)
            data = b""  # so does Triton
        output = {"name": wanted.name, "datatype": "FP32", "shape": values.shape}
        return oip(
            "ModelInferResponse", outputs=[output], raw_output_contents=[data]
        ).SerializeToString()


def _parameters(tensor: Any) -> dict[str, Any]:
    return {e.key: e.value.string_param or e.value.int64_param for e in tensor.parameters}


@contextlib.contextmanager
def standing_in(
    kind: str, model: Path, *, config: bool = False
) -> Iterator[tuple[Http | Grpc, str]]:
    """Yield the stand-in of a kind, and the URL of its model."""
    if kind == "http":
        with Http(model, config=config) as server:
            yield server, f"triton+http://{server.place}/m"
    else:
        grpc_server = Grpc(model, config=config)
        with serving(grpc_server) as (host, port):
            yield grpc_server, f"triton+grpc://{host}:{port}/m"


def left_behind(regions: Regions) -> list[Path]:
    """Return what is still in /dev/shm of the regions that a server saw."""
    return [path for name in regions.seen if (path := Path("/dev/shm", name)).exists()]


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize(("batch", "pipeline"), [(1, 1), (3, 4)])
def test_rows_are_read_where_they_lie(
    kind: str, batch: int, pipeline: int, sample: Path, tiny_model: Path
) -> None:
    """Every answer is onnxruntime's to the row that was named; the result says what it is.

    Without a configuration nobody knows how long an output is: it comes back over the connection.
    """
    with standing_in(kind, tiny_model) as (server, url):
        result = verified(url, sample, tiny_model, batch, pipeline)
        regions = server.regions

        assert (len(regions.seen), regions.held, left_behind(regions)) == (1, [], [])
    assert regions.reads >= REQUESTS
    assert result.config["shm"] is True
    details = result.target.details
    assert details["shared_memory"].endswith("do not cross the connection; 0 bytes for outputs")
    [name] = server.session.outputs
    assert [details.get(key) for key in TOLD] == ["none", f"{name} (of any size)", None]
    assert "which rows do not leave: shared memory" in placement(result)


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize(("batch", "pipeline"), [(1, 1), (2, 8), (3, 4)])
def test_outputs_are_put_where_they_belong(
    kind: str, batch: int, pipeline: int, sample: Path, tiny_model: Path
) -> None:
    """Each row's place holds onnxruntime's answer to it, with more in flight than there are rows.

    What never was asked for holds nothing, and the result says what lies where.
    """
    with standing_in(kind, tiny_model, config=True) as (server, url):
        result = verified(url, sample, tiny_model, batch, pipeline)
        regions = server.regions

        assert (len(regions.seen), regions.held, left_behind(regions)) == (1, [], [])
    [region] = regions.last.values()
    found = region[SAMPLE_ROWS * ROW_BYTES :]
    asked = SAMPLE_ROWS // batch * batch  # rows, by whole inferences
    for row in range(0, asked, batch):
        inputs = region[row * ROW_BYTES : (row + batch) * ROW_BYTES]
        answer = np.frombuffer(found[row * ANSWER_BYTES : (row + batch) * ANSWER_BYTES], "<f4")
        np.testing.assert_array_equal(answer, server.session.run_bytes(inputs).ravel())
    assert found[asked * ANSWER_BYTES :] == b"\xff" * ANSWER_BYTES * (SAMPLE_ROWS - asked)
    [output] = server.session.outputs
    assert [result.target.details.get(key) for key in TOLD] == [
        f"{output} ({batch * ANSWER_BYTES} bytes an inference)",
        None,
        "what lies at the row of a reply when it is looked at",
    ]
    assert "which rows and outputs do not leave: shared memory" in placement(result)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_wrong_outputs_in_shared_memory(kind: str, sample: Path, tiny_model: Path) -> None:
    """Whatever lies in the places of two rows is found, and both are named."""
    with standing_in(kind, tiny_model, config=True) as (server, url):
        server.changed = [2, 5]
        found = run(url, "--dataset", sample, "--model", tiny_model, "--shm", "--verify", "all")

    assert found.code == 1
    [repetition] = from_json(found.out.encode()).repetitions
    assert repetition.verification is not None
    assert repetition.verification.checked == REQUESTS
    assert repetition.verification.mismatches == REQUESTS // SAMPLE_ROWS * 2
    assert repetition.verification.mismatched_rows == [2, 5]


@pytest.mark.parametrize("puts", [False, True])
def test_server_that_does_not_put_outputs(puts: bool, sample: Path, tiny_model: Path) -> None:
    """What comes over the connection, or nowhere at all, ends the run in one line."""
    with Http(tiny_model, config=True, puts=puts) as server:
        server.regions.write = lambda *_: None
        options = ("--model", tiny_model, "--shm", "--verify", "all")
        done = run(f"triton+http://{server.place}/m", "--dataset", sample, *options)

        assert (len(server.regions.seen), server.regions.held) == (1, [])
    assert done.code == 1
    said = "the server's answer differs from onnxruntime's by inf"
    assert (said if puts else "over the connection, although it was told to") in done.line


def run(url: str, *options: object) -> Done:
    """Run briefly, one repetition."""
    load = ("--connections", 2, "--requests", REQUESTS, "--warmup", 0, "--repetitions", 1)
    quiet = ("--quiet", "--calibrate", "never", "--format", "json")
    return fastbench("run", url, *load, *quiet, *options)


def verified(url: str, sample: Path, model: Path, batch: int, pipeline: int) -> Result:
    """Run, every answer compared with onnxruntime's and right."""
    options = ("--dataset", sample, "--model", model, "--shm", "--verify", "all")
    done = run(url, *options, "--batch", batch, "--pipeline", pipeline)
    assert done.code == 0, done.err
    result: Result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert repetition.verification is not None
    assert (repetition.counts.ok, repetition.verification.checked) == (REQUESTS, REQUESTS)
    assert repetition.verification.mismatches == 0
    return result


def placement(result: Result) -> str:
    """Return what the verdict says of client and server."""
    assert result.verdict is not None
    [note] = [e for e in result.verdict.evidence if e.name == "placement"]
    return note.figure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: int, sample: Path, tiny_model: Path) -> None:
    """Ctrl-C in the middle leaves nothing, neither in the server nor in /dev/shm."""
    with (
        standing_in("http", tiny_model, config=True) as (server, url),
        long_run(url, sample) as process,
    ):
        regions = server.regions
        process.wait_until(lambda: regions.reads > REQUESTS)
        process.process.send_signal(number)
        process.end()

        assert (len(regions.seen), regions.held, left_behind(regions)) == (1, [], [])


def test_killed(sample: Path, tiny_model: Path) -> None:
    """Even SIGKILL leaves no name in /dev/shm, where memory would stay until a reboot."""
    with (
        standing_in("http", tiny_model, config=True) as (server, url),
        long_run(url, sample) as process,
    ):
        regions = server.regions
        process.wait_until(lambda: regions.reads > REQUESTS)
        process.process.kill()
        process.end()

        assert (len(regions.seen), left_behind(regions)) == (1, [])


def long_run(url: str, sample: Path) -> contextlib.AbstractContextManager[Running]:
    """Start a run that does not end by itself."""
    options = ("--dataset", sample, "--shm", "--duration", 600, "--quiet", "--calibrate", "never")
    return running("run", url, *options)


def test_server_without_the_extension(sample: Path, tiny_model: Path) -> None:
    """It is told in one line, before anything is sent."""
    with OpenInference(tiny_model, EXTENSIONS[:1]) as server:
        done = fastbench("run", f"triton+http://{server.place}/m", "--dataset", sample, "--shm")

    assert done.code == 1
    assert "does not announce the extension system_shared_memory: leave out --shm" in done.err
    assert len(done.err.strip().splitlines()) == 1
