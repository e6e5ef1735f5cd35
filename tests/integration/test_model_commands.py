"""`fastbench model load` and `check`: a model goes into a server, and computes what it should."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import redis
from support.cli import fastbench, running

from fastbench import check
from fastbench.errors import ModelError
from fastbench.models import build_file, load_model
from fastbench.models.tiny import mean_rgb
from fastbench.servers import redis_server
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.servers.embedded import EmbeddedServer


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Return a client of the server."""
    target = parse_target(server.url)
    return redis.Redis(host=target.host, port=target.port)


def test_load_then_check(ai_server: EmbeddedServer, tiny_model: Path, sample: Path) -> None:
    """What was loaded is in the server, byte for byte, and agrees with onnxruntime."""
    loaded = fastbench("model", "load", ai_server.url, tiny_model)
    checked = fastbench("model", "check", ai_server.url, tiny_model, "--dataset", sample)

    with client_of(ai_server) as client:
        blob = client.execute_command("AI.MODELGET", "fastbench:tiny", "BLOB")
    assert (loaded.code, checked.code) == (0, 0)
    assert blob == tiny_model.read_bytes()
    assert "stored tiny as fastbench:tiny on cpu" in loaded.out
    assert "agrees with onnxruntime: largest difference" in loaded.out
    assert "agrees with onnxruntime: largest difference" in checked.out
    assert loaded.err == checked.err == ""


def test_model_of_several_inputs_and_chunks(
    ai_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BERT, three integer inputs and two outputs, arrives in many chunks as it is in the file."""
    monkeypatch.setattr(redis_server, "FILE_ARGUMENT_BYTES", 300_000)
    monkeypatch.setattr(redis_server, "FILE_BLOCK_BYTES", 70_000)
    build_file("bert_base_cased@0.05", tmp_path / "bert.onnx")
    model = load_model(str(tmp_path / "bert.onnx"))

    checked = check.load(ai_server.url, model)

    with client_of(ai_server) as client:
        blob = client.execute_command("AI.MODELGET", "fastbench:bert", "BLOB")
    assert blob == model.path.read_bytes()
    assert len(blob) > 600_000
    assert checked.difference is not None


def test_file_that_shrinks_while_it_is_sent(
    ai_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused in one line, and the server is not left with half a command."""
    monkeypatch.setattr(redis_server, "FILE_BLOCK_BYTES", 10_000)
    build_file("mnist_cnn", tmp_path / "model.onnx")
    model = load_model(str(tmp_path / "model.onnx"))
    size = model.path.stat().st_size
    monkeypatch.setattr(os, "fstat", lambda _: SimpleNamespace(st_size=size + 1))

    with pytest.raises(ModelError, match="became shorter while it was sent"):
        check.load(ai_server.url, model)

    monkeypatch.undo()
    assert check.load(ai_server.url, model).difference is not None


def test_storing_options(ai_server: EmbeddedServer, tiny_model: Path) -> None:
    """Tag and batching arrive; the check does not wait for a batch that never fills."""
    options = ("--tag", "v1", "--server-batch", 4, "--server-min-batch", 2)
    loaded = fastbench(
        *("model", "load", ai_server.url, tiny_model, "--key", "b", *options),
        *("--server-min-batch-timeout", 5),
    )

    with client_of(ai_server) as client:
        told = client.execute_command("AI.MODELGET", "b", "META")
        fields = dict(zip(told[::2], told[1::2], strict=True))
    wrong = fastbench("model", "load", ai_server.url, tiny_model, "--server-min-batch", 2)
    assert loaded.code == 0, loaded.err
    assert fields[b"tag"] == b"v1"
    assert [fields[f] for f in (b"batchsize", b"minbatchsize", b"minbatchtimeout")] == [4, 2, 5]
    assert wrong.code == 1
    assert "MINBATCHSIZE specified without BATCHSIZE" in wrong.line


def test_key(ai_server: EmbeddedServer, tiny_model: Path) -> None:
    """The key can be chosen; nothing is found under another."""
    assert fastbench("model", "load", ai_server.url, tiny_model, "--key", "mine").code == 0
    assert fastbench("model", "check", ai_server.url, tiny_model, "--key", "mine").code == 0

    other = fastbench("model", "check", ai_server.url, tiny_model, "--key", "yours")

    assert other.code == 1
    assert "under yours failed" in other.line
    assert "model key is empty" in other.line


def test_check_finds_another_model(ai_server: EmbeddedServer, tiny_model: Path) -> None:
    """A server that holds another model under the key is found out."""
    other = mean_rgb()
    other.graph.node[0].op_type = "ReduceMax"
    with client_of(ai_server) as client:
        client.execute_command(
            "AI.MODELSTORE", "other", "ONNX", "CPU", "BLOB", other.SerializeToString()
        )

    done = fastbench("model", "check", ai_server.url, tiny_model, "--key", "other")

    assert done.code == 1
    assert "differs from onnxruntime's" in done.line


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("load", "embedded:", "identity"), 2, "fastbench serve"),
        (("check", "embedded:", "identity"), 2, "fastbench serve"),
        (("load", "foo:", "identity"), 2, "unknown scheme"),
        (("load", "SERVER", "no-such-model"), 2, "no model 'no-such-model'"),
        (("load", "SERVER", "identity", "--device", "gpu"), 1, "refused model identity on gpu"),
        (("check", "SERVER", "identity", "--dataset", "/proc/none"), 2, "no such dataset"),
        (("load", "SERVER"), 2, "MODEL"),
        (("fetch", "nope"), 2, "no published model 'nope': there are mobilenet_v1_1.0_224_tf"),
    ],
)
def test_wrong(ai_server: EmbeddedServer, arguments: tuple[str, ...], code: int, word: str) -> None:
    """Each wrong argument gives one line and its exit code."""
    done = fastbench("model", *(ai_server.url if a == "SERVER" else a for a in arguments))

    assert done.code == code
    assert word in done.line


def test_null_server(tiny_model: Path) -> None:
    """The null server takes any model; that its answers mean nothing is said."""
    with running("null-server") as server:
        address = server.wait_for(r"ready on (\S+)")[1]
        done = fastbench("model", "load", f"redisai://{address}", tiny_model)

    assert done.code == 0
    assert "not compared" in done.out
