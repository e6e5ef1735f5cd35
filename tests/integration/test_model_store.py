"""What reaches a RedisAI server when a model is stored: the words, for every kind of file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.fakeserver import FakeServer, Reply, Request

from fastbench.models.builtin import build_file
from fastbench.models.loading import load_model
from fastbench.models.script import Script
from fastbench.servers import redis_server
from fastbench.servers.redisai import RedisAI
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.models.base import Model

TFLITE = b"\0\0\0\0TFL3 and so on"
TORCH = b"PK\x03\x04 and so on"
GRAPH = b"a frozen graph"


class Recorder:
    """Answers as an empty RedisAI does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, ...]] = []

    def __call__(self, request: Request) -> Reply:
        """Answer one command."""
        self.asked.append(request.words)
        name = request.words[0].upper()
        if name == b"PING":
            return Reply(b"+PONG\r\n")
        if name == b"INFO":
            return Reply(b"$22\r\nredis_version:7.0.15\r\n\r\n")
        if name == b"AI.MODELGET":
            return Reply(b"-ERR model key is empty\r\n")
        return Reply()

    def stores(self) -> list[tuple[bytes, ...]]:
        """Return the commands that store something."""
        return [words for words in self.asked if b"STORE" in words[0] or words[0].endswith(b"SET")]


def stored(action: Any) -> list[bytes]:
    """Do ``action`` with a server and return the one command by which it stored something."""
    recorder = Recorder()
    with FakeServer(recorder) as fake:
        host, port = fake.address[:2]
        with RedisAI(parse_target(f"redisai://{host}:{port}")) as server:
            action(server)
    (words,) = recorder.stores()
    return list(words)


def model_of(tmp_path: Path, backend: str) -> Model:
    """Return a model of each kind as a run takes it from its options."""
    if backend == "ONNX":
        build_file("mean_rgb_224", tmp_path / "net.onnx")
        return load_model(str(tmp_path / "net.onnx"))
    name, content = {
        "TF": ("net.pb", GRAPH),
        "TFLITE": ("net.tflite", TFLITE),
        "TORCH": ("net.pt", TORCH),
    }[backend]
    (tmp_path / name).write_bytes(content)
    tensors = ("input",), ("MobilenetV1/Predictions/Reshape_1",)
    return load_model(str(tmp_path / name), None, *tensors)


@pytest.mark.parametrize(
    ("device", "spelt"), [("cpu", b"CPU"), ("gpu", b"GPU"), ("gpu:1", b"GPU:1")]
)
@pytest.mark.parametrize("backend", ["TF", "TFLITE", "TORCH", "ONNX"])
def test_store(tmp_path: Path, backend: str, device: str, spelt: bytes) -> None:
    """Tensors are named for TF, which requires it, and for no other, which would refuse it."""
    model = model_of(tmp_path, backend)
    names = b"INPUTS 1 input OUTPUTS 1 MobilenetV1/Predictions/Reshape_1".split()

    words = stored(lambda server: server.load(model, device))

    assert words == [
        *(b"AI.MODELSTORE", b"fastbench:net", backend.encode(), spelt),
        *(names if backend == "TF" else []),
        *(b"BLOB", model.path.read_bytes()),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch": 8}, "BATCHSIZE 8"),
        ({"batch": 8, "min_batch": 4}, "BATCHSIZE 8 MINBATCHSIZE 4"),
        (
            {"batch": 8, "min_batch": 4, "min_batch_timeout_ms": 20},
            "BATCHSIZE 8 MINBATCHSIZE 4 MINBATCHTIMEOUT 20",
        ),
    ],
)
@pytest.mark.parametrize("backend", ["TF", "ONNX"])
def test_store_with_batching(
    tmp_path: Path, backend: str, options: dict[str, int], expected: str
) -> None:
    """Batching stands before the names, in the only order that RedisAI takes."""
    model = model_of(tmp_path, backend)

    words = stored(lambda server: server.load(model, "cpu", **options))

    assert words[4 : 4 + len(expected.split())] == expected.encode().split()
    assert words[4 + len(expected.split())] == (b"INPUTS" if backend == "TF" else b"BLOB")


def test_large_models_go_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file longer than a chunk arrives in several, which together are the file."""
    monkeypatch.setattr(redis_server, "FILE_ARGUMENT_BYTES", 100)
    model = model_of(tmp_path, "ONNX")

    words = stored(lambda server: server.load(model, "cpu"))

    chunks = words[words.index(b"BLOB") + 1 :]
    assert len(chunks) == -(-model.path.stat().st_size // 100) > 1
    assert b"".join(chunks) == model.path.read_bytes()


def test_store_script() -> None:
    """Entry points are named in the modern dialect; the legacy one has none."""
    script = Script("around", "def pre_process(a): ...", ("pre_process", "post_process"))

    modern = stored(lambda server: server.store_script(script, "gpu:1", "modern"))
    legacy = stored(lambda server: server.store_script(script, "cpu", "legacy"))

    assert modern == [
        *b"AI.SCRIPTSTORE fastbench:script:around GPU:1".split(),
        *b"ENTRY_POINTS 2 pre_process post_process SOURCE".split(),
        script.source.encode(),
    ]
    assert legacy == [
        *b"AI.SCRIPTSET fastbench:script:around CPU SOURCE".split(),
        script.source.encode(),
    ]
