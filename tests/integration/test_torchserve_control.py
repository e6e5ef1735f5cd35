"""TorchServe's management API: models from archives, over a stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from support.cli import fastbench
from support.modelservers import ModelServer, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_FOUND = {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: m"}
OFF = {
    "code": 405,
    "type": "MethodNotAllowedException",
    "message": "Requested method is not allowed",
}


class Management(ModelServer):
    """Registers and forgets; ``refusal``: in place of that, with its status."""

    def __init__(self, refusal: tuple[int, object] | None = None, state: str = "READY") -> None:
        super().__init__()
        self._refusal, self._state = refusal, state
        self.models: dict[str, dict[str, str]] = {}

    @property
    def target(self) -> str:
        """The model m of a server whose other API does not answer."""
        return f"torchserve://127.0.0.1:1/m?management={self.place.rpartition(':')[2]}"

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer as the documentation has it."""
        del fields, body  # all is in the path
        if method != "GET" and self._refusal:
            return Reply(self._refusal[1], self._refusal[0])
        parts = urlsplit(path)
        name = unquote(parts.path.removeprefix("/models").strip("/"))
        if method == "POST":
            asked = dict(parse_qsl(parts.query))
            self.models[asked["model_name"]] = asked
            return Reply({"status": 'Model "m" Version: 1.0 registered with 1 initial workers'})
        if name not in self.models:
            return Reply(NOT_FOUND, 404)
        if method == "DELETE":
            del self.models[name]
            return Reply({"status": f'Model "{name}" unregistered'})
        return Reply([{"modelVersion": "1.0", "workers": [{"status": self._state}]}])


def test_load_and_unload() -> None:
    """An archive becomes the model of the URL, with its batching; then it is forgotten."""
    with Management() as server:
        loaded = fastbench(
            *("model", "load", server.target, "m.mar"),
            *("--server-batch", "8", "--server-min-batch-timeout", "20"),
        )
        asked = dict(server.models)
        unloaded = fastbench("model", "unload", server.target)

    assert (loaded.code, unloaded.code) == (0, 0), loaded.err + unloaded.err
    assert loaded.out == f"{server.target}: loaded m from m.mar: 1 of 1 workers READY\n"
    assert unloaded.out == f'{server.target}: unloaded m: Model "m" unregistered\n'
    assert server.models == {}
    assert asked == {
        "m": {
            "url": "m.mar",
            "model_name": "m",
            "initial_workers": "1",
            "synchronous": "true",
            "batch_size": "8",
            "max_batch_delay": "20",
        }
    }


@pytest.mark.parametrize(
    ("refusal", "state", "said"),
    [
        ((405, OFF), "READY", "run the server with --enable-model-api"),
        ((404, NOT_FOUND), "READY", "Model not found: m"),
        (None, "UNLOADING", "no worker of the model is READY"),
    ],
)
def test_refusals(refusal: tuple[int, object] | None, state: str, said: str) -> None:
    """A server that refuses, or whose worker does not get ready, is one line."""
    with Management(refusal, state) as server:
        assert said in fastbench("model", "load", server.target, "m.mar").line


def test_unload_of_what_is_not_there() -> None:
    """Its refusal is told."""
    with Management() as server:
        assert "Model not found" in fastbench("model", "unload", server.target).line


def test_management_that_does_not_answer() -> None:
    """The line names the port, and how to give another."""
    line = fastbench("model", "load", "torchserve://127.0.0.1:1/m?management=2", "m.mar").line

    assert "management API on port 2 does not answer" in line
    assert "?management=PORT" in line


@pytest.mark.parametrize("words", [(), ("m.mar", "--tag", "x"), ("m.mar", "--device", "gpu")])
def test_what_does_not_go_together(words: tuple[str, ...]) -> None:
    """Without an archive, or with options of other servers, nothing is asked."""
    with Management() as server:
        done = fastbench("model", "load", server.target, *words)

    assert done.code == 2
    assert "the name of a .mar file" in done.line
    assert server.asked == []
