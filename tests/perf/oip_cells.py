"""Inferences by fastbench and by NVIDIA's perf_analyzer: what each pays for one.

Both drive the same null server, which passes for a Triton; how many inferences a run made is what
that server counted. perf_analyzer is taken from PATH; ``scripts/agreement`` installs one.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from oip_null import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_FLOATS = 16  # 64 bytes
TENSOR_FLOATS = 150_528  # 602,112 bytes
SHORT_MS, LONG_MS = 500, 2000  # of a window of perf_analyzer, which measures three


@dataclass(frozen=True)
class OipCell:
    """Inferences of so many FP32, so many in flight; ``goal``: of the ratio, at most."""

    kind: str  # http | grpc
    floats: int
    connections: int
    pipeline: int
    requests: int  # of the longer run of fastbench; the shorter one has a quarter
    goal: float

    @property
    def name(self) -> str:
        """What is printed."""
        in_flight = self.connections * self.pipeline
        return f"{self.kind} infer {4 * self.floats:,} B, {in_flight} in flight"


CELLS = (
    OipCell("http", SMALL_FLOATS, 1, 1, 60_000, 0.25),
    OipCell("http", SMALL_FLOATS, 8, 1, 120_000, 0.25),
    OipCell("http", TENSOR_FLOATS, 1, 1, 8_000, 0.33),
    OipCell("http", TENSOR_FLOATS, 8, 1, 8_000, 0.33),
    OipCell("grpc", SMALL_FLOATS, 1, 1, 60_000, 0.36),
    OipCell("grpc", SMALL_FLOATS, 1, 8, 200_000, 0.36),
    OipCell("grpc", TENSOR_FLOATS, 1, 1, 8_000, 0.36),
    OipCell("grpc", TENSOR_FLOATS, 1, 8, 8_000, 0.36),
)


class OipServer:
    """The null server of a cell in a process of its own, on one CPU."""

    def __init__(self, cell: OipCell, cpu: int) -> None:
        script = Path(__file__).with_name("oip_null.py")
        line = [sys.executable, str(script), cell.kind, str(cell.floats)]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = self._line().rpartition(":")[2]

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def requests(self) -> int:
        """Return how many requests it has answered."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its input ends it


def fastbench_line(
    fastbench: str, cell: OipCell, dataset: Path, port: str, cpu: int
) -> Callable[[int], list[str]]:
    """Return the command line for a number of requests."""
    line = [fastbench, "run", f"triton+{cell.kind}://127.0.0.1:{port}/{MODEL}"]
    load = ["--connections", str(cell.connections), "--pipeline", str(cell.pipeline)]
    fixed = ["--dataset", str(dataset), "--cpus", str(cpu), "--warmup", "0"]
    once = ["--repetitions", "1", "--calibrate", "never", "--quiet", "--format", "json"]
    return lambda n: [*line, *load, *fixed, *once, "--requests", str(n)]


def perf_analyzer_line(
    kind: str, model: str, where: str, in_flight: int
) -> Callable[[int], list[str]]:
    """Return perf_analyzer's command line for windows of so many milliseconds.

    It measures three windows; however much they differ, that is enough for it.
    """
    line = ["perf_analyzer", "-m", model, "-u", where, "-i", kind, "--sync"]
    load = ["--concurrency-range", str(in_flight), "--max-threads", str(in_flight)]
    return lambda ms: [*line, *load, "-r", "3", "-s", "999", "-p", str(ms)]
