"""Do fastbench and NVIDIA's perf_analyzer measure the same on the same real Triton.

The model waits a fixed time, so that what the machine does hardly counts; both programs run in
turn, at the same concurrency, and throughput and median latency must agree. Then what each pays
for an inference of two other models that do not wait: CPU time of the whole process at two run
lengths, the difference over the difference in inferences, as Triton counts them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import bench  # beside this file, as the next
import floor
import http_cells
import oip_cells
import triton_peer

from fastbench.errors import FastbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE = 0.05
DELAY_S = 0.02
INSTANCES = 4
DELAYED = triton_peer.Model("delayed", oip_cells.SMALL_FLOATS, DELAY_S, INSTANCES)
SMALL = triton_peer.Model("small", oip_cells.SMALL_FLOATS, 0.0, 2)
TENSOR = triton_peer.Model("tensor", oip_cells.TENSOR_FLOATS, 0.0, 2)
CONCURRENCIES = (1, INSTANCES)
KINDS = ("http", "grpc")
FLOOR = "a bare loop"
SHORT_S, LONG_S = 1.5, 6.0
WINDOWS = 3 * 1.2  # perf_analyzer runs three windows, each 1.2 times as long as it is told


def fastbench_line(
    kind: str, model: triton_peer.Model, where: str, in_flight: int, dataset: Path
) -> Callable[[float], list[str]]:
    """Return the command line for a number of seconds."""
    several = "--connections" if kind == "http" else "--pipeline"
    line = [bench.FASTBENCH, "run", f"triton+{kind}://{where}/{model.name}"]
    line += [several, str(in_flight)]
    fixed = ["--dataset", str(dataset), "--cpus", str(bench.CLIENT_CPU), "--repetitions", "1"]
    how = ["--warmup", "0", "--calibrate", "never", "--quiet", "--format", "json"]
    return lambda seconds: [*line, *fixed, *how, "--duration", str(seconds)]


def perf_analyzer_line(
    kind: str, model: triton_peer.Model, where: str, in_flight: int
) -> Callable[[float], list[str]]:
    """Return the same of perf_analyzer."""
    line = oip_cells.perf_analyzer_line(kind, model.name, where, in_flight)
    return lambda seconds: line(round(1e3 * seconds / WINDOWS))


def from_fastbench(out: str) -> tuple[float, float]:
    """Return inferences per second and the median latency in ms."""
    result = json.loads(out)
    [repetition] = result["repetitions"]
    if repetition["counts"]["ok"] != repetition["counts"]["sent"]:
        sys.exit(f"agreement: fastbench had errors: {repetition['counts']}")
    return repetition["inferences_per_s"], repetition["service_ms"]["p50"]


def from_perf_analyzer(out: str) -> tuple[float, float]:
    """Return the same of perf_analyzer, of what it says."""
    rate = re.search(r"Throughput: ([\d.]+) infer/sec", out)
    p50 = re.search(r"p50 latency: (\d+) usec", out)
    if rate is None or p50 is None:
        sys.exit(f"agreement: perf_analyzer did not measure:\n{out}")
    return float(rate[1]), float(p50[1]) / 1e3


READERS = {"fastbench": from_fastbench, "perf_analyzer": from_perf_analyzer}


def lines_of(
    kind: str, model: triton_peer.Model, where: str, in_flight: int, folder: Path
) -> dict[str, Callable[[float], list[str]]]:
    """Return both programs' command lines for a number of seconds."""
    dataset = http_cells.make_dataset(bench.FASTBENCH, 4 * model.floats, folder)
    return {
        "fastbench": fastbench_line(kind, model, where, in_flight, dataset),
        "perf_analyzer": perf_analyzer_line(kind, model, where, in_flight),
    }


def figures(program: str, line: list[str]) -> tuple[float, float]:
    """Run once; return inferences per second and the median latency in ms."""
    with tempfile.TemporaryFile() as out:
        bench.run_pinned(line, out)
        out.seek(0)
        return READERS[program](out.read().decode())


def compare(
    kind: str, in_flight: int, triton: triton_peer.Triton, folder: Path, rounds: int
) -> bool:
    """Print both programs' figures side by side; True where they agree."""
    lines = lines_of(kind, DELAYED, triton.where(kind), in_flight, folder)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in lines}
    for _ in range(rounds):
        for name, line in lines.items():
            found[name].append(figures(name, line(LONG_S)))
    ours, theirs = (
        [statistics.median(values) for values in zip(*found[name], strict=True)] for name in lines
    )
    apart = [a / b - 1 for a, b in zip(ours, theirs, strict=True)]
    agrees = all(abs(each) <= TOLERANCE for each in apart)
    bench.say(
        f"{kind}, {in_flight} in flight: fastbench {ours[0]:8.2f}/s p50 {ours[1]:7.3f} ms, "
        f"perf_analyzer {theirs[0]:8.2f}/s p50 {theirs[1]:7.3f} ms: "
        f"apart {apart[0]:+.1%} and {apart[1]:+.1%}{'' if agrees else '  MORE THAN 5 %'}"
    )
    return agrees


def cost(
    kind: str,
    model: triton_peer.Model,
    in_flight: int,
    triton: triton_peer.Triton,
    folder: Path,
    rounds: int,
) -> None:
    """Print what both programs pay for an inference of a model that does not wait."""
    lines = lines_of(kind, model, triton.where(kind), in_flight, folder)
    us: dict[str, list[float]] = {name: [] for name in lines}

    def counted() -> int:
        return triton.inferences(model.name)

    for _ in range(rounds):
        for name, line in lines.items():
            us[name].append(bench.measure_counted(line, (SHORT_S, LONG_S), counted)[0])
        if kind == "http" and in_flight == 1:
            us.setdefault(FLOOR, []).append(bare_loop_us(model, triton, folder))
    ratio, low, high = bench.paired(us["fastbench"], us["perf_analyzer"])
    values = ", ".join(f"{name} {statistics.median(each):7.1f} us" for name, each in us.items())
    bench.say(
        f"{kind} infer {4 * model.floats:,} B, {in_flight} in flight: {values},"
        f" ratio to perf_analyzer {ratio:.2f} [{low:.2f} .. {high:.2f}]"
    )


def bare_loop_us(model: triton_peer.Model, triton: triton_peer.Triton, folder: Path) -> float:
    """Return what the kernel alone asks of a client with one inference in flight over HTTP."""
    exchange = floor.triton_http(triton.http, model.name, model.floats)
    return floor.cheapest(floor.build(folder), exchange, bench.CLIENT_CPU)[0]


def main() -> None:
    """Install what is missing, run all of it; exit with 1 where the two do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where Triton and perf_analyzer are installed")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    try:
        programs = triton_peer.install(folder)
    except FastbenchError as error:
        sys.exit(f"agreement: {error}")
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    models = (DELAYED, SMALL, TENSOR)
    with (
        tempfile.TemporaryDirectory(prefix="fastbench-agreement-") as scratch,
        triton_peer.serving(folder, models, bench.SERVER_CPU) as triton,
    ):
        bench.say(f"a model that waits {1e3 * DELAY_S:.0f} ms, {INSTANCES} instances")
        agree = [
            compare(kind, in_flight, triton, Path(scratch), asked.rounds)
            for kind in KINDS
            for in_flight in CONCURRENCIES
        ]
        bench.say("client CPU per inference, whole process, start-up taken out")
        for kind in KINDS:
            for model in (SMALL, TENSOR):
                for in_flight in (1, 8):
                    cost(kind, model, in_flight, triton, Path(scratch), asked.rounds)
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()
