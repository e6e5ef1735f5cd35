"""`fastbench model load` and `check`: a model goes into a server, and computes what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from support.cli import fastbench, running

from fastbench.models.tiny import mean_rgb
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
        (("load", "SERVER", "no-such-model"), 1, "no model 'no-such-model'"),
        (("load", "SERVER", "identity", "--device", "gpu"), 1, "refused model identity on gpu"),
        (("check", "SERVER", "identity", "--dataset", "/proc/none"), 1, "no such dataset"),
        (("load", "SERVER"), 2, "MODEL"),
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
