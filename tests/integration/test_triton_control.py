"""What Triton can be told and asked besides inferring: its repository, and a model's configuration.

Stand-ins over both protocols; the messages over gRPC are those of protobuf's own library.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc
import pytest
from support.cli import fastbench
from support.grpcserver import serving
from support.modelservers import OpenInference, Reply
from support.oip_protobuf import oip, parsed

from fastbench.results import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository")
REFUSAL = "explicit model load / unload is not allowed"
CONFIG = {
    "name": "m",
    "max_batch_size": 4,
    "dynamic_batching": {"preferred_batch_size": [4], "max_queue_delay_microseconds": 100},
    "instance_group": [{"kind": "KIND_CPU", "count": 2, "gpus": []}],
}


class Repository:
    """Models that can be loaded, unless there is a refusal; what was asked for, in order."""

    def __init__(self, refusal: str = "", loaded: str = "READY") -> None:
        self.refusal, self._loaded = refusal, loaded
        self.asked: list[tuple[str, str]] = []
        self._states: dict[str, tuple[str, str]] = {"other": ("READY", "")}

    def change(self, what: str, model: str) -> str:
        """Load or unload one; returns why not, where it does not."""
        self.asked.append((what, model))
        if self.refusal:
            return self.refusal
        unloaded = ("UNAVAILABLE", "unloaded")
        self._states[model] = (self._loaded, "") if what == "load" else unloaded
        return ""

    def index(self) -> list[dict[str, str]]:
        """Return each model in it; a reason only where there is one, as Triton does."""
        return [
            {"name": name, "version": "1", "state": state} | ({"reason": why} if why else {})
            for name, (state, why) in self._states.items()
        ]


class Http(OpenInference):
    """Over HTTP."""

    def __init__(self, model: Path, repository: Repository, config: Any = CONFIG) -> None:
        super().__init__(model, EXTENSIONS)
        self.repository, self.config = repository, config

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer as the two extensions have it."""
        if path == "/v2/models/m/config":
            return Reply(self.config, 404 if self.config is None else 200)
        if path == "/v2/repository/index":
            try:
                return Reply(self.repository.index())
            except LookupError:
                return Reply({"detail": "Not Found"}, 404)
        if path.startswith("/v2/repository/models/"):
            assert (method, body) == ("POST", b"{}")
            model, what = unquote(path).split("/")[4:]
            why_not = self.repository.change(what, model)
            return Reply({"error": why_not}, 400) if why_not else Reply()
        return super().answer(method, path, fields, body)


class Grpc:
    """Over gRPC."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def __call__(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer one call."""
        method = path.rpartition("/")[2]
        if method in {"ServerReady", "ModelReady"}:
            return oip("Ready", ready=method == "ServerReady").SerializeToString()
        if method == "ModelMetadata":
            context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
        if method == "RepositoryIndex":
            return oip("IndexResponse", models=self.repository.index()).SerializeToString()
        if method == "ServerMetadata":
            return oip(
                "ServerMetadataResponse", name="s", extensions=EXTENSIONS
            ).SerializeToString()
        what = method.removeprefix("RepositoryModel").lower()
        why_not = self.repository.change(what, parsed("LoadRequest", request).model_name)
        if why_not:
            context.abort(grpc.StatusCode.UNAVAILABLE, why_not)
        return b""


@contextlib.contextmanager
def standing_in(kind: str, repository: Repository, model: Path) -> Iterator[str]:
    """Yield the target without a model."""
    if kind == "http":
        with Http(model, repository) as server:
            yield f"triton+http://{server.place}"
    else:
        with serving(Grpc(repository)) as (host, port):
            yield f"triton+grpc://{host}:{port}"


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_load_and_unload(kind: str, tiny_model: Path) -> None:
    """The server is asked for the model of the URL, and what it then says of it is shown."""
    repository = Repository()
    with standing_in(kind, repository, tiny_model) as url:
        loaded = fastbench("model", "load", f"{url}/a%20b")
        unloaded = fastbench("model", "unload", f"{url}/a%20b")

    assert repository.asked == [("load", "a b"), ("unload", "a b")]
    assert (loaded.code, unloaded.code) == (0, 0), loaded.err + unloaded.err
    assert loaded.out == f"{url}/a%20b: loaded a%20b: version 1 READY\n"
    assert unloaded.out == f"{url}/a%20b: unloaded a%20b: version 1 UNAVAILABLE unloaded\n"


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_refusals(kind: str, tiny_model: Path) -> None:
    """A server that refuses, or has nothing ready afterwards, is one line."""
    with standing_in(kind, Repository(REFUSAL), tiny_model) as url:
        lines = [fastbench("model", what, f"{url}/m").line for what in ("load", "unload")]
    with standing_in(kind, Repository(loaded="UNAVAILABLE"), tiny_model) as url:
        failed = fastbench("model", "load", f"{url}/m").line

    assert all(REFUSAL in line for line in lines)
    assert "loaded m, but it is not ready: version 1 UNAVAILABLE" in failed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("load", "{}/m/1"), "leave out /VERSION"),
        (("load", "{}/m", "mean_rgb_224"), "leave out MODEL"),
        (("load", "{}/m", "--tag", "x"), "leave out MODEL and all options"),
        (("load", "redisai://127.0.0.1:1"), "give the MODEL to store there"),
        (("unload", "redisai://127.0.0.1:1"), "only targets triton"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], said: str, tiny_model: Path) -> None:
    """Options of a server that stores models are not for one that has a repository."""
    repository = Repository()
    with standing_in("http", repository, tiny_model) as url:
        done = fastbench("model", *(word.format(url) for word in words))

    assert done.code == 2
    assert said in done.line
    assert repository.asked == []


def test_server_without_a_repository(tiny_model: Path) -> None:
    """What such a server answers is told in one line."""
    with OpenInference(tiny_model, EXTENSIONS[:1]) as server:
        done = fastbench("model", "load", f"triton+http://{server.place}/m")

    assert "POST /v2/repository/models/m/load was refused: 404" in done.line


class Taciturn(Repository):
    """Tells of no versions, as MLServer; ``silent``: of nothing, as KServe."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self._silent = silent

    def index(self) -> list[dict[str, str]]:
        """Return the models."""
        if self._silent:
            raise LookupError
        return [{k: v for k, v in model.items() if k != "version"} for model in super().index()]


@pytest.mark.parametrize(
    ("silent", "said"), [(False, "loaded m: READY"), (True, "loaded m: its state is not told")]
)
def test_servers_that_tell_less(tiny_model: Path, said: str, *, silent: bool) -> None:
    """They load all the same, and the line says what they told."""
    with standing_in("http", Taciturn(silent=silent), tiny_model) as url:
        done = fastbench("model", "load", f"{url}/m")

    assert done.code == 0, done.err
    assert said in done.out


def test_state_in_the_words_of_mlserver(tiny_model: Path) -> None:
    """Over gRPC its index names a state ``State.READY``: the model is ready."""
    with standing_in("grpc", Repository(loaded="State.READY"), tiny_model) as url:
        done = fastbench("model", "load", f"{url}/m")

    assert done.code == 0, done.err
    assert done.out.endswith("loaded m: version 1 READY\n")


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_run_with_a_model_that_is_not_there(kind: str, tiny_model: Path) -> None:
    """The run ends in one line that names what there is, or says that the model is not loaded."""
    repository = Repository()
    brief = ("--repetitions", 1, "--requests", 1)
    with standing_in(kind, repository, tiny_model) as url:
        absent = fastbench("run", f"{url}/nix", *brief)
        fastbench("model", "load", f"{url}/nix")
        fastbench("model", "unload", f"{url}/nix")
        unloaded = fastbench("run", f"{url}/nix", *brief)

    assert (absent.code, unloaded.code) == (1, 1)
    assert "the server has no model nix; it has other" in absent.line
    assert "model nix does not run there: version 1 is UNAVAILABLE (unloaded)" in unloaded.line


def test_configuration_is_shown_and_obeyed(sample: Path, tiny_model: Path) -> None:
    """Batches and instances stand in result and report; more than the model takes is not sent."""
    brief = ("--repetitions", 1, "--requests", 10, "--warmup", 0, "--quiet", "--dataset", sample)
    with Http(tiny_model, Repository()) as server:
        url = f"triton+http://{server.place}/m"
        shown = fastbench("run", url, *brief, "--batch", 4)
        told = fastbench("run", url, *brief, "--format", "json")
        sent = len(server.bodies)
        refused = fastbench("run", url, *brief, "--batch", 5)
        assert len(server.bodies) == sent

    assert refused.code == 2
    assert "--batch 5: model m takes at most 4 samples in one inference" in refused.line
    details = from_json(told.out.encode()).target.details
    assert details["max_batch_size"] == "4"
    assert details["dynamic_batching"] == "preferred 4, queue delay at most 100 us"
    assert details["instances"] == "2 on CPU"
    report = " ".join(shown.out.split())
    assert "the server runs at most 4 samples together, dynamic batching (preferred 4," in report
    assert "instances: 2 on CPU" in report


@pytest.mark.parametrize("config", [None, {"max_batch_size": "many"}, json.loads("[1]")])
def test_configuration_that_is_not_told(config: Any, sample: Path, tiny_model: Path) -> None:
    """A server that announces it and does not tell it is benchmarked all the same."""
    brief = ("--repetitions", 1, "--requests", 10, "--warmup", 0, "--quiet", "--dataset", sample)
    with Http(tiny_model, Repository(), config) as server:
        done = fastbench("run", f"triton+http://{server.place}/m", *brief, "--format", "json")

    assert done.code == 0, done.err
    assert "max_batch_size" not in from_json(done.out.encode()).target.details
