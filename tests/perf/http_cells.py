"""Requests of HTTP by fastbench and by wrk: what each pays for one, against the null server.

wrk runs for a time and says how many requests that were: its cost is the difference in CPU time
between a longer and a shorter run over the difference in requests.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REPLY_BYTES = 64
SMALL_BYTES = 64
TENSOR_BYTES = 602_112
ROWS = 64
SHORT_S, LONG_S = 1, 4  # whole seconds: wrk takes no others

#: One request, made once; without a function ``request`` wrk calls no Lua while it runs.
LUA = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", {size})
"""


@dataclass(frozen=True)
class HttpCell:
    """A body of ``row_bytes`` over so many connections; ``goal``: of the ratio to wrk, at most."""

    name: str
    row_bytes: int
    connections: int
    requests: int  # of the longer run of fastbench; the shorter one has a quarter
    goal: float


CELLS = (
    HttpCell("HTTP POST 64 B, 1 connection", SMALL_BYTES, 1, 100_000, 0.85),
    HttpCell("HTTP POST 64 B, 16 connections", SMALL_BYTES, 16, 200_000, 0.85),
    HttpCell("HTTP POST 602,112 B, 1 connection", TENSOR_BYTES, 1, 8_000, 0.55),
    HttpCell("HTTP POST 602,112 B, 4 connections", TENSOR_BYTES, 4, 8_000, 0.55),
)


def make_dataset(fastbench: str, row_bytes: int, folder: Path) -> Path:
    """Return a dataset with rows of that size, as a user makes one of an array."""
    out = folder / f"rows-{row_bytes}"
    if not out.exists():
        file = folder / f"rows-{row_bytes}.npy"
        np.save(file, np.zeros((ROWS, row_bytes // 4), np.float32))
        line = [fastbench, "data", "import", str(file), "--format", "npy", "--out", str(out)]
        subprocess.run(line, check=True, capture_output=True)
    return out


def fastbench_line(
    fastbench: str, cell: HttpCell, dataset: Path, port: str, cpu: int
) -> Callable[[int], list[str]]:
    """Return the command line for a number of requests."""
    line = [fastbench, "run", f"rest://127.0.0.1:{port}/", "--dataset", str(dataset)]
    load = ["--connections", str(cell.connections), "--cpus", str(cpu), "--warmup", "0"]
    once = ["--repetitions", "1", "--calibrate", "never", "--quiet", "--format", "json"]
    return lambda n: [*line, *load, *once, "--requests", str(n)]


def wrk_line(cell: HttpCell, folder: Path, port: str) -> Callable[[int], list[str]]:
    """Return wrk's command line for a number of seconds."""
    script = folder / f"post-{cell.row_bytes}.lua"
    script.write_text(LUA.format(size=cell.row_bytes))
    line = ["wrk", "-t1", f"-c{cell.connections}", "-s", str(script), "--timeout", "30s"]
    return lambda seconds: [*line, f"-d{seconds}s", f"http://127.0.0.1:{port}/"]


def requests_of(output: str) -> int:
    """Return how many requests wrk did; all must have been answered well."""
    found = re.search(r"(\d+) requests in", output)
    if found is None or "Non-2xx" in output or "Socket errors" in output:
        msg = f"wrk did not measure:\n{output}"
        raise RuntimeError(msg)
    return int(found[1])
