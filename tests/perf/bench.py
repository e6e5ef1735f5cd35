"""What fastbench and its peers cost the client per request, measured side by side.

Every cell runs the programs in turn, round by round (A B A B …), server and client pinned to
different CPUs. The cost of a request is the CPU time of the whole process (wait4) at two run
lengths: their difference over the difference in requests, so that start-up cancels out. What
counts is the median of the ratios within a round; nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, TypeVar

import chain_cell  # beside this file, as the next
import floor
import http_cells
import oip_cells
import oip_null
import workload_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from http_cells import HttpCell
    from oip_cells import OipCell
    from workload_cells import Pair

T = TypeVar("T", int, float)

FASTBENCH = str(Path(sys.executable).with_name("fastbench"))
SERVER_CPU, CLIENT_CPU = 0, 1
SMALL = ("AI.MODELEXECUTE", "m", "INPUTS", "1", "a", "OUTPUTS", "1", "b")
TENSOR_BYTES = 602_112
#: One SET in flight beside a bare loop: the socket, its bytes, how many.
FLOORS = (
    ("tcp", 1_300, 100_000),
    ("unix", 1_300, 100_000),
    ("tcp", TENSOR_BYTES, 40_000),
    ("unix", TENSOR_BYTES, 40_000),
)


@dataclass(frozen=True)
class Cell:
    """One comparison: a command at some depth against one server.

    ``goal``: the ratio to redis-benchmark that the project wants, printed beside it.
    """

    name: str
    server: str  # null | redis
    socket: str  # tcp | unix
    command: tuple[str, ...]
    connections: int
    depth: int
    requests: int  # of the longer run; the shorter one has a quarter
    goal: float | None = None
    rate_goal: float | None = None  # requests/s over redis-benchmark's
    memtier_goal: float | None = None
    peers: tuple[str, ...] = ("redis-benchmark", "valkey-benchmark", "memtier_benchmark")


@dataclass
class Cost:
    """What one program did in each round."""

    us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)

    def add(self, us: float, per_s: float) -> None:
        """Add a round: CPU microseconds per request, and requests per second."""
        self.us.append(us)
        self.per_s.append(per_s)


def small_cells() -> list[Cell]:
    """Return the cells of the 86-byte command, of 4 KB replies and of tensors."""
    cells = []
    for socket, goals in (
        ("tcp", {1: 0.55, 4: 0.50, 16: 0.50, 64: 0.50}),
        ("unix", {1: 0.42, 4: 0.42, 16: 0.42, 64: 0.42}),
    ):
        for depth, goal in goals.items():
            n = 200_000 * depth  # so many that the start of a program is no noise
            rate = {"tcp": 1.5, "unix": 2.0}[socket] if depth == 64 else None
            name = f"86-byte command, {socket}, depth {depth}"
            memtier = {16: 0.35, 64: 0.20}.get(depth)
            cells.append(Cell(name, "null", socket, SMALL, 50, depth, n, goal, rate, memtier))
    for socket, goal in (("tcp", 0.60), ("unix", 0.55)):
        name = f"4 KB reply, {socket}, depth 16"
        cells.append(Cell(name, "null", socket, ("GET", "k"), 50, 16, 600_000, goal))
    for socket, depth, goal in (
        ("tcp", 1, 0.50),
        ("tcp", 4, 0.45),
        ("unix", 1, 0.25),
        ("unix", 4, 0.25),
    ):
        name = f"SET {TENSOR_BYTES:,} B, {socket}, depth {depth}"
        command = ("SET", "k", f"{{data:{TENSOR_BYTES}}}")
        cells.append(Cell(name, "null", socket, command, 4, depth, 40_000, goal))
    for socket, rate in (("tcp", 1.7), ("unix", 2.2)):
        name = f"SET {TENSOR_BYTES:,} B, {socket}, depth 4, redis-server"
        command = ("SET", "k", f"{{data:{TENSOR_BYTES}}}")
        cells.append(Cell(name, "redis", socket, command, 8, 4, 40_000, None, rate))
    return cells


class Servers:
    """The null server and a real redis-server, each on TCP and a unix socket, pinned.

    The null server of HTTP is on TCP only.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fastbench-bench-"))
        self._processes: list[subprocess.Popen[str]] = []
        self.where: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        for socket in ("tcp", "unix"):
            path = self._folder / "null.sock"
            at = ["--unix", str(path)] if socket == "unix" else ["--port", "0"]
            command = [FASTBENCH, "null-server", "--reply-bytes", "4096", *at]
            line = self._start(command, "ready on")
            self.where["null", socket] = line.rpartition(":")[2].strip()
        command = [FASTBENCH, "null-server", "--http", "--reply-bytes", str(http_cells.REPLY_BYTES)]
        self.where["http", "tcp"] = self._start(command, "ready on").rpartition(":")[2].strip()
        if shutil.which("redis-server"):
            self._start_redis()
        return self

    def _start_redis(self) -> None:
        path = self._folder / "redis.sock"
        port = free_port()
        command = ["redis-server", "--port", str(port), "--unixsocket", str(path)]
        self._start([*command, "--save", "", "--appendonly", "no"], "Ready to accept")
        self.where["redis", "tcp"] = str(port)
        self.where["redis", "unix"] = str(path)

    def _start(self, command: list[str], ready: str) -> str:
        pinned = ["taskset", "-c", str(SERVER_CPU), *command]
        process = subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout
        for line in process.stdout:
            if ready in line:
                return line
        sys.exit(f"bench: {command[0]} did not start")

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_line(program: str, cell: Cell, where: str, requests: int) -> list[str]:
    """Return the arguments with which ``program`` does the cell."""
    unix = cell.socket == "unix"
    tensor = cell.command[0] == "SET"
    if program == "fastbench":
        target = f"redis+unix://{where}" if unix else f"redis://127.0.0.1:{where}"
        load = ["-c", str(cell.connections), "-P", str(cell.depth), "-n", str(requests)]
        fixed = ["--repetitions", "1", "--cpus", str(CLIENT_CPU), "--quiet", "--format", "json"]
        fixed += ["--calibrate", "never"]  # it would be part of the difference
        return [FASTBENCH, "command", target, *load, *fixed, "--", *cell.command]
    at = ["-s", where] if unix else ["-p", where]
    if program == "memtier_benchmark":
        at = ["-S", where] if unix else ["-s", "127.0.0.1", "-p", where]
        per_client = max(1, requests // cell.connections)
        load = ["-t", "1", "-c", str(cell.connections), "--pipeline", str(cell.depth)]
        what = (
            ["--ratio", "1:0", "--data-size", str(TENSOR_BYTES), "--key-maximum", "1"]
            if tensor
            else ["--command", " ".join(cell.command)]
        )
        return [program, *at, *load, "-n", str(per_client), "--hide-histogram", *what]
    load = ["-c", str(cell.connections), "-P", str(cell.depth), "-n", str(requests), "-q"]
    what = ["-t", "set", "-d", str(TENSOR_BYTES)] if tensor else list(cell.command)
    return [program, *at, *load, *what]


def run_pinned(command: list[str], out: IO[bytes] | None = None) -> tuple[float, float]:
    """Run on the client's CPU; return CPU seconds (user + system) and elapsed seconds.

    ``out``: where standard output goes.
    """
    pinned = ["taskset", "-c", str(CLIENT_CPU), *command]
    began = time.monotonic()
    process = subprocess.Popen(pinned, stdout=out or subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    problem = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bench: {' '.join(command)}: {problem.decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began


def measure(program: str, cell: Cell, where: str) -> tuple[float, float]:
    """Return CPU microseconds per request and requests per second, start-up taken out."""
    return measure_line(lambda n: command_line(program, cell, where, n), cell.requests)


def measure_line(line: Callable[[int], list[str]], long: int) -> tuple[float, float]:
    """Do the same for the command line that does so many requests; it may do a quarter of them."""
    short = long // 4
    cpu_short, took_short = run_pinned(line(short))
    cpu_long, took_long = run_pinned(line(long))
    more = long - short
    return (cpu_long - cpu_short) / more * 1e6, more / max(took_long - took_short, 1e-9)


def measure_wrk(line: Callable[[int], list[str]]) -> tuple[float, float]:
    """Do the same for a command line of wrk that runs for so many seconds."""
    spent = []
    for seconds in (http_cells.SHORT_S, http_cells.LONG_S):
        with tempfile.TemporaryFile() as out:
            cpu, took = run_pinned(line(seconds), out)
            out.seek(0)
            spent.append((http_cells.requests_of(out.read().decode()), cpu, took))
    (few, cpu_short, took_short), (many, cpu_long, took_long) = spent
    more = max(many - few, 1)
    return (cpu_long - cpu_short) / more * 1e6, more / (took_long - took_short)


def measure_counted(
    line: Callable[[T], list[str]], lengths: tuple[T, T], counted: Callable[[], int]
) -> tuple[float, float]:
    """Do the same for runs of two lengths; ``counted``: how many requests the server has had."""
    spent = []
    for length in lengths:
        before = counted()
        cpu, took = run_pinned(line(length))
        spent.append((counted() - before, cpu, took))
    (few, cpu_short, took_short), (many, cpu_long, took_long) = spent
    more = many - few
    if more <= 0 or took_long <= took_short:
        sys.exit(f"bench: the longer run did not do more: {few} and {many} requests")
    return (cpu_long - cpu_short) / more * 1e6, more / (took_long - took_short)


def run_cell(cell: Cell, where: str, programs: list[str], rounds: int) -> dict[str, Cost]:
    """Run all programs in turn, ``rounds`` times."""
    costs = {p: Cost() for p in programs}
    for _ in range(rounds):
        for program in programs:
            costs[program].add(*measure(program, cell, where))
    return costs


def paired(over: list[float], under: list[float]) -> tuple[float, float, float]:
    """Return the median, smallest and largest of the ratios within a round."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def best_peer(costs: dict[str, Cost]) -> str | None:
    """Return the cheaper of redis-benchmark and valkey-benchmark."""
    found = [p for p in ("redis-benchmark", "valkey-benchmark") if p in costs]
    return min(found, key=lambda p: statistics.median(costs[p].us), default=None)


def report(cell: Cell, costs: dict[str, Cost]) -> dict[str, object]:
    """Print one row and return it as data."""
    own = costs["fastbench"]
    row: dict[str, object] = {
        "cell": cell.name,
        "us_per_request": {p: c.us for p, c in costs.items()},
        "requests_per_s": {p: c.per_s for p, c in costs.items()},
    }
    text = f"{cell.name:44} {statistics.median(own.us):8.3f} us"
    peer = best_peer(costs)
    if peer:
        ratio, low, high = paired(own.us, costs[peer].us)
        rate, _, _ = paired(own.per_s, costs[peer].per_s)
        row |= {"ratio": ratio, "ratio_min": low, "ratio_max": high, "rate_ratio": rate}
        goal = f"goal {cell.goal:.2f}" if cell.goal else ""
        rate_goal = f"goal {cell.rate_goal:.1f}" if cell.rate_goal else ""
        text += (
            f" {statistics.median(costs[peer].us):9.3f} us {peer:16}"
            f" ratio {ratio:5.2f} [{low:4.2f} .. {high:4.2f}] {goal:9}"
            f" rate x{rate:5.2f} {rate_goal}"
        )
    if "memtier_benchmark" in costs:
        ratio, _, _ = paired(own.us, costs["memtier_benchmark"].us)
        row["memtier_ratio"] = ratio
        goal = f" goal {cell.memtier_goal:.2f}" if cell.memtier_goal else ""
        text += f"  memtier ratio {ratio:.2f}{goal}"
    say(text)
    return row


def user_time_cells() -> list[tuple[str, int, int, tuple[str, ...]]]:
    """Return (name, connections, depth, command) of what shows the client's user-space share."""
    cells = [(f"86-byte command, depth {d}", 50, d, SMALL) for d in (1, 16, 64)]
    cells += [
        (f"SET {size:,} B, depth 1", 4, 1, ("SET", "k", f"{{data:{size}}}"))
        for size in (65_536, TENSOR_BYTES, 10 * TENSOR_BYTES)
    ]
    return cells


def report_user_time(where: str, seconds: float) -> list[dict[str, object]]:
    """Print what the worker threads used; the user part must not grow with the tensor."""
    say("worker threads, us per request over TCP, as the kernel accounts them")
    rows = []
    for name, connections, depth, command in user_time_cells():
        load = ["-c", str(connections), "-P", str(depth), "--duration", str(seconds)]
        fixed = ["--warmup", "0.5", "--repetitions", "1", "--cpus", str(CLIENT_CPU), "--quiet"]
        how = ["--calibrate", "never", "--format", "json", "--"]
        line = [FASTBENCH, "command", f"redis://127.0.0.1:{where}", *load, *fixed, *how]
        done = subprocess.run([*line, *command], capture_output=True, check=True)
        client = json.loads(done.stdout)["repetitions"][0]["client"]
        user, system = client["user_us_per_inference"], client["system_us_per_inference"]
        say(f"{name:44} user {user:8.3f}   system {system:9.3f}")
        rows.append({"cell": name, "user_us": user, "system_us": system})
    return rows


def report_monitoring(where: dict[tuple[str, str], str], seconds: float) -> list[dict[str, object]]:
    """Print what monitoring costs, over the CPU time of the worker; main gathers the results.

    By the kernel's account of each thread in the middle of the run: the difference between two
    runs, one without them, would drown in what a machine does from one run to the next.
    """
    say("threads beside the worker, of its CPU time: the one that monitors (goal 1 %), and main")
    rows = []
    for server, depth in (("null", 1), ("null", 16), ("redis", 16)):
        port = where.get((server, "tcp"))
        if port is None:
            continue
        fixed = ["--warmup", "0", "--repetitions", "1", "--cpus", str(CLIENT_CPU), "--quiet"]
        load = ["-c", "50", "-P", str(depth), "--duration", str(3 * seconds)]
        how = ["--calibrate", "never", "--format", "json", "--", "PING"]
        line = [FASTBENCH, "command", f"redis://127.0.0.1:{port}", *load, *fixed, *how]
        with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
            time.sleep(seconds)
            before = thread_times(process.pid)
            time.sleep(seconds)
            after = thread_times(process.pid)
        used = {name: after[name] - before[name] for name in before}
        worker, main = used.pop("fb-w0"), used.pop(str(process.pid))
        shares = {"monitor": sum(used.values()) / worker, "main": main / worker}
        text = ", ".join(f"{name} thread {share:.2%}" for name, share in shares.items())
        say(f"{f'monitoring: PING, {server} server, depth {depth}':44} {text}")
        rows.append({"cell": f"monitoring {server} {depth}", **shares})
    return rows


def thread_times(pid: int) -> dict[str, int]:
    """Return the nanoseconds that each thread has run; a name that is not its own has the id."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        name = name if name.startswith("fb-") else task.name
        found[name] = int((task / "schedstat").read_text().split()[0])
    return found


def report_pacing(where: str, seconds: float) -> list[dict[str, object]]:
    """Print how late an open loop of 10,000/s sends, and what that costs, asleep and spinning."""
    say("open loop at 10,000/s on one thread: send lag, share of a core (goal 10, 50 us, 10 %)")
    rows = []
    for flags in ([], ["--spin"]):
        fixed = ["--warmup", "0.5", "--repetitions", "1", "--cpus", str(CLIENT_CPU), "--quiet"]
        load = ["-c", "16", "--rate", "10000", "--duration", str(seconds), *flags]
        how = ["--calibrate", "never", "--format", "json", "--", *SMALL]
        line = [FASTBENCH, "command", f"redis://127.0.0.1:{where}", *load, *fixed, *how]
        done = subprocess.run(line, capture_output=True, check=True)
        repetition = json.loads(done.stdout)["repetitions"][0]
        lag, thread = repetition["send_lag_ms"], repetition["client"]["threads"][0]
        core = (thread["user_s"] + thread["system_s"]) / thread["elapsed_s"]
        row = {
            "cell": " ".join(["pacing at 10,000/s", *flags]),
            "lag_p50_us": 1e3 * lag["p50"],
            "lag_p99_us": 1e3 * lag["p99"],
            "core": core,
            "busy": thread["busy"],
        }
        say(
            f"{row['cell']:44} p50 {row['lag_p50_us']:7.1f} us   p99 {row['lag_p99_us']:7.1f} us"
            f"   core {core:.1%}, without spinning {thread['busy']:.1%}"
        )
        rows.append(row)
    return rows


def report_pair(pair: Pair, rounds: int) -> dict[str, object]:
    """Run both command lines of a pair in turn and print what they cost."""
    ours, other = Cost(), Cost()
    for _ in range(rounds):
        for line, cost in ((pair.ours, ours), (pair.other, other)):
            cost.add(*measure_line(line, pair.requests))
    kind = "per_s" if pair.by_rate else "us"
    ratio, low, high = paired(getattr(ours, kind), getattr(other, kind))
    goal = f"goal {pair.goal:.2f}" if pair.goal else ""
    goal = f"goal {pair.goal_us} us" if pair.goal_us else goal
    unit = "/s" if pair.by_rate else "us"
    values = [statistics.median(getattr(cost, kind)) for cost in (ours, other)]
    say(
        f"{pair.name:44} {values[0]:11,.3f} {unit} {values[1]:11,.3f} {unit}"
        f" ratio {ratio:5.2f} [{low:4.2f} .. {high:4.2f}] {goal}"
    )
    return {"cell": pair.name, "unit": unit, "ours": ours.__dict__, "other": other.__dict__}


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report_pairs(port: str, only: str, rounds: int) -> list[dict[str, object]]:
    """Print the cells of whole workloads whose name contains ``only``."""
    with workload_cells.scratch() as scratch:
        folder = Path(scratch)
        wanted = [
            pair
            for pair in workload_cells.pairs(FASTBENCH, port, CLIENT_CPU, folder)
            if only in pair.name
        ]
        for pair in wanted:
            if pair.by_rate:
                for rows in (pair.requests // 4, pair.requests):
                    workload_cells.make_references(FASTBENCH, folder, rows)
        return [report_pair(pair, rounds) for pair in wanted]


def report_http(port: str, only: str, rounds: int) -> list[dict[str, object]]:
    """Print what a request of HTTP costs beside wrk's; alone where wrk is not installed."""
    cells = [cell for cell in http_cells.CELLS if only in cell.name]
    with workload_cells.scratch() as scratch:
        return [report_http_cell(cell, Path(scratch), port, rounds) for cell in cells]


def report_http_cell(cell: HttpCell, folder: Path, port: str, rounds: int) -> dict[str, object]:
    """Run both programs in turn and print one row."""
    dataset = http_cells.make_dataset(FASTBENCH, cell.row_bytes, folder)
    ours = http_cells.fastbench_line(FASTBENCH, cell, dataset, port, CLIENT_CPU)
    wrk = http_cells.wrk_line(cell, folder, port) if shutil.which("wrk") else None
    own, peer = Cost(), Cost()
    for _ in range(rounds):
        own.add(*measure_line(ours, cell.requests))
        if wrk:
            peer.add(*measure_wrk(wrk))
    return report_beside(cell.name, own, peer, "wrk", cell.goal)


def report_floor(
    where: dict[tuple[str, str], str], only: str, rounds: int
) -> list[dict[str, object]]:
    """Print what one request in flight costs beside a bare loop of system calls."""
    rows = []
    with workload_cells.scratch() as scratch:
        program = floor.build(Path(scratch))
        for socket, size, requests in FLOORS:
            name = f"1 in flight, SET {size:,} B, {socket}"
            if only not in name:
                continue
            at = where["null", socket]
            cell = Cell(name, "null", socket, ("SET", "k", f"{{data:{size}}}"), 1, 1, requests)
            own, bare = Cost(), Cost()
            for _ in range(rounds):
                own.add(*measure("fastbench", cell, at))
                bare.add(*floor.cheapest(program, floor.redis_set(at, size), CLIENT_CPU))
            rows.append(report_beside(name, own, bare, "bare loop"))
    return rows


def report_beside(
    name: str, own: Cost, peer: Cost, who: str, goal: float | None = None
) -> dict[str, object]:
    """Print one row: fastbench beside the program ``who``, or alone where that did not run."""
    row: dict[str, object] = {"cell": name, "fastbench": own.__dict__, who: peer.__dict__}
    text = f"{name:44} {statistics.median(own.us):8.3f} us"
    if peer.us:
        ratio, low, high = paired(own.us, peer.us)
        rate, _, _ = paired(own.per_s, peer.per_s)
        row |= {"ratio": ratio, "ratio_min": low, "ratio_max": high, "rate_ratio": rate}
        text += (
            f" {statistics.median(peer.us):9.3f} us {who:16}"
            f" ratio {ratio:5.2f} [{low:4.2f} .. {high:4.2f}]"
            f" {f'goal {goal:.2f}' if goal else '':9} rate x{rate:5.2f}"
        )
    say(text)
    return row


def report_oip(only: str, rounds: int) -> list[dict[str, object]]:
    """Print what an inference costs beside perf_analyzer's; alone where that is not installed."""
    cells = [cell for cell in oip_cells.CELLS if only in cell.name]
    with workload_cells.scratch() as scratch:
        return [report_oip_cell(cell, Path(scratch), rounds) for cell in cells]


def report_oip_cell(cell: OipCell, folder: Path, rounds: int) -> dict[str, object]:
    """Run both programs in turn and print one row."""
    dataset = http_cells.make_dataset(FASTBENCH, 4 * cell.floats, folder)
    windows = oip_cells.SHORT_MS, oip_cells.LONG_MS
    own, peer = Cost(), Cost()
    with oip_cells.OipServer(cell, SERVER_CPU) as server:
        ours = oip_cells.fastbench_line(FASTBENCH, cell, dataset, server.port, CLIENT_CPU)
        where, in_flight = f"127.0.0.1:{server.port}", cell.connections * cell.pipeline
        theirs = oip_cells.perf_analyzer_line(cell.kind, oip_null.MODEL, where, in_flight)
        for _ in range(rounds):
            own.add(*measure_counted(ours, (cell.requests // 4, cell.requests), server.requests))
            if shutil.which("perf_analyzer"):
                peer.add(*measure_counted(theirs, windows, server.requests))
    return report_beside(cell.name, own, peer, "perf_analyzer", cell.goal)


def report_chains(port: str, only: str, rounds: int) -> list[dict[str, object]]:
    """Print what a chain costs beside the sum of its two steps run alone."""
    rows: list[dict[str, object]] = []
    for load, (connections, pipeline, requests) in chain_cell.LOADS.items():
        name = f"chain, {load} / its two steps alone"
        if only not in name:
            continue
        lines = chain_cell.lines(FASTBENCH, port, CLIENT_CPU, connections, pipeline)
        us: dict[str, list[float]] = {step: [] for step in lines}
        for _ in range(rounds):
            for step, line in lines.items():
                us[step].append(measure_line(line, requests)[0])
        alone = [a + b for a, b in zip(us["fetch"], us["request"], strict=True)]
        ratio, low, high = paired(us["chain"], alone)
        values = [statistics.median(us["chain"]), statistics.median(alone)]
        say(
            f"{name:44} {values[0]:8.3f} us {values[1]:8.3f} us"
            f" ratio {ratio:5.2f} [{low:4.2f} .. {high:4.2f}] goal {chain_cell.GOAL:.2f}"
        )
        rows.append({"cell": name, "us": us, "ratio": ratio})
    return rows


def main() -> None:
    """Run the cells asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only",
        default="",
        help='cells whose name contains this, "user time", "pacing", "monitoring"',
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each user-time cell")
    parser.add_argument("--json", type=Path, default=None, help="file to write")
    asked = parser.parse_args()
    if os.cpu_count() == 1:
        sys.exit("bench: needs two CPUs, one for the server and one for the client")
    rows = []
    say("client CPU per request, median over rounds; ratio: fastbench / cheapest peer")
    with Servers() as servers:
        if asked.only in "user time":
            rows += report_user_time(servers.where["null", "tcp"], asked.seconds)
        if asked.only in "pacing":
            rows += report_pacing(servers.where["null", "tcp"], asked.seconds)
        if asked.only in "monitoring":
            rows += report_monitoring(servers.where, asked.seconds)
        for cell in small_cells():
            where = servers.where.get((cell.server, cell.socket))
            if asked.only not in cell.name or where is None:
                continue
            programs = ["fastbench", *(p for p in cell.peers if shutil.which(p))]
            rows.append(report(cell, run_cell(cell, where, programs, asked.rounds)))
        rows += report_floor(servers.where, asked.only, asked.rounds)
        rows += report_http(servers.where["http", "tcp"], asked.only, asked.rounds)
        rows += report_oip(asked.only, asked.rounds)
        rows += report_chains(servers.where["null", "tcp"], asked.only, asked.rounds)
        rows += report_pairs(servers.where["null", "tcp"], asked.only, asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
