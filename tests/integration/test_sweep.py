"""``fastbench sweep`` against a fake server: whole, failing, killed and resumed."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from support.cli import fastbench, running
from support.fakeserver import FakeServer, Reply, Request

from fastbench import results, sweeps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = ("--duration", "1", "--repetitions", "1", "--quiet")
COUNTED = ("--requests", "20", "--repetitions", "1", "--quiet")  # whole on the slowest machine
#: Enough cells for a signal to come in the middle.
MANY = ("--over", "pipeline=1..8+1", "--warmup", "0.3")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """Answer at once."""
    with FakeServer() as fake:
        yield fake


def sweep(
    server: FakeServer, out: Path, *options: str, length: tuple[str, ...] = OPTIONS
) -> list[str]:
    """Return the arguments that sweep PING."""
    url = f"redis://127.0.0.1:{server.address[1]}"
    return ["sweep", "command", url, "--out", str(out), *length, *options, "--", "PING"]


def read(out: Path) -> sweeps.SweepResult:
    """Return what the sweep found."""
    return sweeps.from_json((out / "sweep.json").read_bytes())


def test_every_cell_is_a_result_folder(server: FakeServer, tmp_path: Path) -> None:
    """Two axes of 3 and 2 values: six results, in the shuffled order, figures from each result."""
    out = tmp_path / "s"

    done = fastbench(*sweep(server, out, "--over", "connections=1..4x2", "--over", "pipeline=1,3"))

    assert done.code == 0, done.err
    found = read(out)
    assert found.status == "complete"
    assert len(found.cells) == 6
    started = []
    for cell in found.cells:
        result = results.from_json((out / cell.name / "result.json").read_bytes())
        assert result.config["connections"] == cell.settings["connections"]
        assert result.config["pipeline"] == cell.settings["pipeline"]
        assert cell.figures is not None
        assert result.summary is not None
        assert cell.figures.inferences_per_s == result.summary.inferences_per_s
        assert cell.figures.counts.ok > 0
        started.append((result.started_at, cell.name))
    assert [name for _, name in sorted(started)] == found.order
    assert found.order != [cell.name for cell in found.cells]
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        *("sweep.json", "sweep.csv", "sweep.md", "sweep.html")
    }
    assert len(found.curves) == 2


def test_done_cells_are_not_repeated_and_other_plans_are_refused(
    server: FakeServer, tmp_path: Path
) -> None:
    """The second time nothing is sent; with another option it says in what the plan differs."""
    out = tmp_path / "s"
    arguments = sweep(server, out, "--over", "connections=1,2,3")
    first = fastbench(*arguments)
    sent = len(server.requests)

    second = fastbench(*arguments)
    other = fastbench(*sweep(server, out, "--over", "connections=1,2,4", "--timeout", "3"))

    assert (first.code, second.code) == (0, 0)
    assert second.out == first.out
    assert len(server.requests) == sent > 0
    assert other.code == 2
    assert "timeout_s was 30.0, now 3.0" in other.line
    assert "cells was" in other.line
    assert fastbench("report", out).out == first.out


def test_sweep_of_streams_from_a_file(server: FakeServer, tmp_path: Path) -> None:
    """Streams share what is varied; the second time nothing is sent, also of several streams."""
    file, out = tmp_path / "mixed.toml", tmp_path / "s"
    stream = '[[stream]]\nname = "{}"\ncommand.commands = ["{}"]\nweight = {}\n'
    text = f'target = "redis://127.0.0.1:{server.address[1]}"\npin = false\n'
    text += 'requests = 30\nwarmup_s = 0\nrepetitions = 1\ncalibrate = "never"\n'
    file.write_text(text + stream.format("ping", "PING", 1) + stream.format("get", "GET k", 3))
    arguments = ("sweep", "run", "--config", file, "--quiet", "--out", out)
    first = fastbench(*arguments, "--over", "connections=4,8")
    sent = len(server.requests)
    second = fastbench(*arguments, "--over", "connections=4,8")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert second.out == first.out
    assert len(server.requests) == sent > 0
    assert f"sweep of redis://127.0.0.1:{server.address[1]}" in " ".join(first.out.split())
    for cell in read(out).cells:
        result = results.from_json((out / cell.name / "result.json").read_bytes())
        shares = [stream["connections"] for stream in result.config["streams"]]
        assert shares == [cell.settings["connections"] / 4, cell.settings["connections"] * 3 / 4]
        assert [stream.counts.ok for stream in result.repetitions[0].streams] == [30, 30]


def test_broken_cell_is_run_again(server: FakeServer, tmp_path: Path) -> None:
    """A damaged result is no result: that cell alone is repeated."""
    out = tmp_path / "s"
    arguments = sweep(server, out, "--over", "connections=1,2")
    fastbench(*arguments)
    kept = (out / "connections-1" / "result.json").read_bytes()
    file = out / "connections-2" / "result.json"
    file.write_bytes(file.read_bytes()[:500])

    again = fastbench(*arguments)

    assert again.code == 0, again.err
    assert (out / "connections-1" / "result.json").read_bytes() == kept
    assert results.from_json(file.read_bytes()).status == "complete"


def test_cell_that_fails_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    """While one of two cells runs every GET errs: it failed, and is all that is tried again."""
    out = tmp_path / "s"
    ill = [out / "connections-3_pipeline-2"]
    cells = tmp_path / "cells.csv"
    cells.write_text("connections,pipeline\n1,1\n3,2\n")

    def script(request: Request) -> Reply:
        fails = any(p.is_dir() and not (p / "result.json").exists() for p in ill)
        ails = fails and request.words[0] == b"GET"
        return Reply(b"-ERR out of order\r\n") if ails else Reply()

    with FakeServer(script) as server:
        arguments = [*sweep(server, out, "--cells", str(cells))[:-1], "GET", "k"]
        failed = fastbench(*arguments)
        kept = (out / "connections-1_pipeline-1" / "result.json").read_bytes()
        ill.clear()
        mended = fastbench(*arguments)

    assert failed.code == 1
    assert "FAILED" in failed.out
    assert "connections-3_pipeline-2: failed: no inference succeeded" in failed.out
    assert mended.code == 0, mended.err
    assert (out / "connections-1_pipeline-1" / "result.json").read_bytes() == kept
    assert [cell.status for cell in read(out).cells] == ["complete", "complete"]


def test_no_server_fails_every_cell(tmp_path: Path) -> None:
    """Where nothing listens each cell is failed with the reason; the sweep has its table."""
    done = fastbench(
        *("sweep", "command", f"redis+unix://{tmp_path}/none", "--over", "pipeline=1,2"),
        *("--out", tmp_path / "s", *OPTIONS, "--", "PING"),
    )

    found = read(tmp_path / "s")
    assert done.code == 1
    assert found.status == "partial"
    assert [cell.status for cell in found.cells] == ["failed", "failed"]
    assert all("none" in cell.error for cell in found.cells)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--over NAME=VALUES, or by --cells"),
        (("--over", "colour=1"), "cannot be varied"),
        (("--over", "threads=1,2", "--over", "connections=1,2"), "cell threads-2_connections-1"),
        (("--over", "pipeline=1", "--format", "prometheus"), "console, json, markdown, csv"),
        (("--over", "server-batch=2"), "loads no model"),
    ],
)
def test_wrong_usage_leaves_nothing(
    server: FakeServer, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    """One line, exit code 2, no folder, and nothing was sent."""
    done = fastbench(*sweep(server, tmp_path / "s", *options))

    assert done.code == 2
    assert says in done.line
    assert list(tmp_path.iterdir()) == []
    assert server.requests == []


def test_killed_sweep_goes_on_where_it_was(server: FakeServer, tmp_path: Path) -> None:
    """Kill -9 in the middle: complete cells stay as they are, the others follow in order."""
    out = tmp_path / "s"
    arguments = sweep(server, out, *MANY, length=COUNTED)
    with running(*arguments) as run:
        run.wait_until(lambda: len(list(out.glob("*/result.json"))) >= 2)
        run.signal_group(signal.SIGKILL)
        run.process.wait(60)
    kept = {path: path.read_bytes() for path in out.glob("*/result.json")}
    planned = read(out)
    assert planned.status == "running"

    again = fastbench(*arguments)

    assert again.code == 0, again.err
    found = read(out)
    assert found.order == planned.order
    assert found.started_at == planned.started_at
    assert [cell.status for cell in found.cells] == ["complete"] * 8
    changed = [content for path, content in kept.items() if path.read_bytes() != content]
    assert not changed


def test_interrupted_sweep_goes_on_where_it_was(server: FakeServer, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and a table of what is done; the same command completes it."""
    out = tmp_path / "s"
    arguments = sweep(server, out, *MANY, length=COUNTED)
    with running(*arguments) as run:
        run.wait_until(lambda: len(list(out.glob("*/result.json"))) >= 1)
        run.signal_group(signal.SIGINT)
        ended = run.end()
    assert ended.code == 130
    assert "INTERRUPTED" in ended.out
    assert read(out).status == "interrupted"

    assert fastbench(*arguments).code == 0
    assert read(out).status == "complete"


def test_second_sweep_in_the_folder_is_refused(server: FakeServer, tmp_path: Path) -> None:
    """Two at once would remove each other's cells."""
    out = tmp_path / "s"
    arguments = sweep(server, out, "--over", "pipeline=1,2", "--warmup", "30")
    with running(*arguments) as run:
        run.wait_until((out / "sweep.json").exists)
        second = fastbench(*arguments)

    assert second.code == 2
    assert "another fastbench works in" in second.line


def test_server_batches_when_swept(tmp_path: Path) -> None:
    """Auto-batching of the model server is a setting of the cell's model."""
    done = fastbench(
        *("sweep", "run", "--over", "server-batch=1,8", "--connections", "4"),
        *("--out", tmp_path / "s", *OPTIONS, "--warmup", "0", "--format", "json"),
    )

    assert done.code == 0, done.err
    found = sweeps.from_json(done.out.encode())
    assert [cell.settings["server-batch"] for cell in found.cells] == [1, 8]
    configs = [
        json.loads((tmp_path / "s" / cell.name / "result.json").read_text())["config"]
        for cell in found.cells
    ]
    assert [config["server_batch"] for config in configs] == [1, 8]
