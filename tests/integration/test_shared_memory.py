"""``--shm``: rows in system shared memory, read by stand-ins through the C library's shm_open."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.cli import Running, fastbench, running
from support.grpcserver import serving
from support.modelservers import OpenInference, Reply, Session
from support.oip_protobuf import oip, parsed
from support.sharedmemory import Regions

from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import grpc

REQUESTS = 40
EXTENSIONS = ("binary_tensor_data", "system_shared_memory")
SERVICE = "/inference.GRPCInferenceService/"


class Http(OpenInference):
    """A stand-in that opens regions and infers from them."""

    def __init__(self, model: Path) -> None:
        super().__init__(model, EXTENSIONS)
        self.regions = Regions()

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer what Triton's extension has, and the protocol."""
        found = re.fullmatch(r"/v2/systemsharedmemory/region/([^/]+)/(register|unregister)", path)
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


class Grpc:
    """The same over gRPC."""

    def __init__(self, model: Path) -> None:
        self.session = Session(model)
        self.regions = Regions()

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
            "ServerMetadata": oip("ServerMetadataResponse", name="s", extensions=EXTENSIONS),
            "ModelMetadata": oip(
                "ModelMetadataResponse", name="m", inputs=kinds[0], outputs=kinds[1]
            ),
        }
        return told[method].SerializeToString() if method in told else b""

    def _infer(self, asked: Any) -> bytes:
        [tensor] = asked.inputs
        where = {entry.key: entry.value for entry in tensor.parameters}
        raw = self.regions.read(
            where["shared_memory_region"].string_param,
            where["shared_memory_offset"].int64_param,
            where["shared_memory_byte_size"].int64_param,
        )
        found = self.session.run(
            {tensor.name: np.frombuffer(raw, "<f4").reshape(tuple(tensor.shape))}
        )
        [name] = [output.name for output in asked.outputs]
        output = {"name": name, "datatype": "FP32", "shape": found[name].shape}
        return oip(
            "ModelInferResponse", outputs=[output], raw_output_contents=[found[name].tobytes()]
        ).SerializeToString()


@contextlib.contextmanager
def standing_in(kind: str, model: Path) -> Iterator[tuple[Regions, str]]:
    """Yield what the stand-in of a kind holds, and the URL of its model."""
    if kind == "http":
        with Http(model) as server:
            yield server.regions, f"triton+http://{server.place}/m"
    else:
        grpc_server = Grpc(model)
        with serving(grpc_server) as (host, port):
            yield grpc_server.regions, f"triton+grpc://{host}:{port}/m"


def left_behind(regions: Regions) -> list[Path]:
    """Return what is still in /dev/shm of the regions that a server saw."""
    return [path for name in regions.seen if (path := Path("/dev/shm", name)).exists()]


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize(("batch", "pipeline"), [(1, 1), (3, 4)])
def test_rows_are_read_where_they_lie(
    kind: str, batch: int, pipeline: int, sample: Path, tiny_model: Path
) -> None:
    """Every answer is onnxruntime's to the row that was named; the result says what it is."""
    load = ("--batch", batch, "--connections", 2, "--pipeline", pipeline, "--requests", REQUESTS)
    told = ("--warmup", 0, "--repetitions", 1, "--quiet", "--format", "json")
    with standing_in(kind, tiny_model) as (regions, url):
        options = ("--dataset", sample, "--model", tiny_model, "--shm", "--verify", "all")
        done = fastbench("run", url, *options, *load, *told)

        assert done.code == 0, done.err
        assert (len(regions.seen), regions.held, left_behind(regions)) == (1, [], [])
    result: Result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert repetition.verification is not None
    assert (repetition.counts.ok, repetition.verification.checked) == (REQUESTS, REQUESTS)
    assert repetition.verification.mismatches == 0
    assert regions.reads >= REQUESTS
    assert result.config["shm"] is True
    assert result.target.details["shared_memory"].endswith(
        "do not cross the connection; answers do"
    )
    assert result.verdict is not None
    [note] = [e for e in result.verdict.evidence if e.name == "placement"]
    assert "shared memory" in note.figure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: int, sample: Path, tiny_model: Path) -> None:
    """Ctrl-C in the middle leaves nothing, neither in the server nor in /dev/shm."""
    with standing_in("http", tiny_model) as (regions, url), long_run(url, sample) as run:
        run.wait_until(lambda: regions.reads > REQUESTS)
        run.process.send_signal(number)
        run.end()

        assert (len(regions.seen), regions.held, left_behind(regions)) == (1, [], [])


def test_killed(sample: Path, tiny_model: Path) -> None:
    """Even SIGKILL leaves no name in /dev/shm, where memory would stay until a reboot."""
    with standing_in("http", tiny_model) as (regions, url), long_run(url, sample) as run:
        run.wait_until(lambda: regions.reads > REQUESTS)
        run.process.kill()
        run.end()

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
