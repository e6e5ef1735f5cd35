"""The verdict at work: a client that is kept from its CPU says so, a slow server is not blamed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.cli import command, environment
from support.fakeserver import FakeServer, Reply, always
from support.squeeze import cpu_quota, neighbours

import fastbench
from fastbench._nullserver import NullServer
from fastbench.config import CommandConfig, RunConfig
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: As hard as one thread can; sending a tensor costs the client far more than the null server.
FULL = ("-c", 8, "-P", 4, "-d", 602_112, "--duration", 1.5, "--repetitions", 1)


def run(
    port: int, tmp_path: Path, *options: object, start: Callable[[], None] | None = None
) -> tuple[int, Result]:
    """Run ``fastbench command`` in a process of its own; ``start`` is called in it first."""
    at = f"redis://127.0.0.1:{port}"
    words = command(
        "command", at, *options, "--quiet", "--format", "json", "--", "SET", "k", "{data}"
    )
    done = subprocess.run(
        words,
        capture_output=True,
        timeout=300,  # a client of the lowest priority takes its time
        check=False,
        preexec_fn=start,
        env=environment(XDG_CACHE_HOME=str(tmp_path)),
    )
    assert done.stdout, done.stderr
    return done.returncode, from_json(done.stdout)


def status(result: Result, name: str) -> str:
    """Return the status of one piece of evidence."""
    assert result.verdict is not None
    (found,) = [e.status for e in result.verdict.evidence if e.name == name]
    return found


def verdict(result: Result) -> str:
    """Return the verdict."""
    assert result.verdict is not None
    return result.verdict.verdict


@pytest.fixture
def null_server() -> Iterator[int]:
    """Yield the port of a null server on the last CPU."""
    with NullServer(cpus=(max(os.sched_getaffinity(0)),)) as server:
        yield server.port


def client_cpu() -> int:
    """Return the CPU that these clients are pinned to."""
    return min(os.sched_getaffinity(0))


def test_a_spinning_neighbour_is_found(null_server: int, tmp_path: Path) -> None:
    """Three processes want the client's CPU too: it waits for it, and says so with exit code 3."""
    with neighbours(client_cpu(), 3):
        code, result = run(
            null_server, tmp_path, *FULL, "--cpus", client_cpu(), "--require", "client-ok"
        )

    assert verdict(result) == "client-limited"
    assert status(result, "threads") == "client-limited"
    thread = result.repetitions[0].client.threads[0]
    if thread.run_delay_s is not None:
        assert thread.run_delay_s > 0.3 * thread.elapsed_s
    assert code == 3


def test_a_nice_client_is_found(null_server: int, tmp_path: Path) -> None:
    """A client of the lowest priority beside one neighbour hardly ever runs."""
    with neighbours(client_cpu(), 1):
        _, result = run(
            null_server, tmp_path, *FULL, "--cpus", client_cpu(), start=lambda: os.nice(19) and None
        )

    assert verdict(result) == "client-limited"


def test_a_cpu_quota_is_found(null_server: int, tmp_path: Path) -> None:
    """A quota of a fifth of a CPU shows as waiting and as throttling, not as utilisation."""
    with cpu_quota(20) as join:
        _, result = run(null_server, tmp_path, *FULL, start=join)

    assert verdict(result) == "client-limited"
    assert result.repetitions[0].client.threads[0].busy < 0.5
    assert status(result, "CPU quota") in {"suspect", "not available"}


def test_a_slow_server_is_not_blamed_on_the_client(tmp_path: Path) -> None:
    """A server of 50 ms per request in a closed loop: the client has all the time in the world."""
    with FakeServer(always(Reply(after_s=0.05))) as server:
        code, result = run(port_of(server), tmp_path, "-c", 4, "--duration", 2, "--repetitions", 1)

    assert code == 0
    for name in ("threads", "headroom"):
        assert status(result, name) == "ok", result.verdict
    assert verdict(result) != "client-limited", result.verdict


def test_an_overloaded_server_is_not_blamed_on_the_client(tmp_path: Path) -> None:
    """Ten times as many requests are due as a slow server takes: the send lag is the server's."""
    with FakeServer(always(Reply(after_s=0.02))) as server:
        _, result = run(
            *(port_of(server), tmp_path, "-c", 2, "--rate", 1000, "--duration", 2),
            *("--repetitions", 1, "--timeout", 0.5),
        )

    assert verdict(result) != "client-limited", result.verdict
    assert status(result, "send lag") == "note"
    assert status(result, "offered rate") == "note"


def test_an_idle_client_is_never_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty runs in a row with time to spare: not one is called limited by the client."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with FakeServer(always(Reply(after_s=0.01))) as server:
        config = RunConfig(
            target=f"redis://127.0.0.1:{port_of(server)}",
            workload="command",
            command=CommandConfig(commands=(("SET", "k", "v"),)),
            connections=2,
            duration_s=0.4,
            warmup_s=0.0,
            repetitions=1,
        )
        verdicts = [verdict(fastbench.run(config)) for _ in range(20)]

    assert "client-limited" not in verdicts


def test_requiring_anything_else_is_refused(null_server: int) -> None:
    """Only client-ok can be required, and that is said before anything runs."""
    words: list[Any] = command("command", f"redis://127.0.0.1:{null_server}", "--require", "yes")
    done = subprocess.run(
        [*words, "--", "PING"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert "--require 'yes'" in done.stderr


def port_of(server: FakeServer) -> int:
    """Return the TCP port of a fake server."""
    assert isinstance(server.address, tuple)
    return server.address[1]
