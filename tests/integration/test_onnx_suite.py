"""`fastbench onnx-suite` as users run it, against real servers."""

from __future__ import annotations

import contextlib
import importlib.abc
import signal
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import redis
from support import redisserver
from support.cli import fastbench, running

from fastbench import suites
from fastbench.servers.embedded import EmbeddedServer
from fastbench.servers.redisai import RedisAI
from fastbench.suite import PREFIX, SuiteConfig, run_suite
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LIMIT_S = 60.0
RUNS = {f"num_runs_{name}": 2 for name in ("mnist", "inception", "bert")}
FIRST_OUTPUT_OF_BERT = f"{PREFIX}bert:out0:000000"
SMALL = ("--scale", "0.05", "--num_runs_mnist", "7", "--num-runs-inception=3", "--num_runs_bert=2")


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Return a client of the server."""
    target = parse_target(server.url)
    return redis.Redis(host=target.host, port=target.port)


@pytest.fixture(autouse=True)
def raising() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, whoever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fresh_server() -> Iterator[EmbeddedServer]:
    """Run a server that has held nothing yet: its memory is that of what a test stores."""
    with EmbeddedServer(options=("--intra-op", "1")) as server:
        yield server


def test_whole_suite(fresh_server: EmbeddedServer, tmp_path: Path) -> None:
    """Both sessions of all models, counted by the server exactly; its keys are gone afterwards."""
    out = tmp_path / "suite"
    with client_of(fresh_server) as client:
        before = client.info("commandstats")
        done = fastbench(
            *("onnx-suite", fresh_server.url, *SMALL, "--num-parallel-clients", 2),
            *("--out", out, "--format", "json"),
        )
        after = client.info("commandstats")
        left = client.dbsize()

    found = suites.from_json(done.out.encode())
    calls = (
        after["cmdstat_ai.modelexecute"]["calls"]
        - before.get("cmdstat_ai.modelexecute", {"calls": 0})["calls"]
    )
    intended = [(s.kind, s.model, s.clients, s.counts.intended) for s in found.sessions]
    assert done.code == 0, done.err
    assert intended == [
        *(("sequential", "mnist", 1, 7), ("sequential", "inception", 1, 3)),
        *(("sequential", "bert", 1, 2), ("parallel", "mnist", 2, 14)),
        *(("parallel", "inception", 2, 6), ("parallel", "bert", 2, 4)),
    ]
    assert all(s.counts.ok == s.counts.intended > 0 < s.inferences_per_s for s in found.sessions)
    assert calls == sum(s.counts.sent for s in found.sessions) + 50 + 20 + 1
    assert [(m.name, m.keys) for m in found.models] == [
        ("mnist", 50),
        ("inception", 20),
        ("bert", 1),
    ]
    assert all(m.max_abs_difference is not None for m in found.models)
    memory = [step.rss_bytes or 0 for step in found.memory]
    assert len(memory) == 6
    assert memory[0] + sum(m.keys * m.file_bytes for m in found.models) < memory[3]
    assert suites.from_json((out / "suite.json").read_bytes()) == found
    assert left == 0


def test_threads_of_the_embedded_server() -> None:
    """The embedded server is started with as many threads as asked for; the report is text."""
    done = fastbench(
        *("onnx-suite", *SMALL, "--num-threads", 2, "--num-parallel-clients", 1, "--quiet"),
    )

    assert done.code == 0, done.err
    assert "executes 2 at a time on each device" in done.out
    assert done.err == ""


def test_refusals(ai_server: EmbeddedServer, tmp_path: Path) -> None:
    """What cannot be done is said in one line before anything is stored."""
    text = tmp_path / "text.onnx"
    text.write_text("text")
    for arguments, code, words in (
        ((ai_server.url, "--num_threads", 3), 2, "executes 1 inferences at a time"),
        ((ai_server.url, "--bert", text), 1, "is not an ONNX file"),
        ((f"{ai_server.url},h:1",), 2, "measures one server"),
        ((ai_server.url, "--format", "csv"), 2, "console, json, markdown"),
    ):
        done = fastbench("onnx-suite", *arguments, "--out", tmp_path / "out")

        assert (done.code, words in done.line) == (code, True), done.err
        assert not (tmp_path / "out").exists()
    with client_of(ai_server) as client:
        assert client.dbsize() == 0


@pytest.mark.skipif(not redisserver.programs(), reason="no redis-server is installed")
def test_plain_redis_is_refused(tmp_path: Path) -> None:
    """A server without the module is refused in one line."""
    with redisserver.running(redisserver.programs()[0], tmp_path):
        done = fastbench("onnx-suite", f"redisai+unix://{tmp_path / 's'}", *SMALL)

    assert done.code == 1
    assert "without the RedisAI module" in done.line


@pytest.mark.parametrize("moment", ["storing", "session"])
def test_interrupted(ai_server: EmbeddedServer, tmp_path: Path, moment: str) -> None:
    """Ctrl-C deletes the keys; what a session had measured by then is kept."""
    out = tmp_path / "suite"
    runs = ("--num-runs-mnist", 100 if moment == "session" else 1, "--num-runs-bert", 1_000_000)
    arguments = ("onnx-suite", ai_server.url, "--scale", "0.05", *runs, "--num-runs-inception", 1)
    with (
        client_of(ai_server) as client,
        running(*arguments, "--num-parallel-clients", 1, "--out", out) as command,
    ):
        command.wait_for("mnist: storing" if moment == "storing" else "sequential: bert")
        if moment == "session":
            command.wait_until(lambda: client.exists(FIRST_OUTPUT_OF_BERT) == 1)
        command.signal_group(signal.SIGINT)
        code = command.end().code
        assert client.dbsize() == 0

    assert code == 130
    if moment == "session":
        found = suites.from_json((out / "suite.json").read_bytes())
        assert found.status == "interrupted"
        assert [s.model for s in found.sessions] == ["mnist", "inception", "bert"]
        assert found.sessions[-1].counts.intended < 1_000_000
    else:
        assert not out.exists()


def test_interrupted_while_onnxruntime_is_imported(
    ai_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extension module that loses an interrupt does not let the suite go on."""

    class Losing(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "onnxruntime":
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)

    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Losing(), *sys.meta_path])
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_suite(SuiteConfig(target=ai_server.url, scale=0.05, **RUNS), said.append)

    assert [text.partition(":")[0] for text in said] == ["mnist"]


def test_interrupted_between_the_commands_of_a_check(
    ai_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check of a model puts into the server is gone too."""
    set_tensor = RedisAI.set_tensor

    def interrupted(server: RedisAI, key: str, array: NDArray[Any]) -> None:
        set_tensor(server, key, array)
        if "check" in key:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RedisAI, "set_tensor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_suite(SuiteConfig(target=ai_server.url, scale=0.05, **RUNS), lambda _: None)

    with client_of(ai_server) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("moment", ["sequential: inception", "parallel"])
def test_server_goes_away(tmp_path: Path, moment: str) -> None:
    """A server that dies between two sessions costs none of those that it had served."""
    out = tmp_path / "suite"
    with EmbeddedServer(options=("--intra-op", "1")) as server:
        pid = server.pid

        def tell(text: str) -> None:
            if text.startswith(moment):
                process = psutil.Process(pid)
                process.kill()
                process.wait(LIMIT_S)

        config = SuiteConfig(target=server.url, scale=0.05, out=out, **RUNS)
        result = run_suite(config, tell)

    assert result.status == "partial"
    assert "connect" in result.error
    whole = ["mnist"] if moment != "parallel" else ["mnist", "inception", "bert"]
    assert [(s.kind, s.model, s.counts.ok) for s in result.sessions] == [
        ("sequential", name, 2) for name in whole
    ]
    assert suites.from_json((out / "suite.json").read_bytes()) == result


def test_interrupted_between_sessions(ai_server: EmbeddedServer, tmp_path: Path) -> None:
    """Ctrl-C as the second session begins: the first one's figures are kept, the keys are gone."""

    def tell(text: str) -> None:
        if text.startswith("sequential: inception"):
            raise KeyboardInterrupt

    out = tmp_path / "suite"
    result = run_suite(SuiteConfig(target=ai_server.url, scale=0.05, out=out, **RUNS), tell)

    assert result.status == "interrupted"
    assert [(s.model, s.counts.ok) for s in result.sessions] == [("mnist", 2)]
    assert suites.from_json((out / "suite.json").read_bytes()) == result
    with client_of(ai_server) as client:
        assert client.dbsize() == 0
