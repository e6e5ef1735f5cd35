"""The null server of the benchmarks that passes for a Triton: it is asked, answers, and counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.cli import fastbench

from fastbench.datasets.arrays import import_npy
from fastbench.results import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[1] / "perf" / "oip_null.py"
FLOATS = 16


class Served:
    """The script as a process."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        line = [sys.executable, str(SCRIPT), kind, str(FLOATS)]
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.place = self.line().rpartition(" ")[2]

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def requests(self) -> int:
        """Ask how many requests it has answered."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.line())


@pytest.fixture(params=["http", "grpc"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Yield a server of each protocol; the end of its input ends it."""
    server = Served(request.param)
    yield server
    server.process.communicate(timeout=60)
    assert server.process.returncode == 0


def test_a_run_against_it(served: Served, tmp_path: Path) -> None:
    """Its model is described and takes rows; every inference is answered, and counted."""
    np.save(tmp_path / "rows.npy", np.zeros((8, FLOATS), np.float32))
    import_npy(tmp_path / "rows.npy", tmp_path / "rows")
    url = f"triton+{served.kind}://{served.place}/m"
    short = ("--repetitions", 1, "--warmup", 0, "--requests", 100, "--calibrate", "never")
    done = fastbench("run", url, "--dataset", tmp_path / "rows", *short, "--format", "json")

    result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (100, 100)
    assert (result.target.server, result.target.model) == ("null 0", "m")
    assert 100 < served.requests() < 120  # and what was asked before
