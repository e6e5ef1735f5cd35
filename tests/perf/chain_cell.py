"""What a chain costs beside its two steps run alone: three command lines, one null server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Line = Callable[[int], list[str]]

VALUE_BYTES = 4_096  # what the null server answers with
GOAL = 1.2  # of the chain over the sum of its steps
#: By name: connections, pipeline, and requests of the longer run.
LOADS = {"1 in flight": (1, 1, 60_000), "16 in flight": (1, 16, 400_000)}


def lines(fastbench: str, port: str, cpu: int, connections: int, pipeline: int) -> dict[str, Line]:
    """Return the command lines of the fetch, of the request and of both as a chain."""
    target = f"redis://127.0.0.1:{port}"
    once = ["--repetitions", "1", "--cpus", str(cpu), "--calibrate", "never", "--quiet"]
    load = ["-c", str(connections), "-P", str(pipeline), *once, "--format", "json"]
    key = "{int:0-999999}"
    what = {
        "fetch": ["--", "GET", f"k:{key}"],
        "request": ["--", "SET", f"k:{key}", f"{{data:{VALUE_BYTES}}}"],
        "chain": ["--fetch", f"{target} GET k:{key}", "--", "SET", f"k:{key}", "{fetched}"],
    }

    def line(words: list[str]) -> Line:
        return lambda n: [fastbench, "command", target, "-n", str(n), *load, *words]

    return {name: line(words) for name, words in what.items()}
