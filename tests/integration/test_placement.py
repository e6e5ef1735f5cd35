"""Client and server kept apart: where their threads really may run."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cli import running as start
from support.redisserver import port_of, programs, running

from fastbench import runner
from fastbench._nullserver import NullServer
from fastbench.config import CommandConfig, RunConfig
from fastbench.placement import off_the_workers
from fastbench.servers.embedded import EmbeddedServer
from fastbench.servers.redisai import RedisAI
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from fastbench.results import Result

ALLOWED = sorted(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="needs two CPUs")


def test_no_thread_of_the_embedded_server_leaves_its_cpus(tiny_model: Path) -> None:
    """Also those that onnxruntime starts for a model; this thread is where it was."""
    from fastbench.models.loading import load_model

    last = ALLOWED[-1]
    with (
        EmbeddedServer(cpus=[last]) as server,
        RedisAI(parse_target(server.url)) as control,
    ):
        control.load(load_model(tiny_model, None, (), ()), "cpu")
        threads = [int(task.name) for task in Path(f"/proc/{server.pid}/task").iterdir()]
        masks = {tuple(sorted(os.sched_getaffinity(tid))) for tid in threads}

    assert len(threads) > 1
    assert masks == {(last,)}
    assert sorted(os.sched_getaffinity(0)) == ALLOWED


def vision(sample: Path, tiny_model: Path, **load: object) -> Result:
    """Run 50 inferences against the embedded server."""
    fixed = {"requests": 50, "warmup_s": 0, "repetitions": 1}
    return runner.run(
        RunConfig(
            target="embedded:unix",
            dataset=sample,
            model=tiny_model,
            **{**fixed, **load},
        )
    )


def test_embedded_server_and_client_are_apart(sample: Path, tiny_model: Path) -> None:
    """By default no CPU is used by both, and the result says where each was."""
    result = vision(sample, tiny_model)
    placed = result.placement

    assert placed is not None
    assert placed.client_cpus == [result.repetitions[0].client.threads[0].cpu]
    assert sorted([*placed.client_cpus, *placed.server_cpus]) == ALLOWED
    assert placed.shared_cpus == []
    assert result.verdict is not None
    (evidence,) = [e for e in result.verdict.evidence if e.name == "placement"]
    assert "different CPUs" in evidence.figure


def test_nothing_else_of_the_client_runs_on_a_workers_cpu() -> None:
    """Monitor, display and main thread would make a worker late; afterwards all is as before."""
    cpu = ALLOWED[0]
    with NullServer() as server:
        url = f"redis://127.0.0.1:{server.port}"
        with start("command", url, "--cpus", cpu, "--duration", 60, "--", "PING") as command:
            command.wait_until(lambda: len(masks(command.process.pid, "fb-w")) == 1)
            command.wait_until(lambda: masks(command.process.pid, "fb-w") == [{cpu}])
            main = os.sched_getaffinity(command.process.pid)
            every = masks(command.process.pid, "")
            command.signal_group(signal.SIGINT)
            assert command.end().code == 130
    assert cpu not in main
    assert every.count(main) >= 2  # with what it started: numpy's idle threads are older

    with off_the_workers([cpu]):
        assert cpu not in os.sched_getaffinity(0)
    with off_the_workers(ALLOWED):
        assert sorted(os.sched_getaffinity(0)) == ALLOWED
    assert sorted(os.sched_getaffinity(0)) == ALLOWED


def masks(pid: int, name: str) -> list[set[int]]:
    """Return the CPUs of each thread whose name begins so."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(task.name) for task in tasks if (task / "comm").read_text().startswith(name)]
    return [os.sched_getaffinity(tid) for tid in found]


def test_client_that_needs_every_cpu(sample: Path, tiny_model: Path) -> None:
    """As many threads as CPUs: the server may use all, and the overlap is named."""
    result = vision(sample, tiny_model, threads=len(ALLOWED))

    assert result.placement is not None
    assert result.placement.shared_cpus == ALLOWED
    assert result.verdict is not None
    (evidence,) = [e for e in result.verdict.evidence if e.name == "placement"]
    assert "the server may use the client's CPUs" in evidence.figure


@pytest.mark.skipif(not programs(), reason="no Redis server is installed")
def test_external_server_that_is_pinned(tmp_path: Path) -> None:
    """A local server that may use one CPU only is left alone on it."""
    first = ALLOWED[0]
    with running(programs()[0], tmp_path) as server:
        pid = server.info()["process_id"]
        subprocess.run(
            ["taskset", "-acp", str(first), str(pid)], check=True, stdout=subprocess.DEVNULL
        )
        result = runner.run(
            RunConfig(
                target=f"redis://127.0.0.1:{port_of(server)}",
                workload="command",
                command=CommandConfig(commands=(("PING",),)),
                requests=100,
                repetitions=1,
            )
        )

    assert result.placement is not None
    assert result.placement.server_cpus == [first]
    assert first not in result.placement.client_cpus
    assert result.placement.shared_cpus == []
