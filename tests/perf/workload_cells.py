"""What whole workloads cost beside plain commands of the same size, and how fast data are loaded.

Each cell runs two command lines in turn, at two lengths, against the null server; see ``bench.py``
for how costs are taken.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FRAUD_BYTES = 1_300  # the SET that fraud is held against; an inference has about 550 on the wire
TENSOR_BYTES = 602_112
REFERENCE_BYTES = 1_024


@dataclass(frozen=True)
class Pair:
    """Two command lines that do ``requests`` requests, and what is wanted of their ratio.

    ``by_rate``: requests per second are compared, else CPU per request. ``goal``: of the ratio
    ours / other, at most (by rate: at least); ``goal_us``: of our CPU per request, at most.
    """

    name: str
    requests: int
    ours: Callable[[int], list[str]]
    other: Callable[[int], list[str]]
    goal: float | None = None
    goal_us: float | None = None
    by_rate: bool = False


def pairs(fastbench: str, port: str, cpu: int, folder: Path) -> Iterator[Pair]:
    """Yield all cells; ``port``: of the null server, ``folder``: for datasets."""
    once = ["--repetitions", "1", "--warmup", "0", "--cpus", str(cpu), "--calibrate", "never"]
    quiet = ["--quiet", "--format", "json"]

    def run(workload: str, connections: int, pipeline: int) -> Callable[[int], list[str]]:
        load = ["--connections", str(connections), "--pipeline", str(pipeline)]
        what = ["--workload", *workload.split(), "--form", "dag"]
        line = [fastbench, "run", f"redisai://127.0.0.1:{port}", *what, *load, *once, *quiet]
        return lambda n: [*line, "--requests", str(n)]

    def set_(size: int, connections: int, pipeline: int) -> Callable[[int], list[str]]:
        load = ["-c", str(connections), "-P", str(pipeline)]
        line = [fastbench, "command", f"redis://127.0.0.1:{port}", *load, *once, *quiet]
        return lambda n: [*line, "-n", str(n), "--", "SET", "k", f"{{data:{size}}}"]

    def redis_benchmark(n: int) -> list[str]:
        what = ["-t", "set", "-d", str(FRAUD_BYTES), "-c", "1", "-n", str(n), "-q"]
        return ["redis-benchmark", "-p", port, *what]

    def load(n: int) -> list[str]:
        data = ["--dataset", str(folder / str(n)), "--blobs"]
        return [fastbench, "data", "load-reference", f"redis://127.0.0.1:{port}", *data]

    def set_rows(n: int) -> list[str]:
        load = ["-c", "4", "-P", "64", "-n", str(n), "--dataset", str(folder / str(n))]
        line = [fastbench, "command", f"redis://127.0.0.1:{port}", *load, *once, *quiet]
        return [*line, "--", "SET", "{key:seq}", "{row:reference}"]

    if shutil.which("redis-benchmark"):
        name = f"fraud, 1 in flight / redis-benchmark SET {FRAUD_BYTES:,} B"
        yield Pair(name, 100_000, run("fraud", 1, 1), redis_benchmark, goal=0.85)
    name = f"fraud, 16 in flight / SET {FRAUD_BYTES:,} B"
    yield Pair(name, 1_000_000, run("fraud", 1, 16), set_(FRAUD_BYTES, 1, 16), goal_us=2.4)
    name = f"vision, 1 in flight / SET {TENSOR_BYTES:,} B"
    small = "vision --model mean_rgb_224"  # its own cost at the start is small
    yield Pair(name, 32_000, run(small, 1, 1), set_(TENSOR_BYTES, 1, 1), goal=1.3)
    name = f"load-reference / SET {REFERENCE_BYTES:,} B, rate"
    rows = 1_000_000
    yield Pair(name, rows, load, set_(REFERENCE_BYTES, 4, 64), by_rate=True)
    name = "load-reference / SET of the same rows, rate"
    yield Pair(name, rows, load, set_rows, goal=0.9, by_rate=True)


def make_references(fastbench: str, folder: Path, rows: int) -> None:
    """Make the dataset of ``rows`` transactions that cells load, unless it is there."""
    out = folder / str(rows)
    if not out.exists():
        line = [fastbench, "data", "fraud", "--sample", str(rows), "--out", str(out)]
        subprocess.run(line, check=True, capture_output=True)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for datasets that is removed afterwards."""
    return tempfile.TemporaryDirectory(prefix="fastbench-bench-data-")
