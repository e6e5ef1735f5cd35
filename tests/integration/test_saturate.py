"""The client-saturation test as a user runs it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.cli import fastbench, running

from fastbench.saturate import LOADS, SHARES, STEPPED
from fastbench.saturations import from_json
from fastbench.verdict import BUSY


@pytest.mark.parametrize("socket", ["tcp", "unix"])
def test_all_loads_are_tried(socket: str) -> None:
    """Each load has its ceiling, each stepped one its shares; the sums agree with each other."""
    flags = ["--unix"] if socket == "unix" else []
    done = fastbench("saturate", "--duration", 0.1, "--threads", 1, "--format", "json", *flags)

    assert done.code == 0, done.err
    test = from_json(done.out.encode())
    assert test.socket == socket
    assert [c.load for c in test.ceilings] == [load.name for load in LOADS]
    for c in test.ceilings:
        assert c.ceiling_per_s == pytest.approx(1e6 * c.threads / c.cpu_us_per_inference)
        assert c.reached_per_s > 0
        assert 0 < c.client_busy <= 1
    assert [(s.load, s.share) for s in test.steps] == [(n, x) for n in STEPPED for x in SHARES]
    reached = {c.load: c.reached_per_s for c in test.ceilings}
    for s in test.steps:
        assert s.offered_per_s == pytest.approx(s.share * reached[s.load])
        assert s.verdict in {"client-ok", "suspect", "client-limited"}
        assert s.verdict == "client-limited" or s.client_busy < BUSY


def test_bad_threads() -> None:
    """What is no list of numbers is refused in one line."""
    done = fastbench("saturate", "--threads", "1,two")

    assert done.code == 2
    assert "--threads '1,two'" in done.line


def test_interrupted() -> None:
    """Ctrl-C in a measurement ends the whole test: what was cut short is no ceiling."""
    with running("saturate", "--duration", 60, "--threads", 1, "--format", "json") as command:
        command.wait_for("closed loop")
        command.wait_until(lambda: worker_runs(command.process.pid))
        command.signal_group(signal.SIGINT)
        done = command.end()

    assert done.code == 130
    assert done.out == ""


def worker_runs(pid: int) -> bool:
    """Tell whether a worker thread of the engine is there."""
    names = (file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/comm"))
    return any(name.startswith("fb-w") for name in names)
