"""The stories of sweep and search where Ctrl-C falls between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support import sample_result

from fastbench import runner, searches, sweeps
from fastbench.config import CommandConfig, RunConfig, StreamConfig
from fastbench.errors import ConnectError, FastbenchError, UsageError
from fastbench.results import Verification
from fastbench.search import search
from fastbench.slo import parse_objectives
from fastbench.summary import summarize
from fastbench.sweep import sweep
from fastbench.warnings import WRONG_ANSWERS

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.axes import Settings

changed = msgspec.structs.replace


def interrupt(_: str) -> None:
    """Be the user at the moment when a run is announced."""
    raise KeyboardInterrupt


def config(out: Path) -> RunConfig:
    """Return a configuration that no test here runs."""
    command = CommandConfig(commands=(("PING",),))
    return RunConfig(target="redis://h", workload="command", command=command, out=out)


def test_sweep_interrupted_between_cells_keeps_what_it_has(tmp_path: Path) -> None:
    """The table is returned and written, marked interrupted, and nothing half-written is left."""
    found = sweep(config(tmp_path / "s"), [{"pipeline": 1}], {"pipeline": [1]}, say=interrupt)

    assert found.status == "interrupted"
    assert sweeps.from_json((tmp_path / "s" / "sweep.json").read_bytes()) == found
    assert not list((tmp_path / "s").glob(".*"))


def test_search_interrupted_between_probes_keeps_what_it_has(tmp_path: Path) -> None:
    """The same for a search."""
    found = search(config(tmp_path / "s"), parse_objectives(["p99<5ms"]), say=interrupt)

    assert found.status == "interrupted"
    assert searches.from_json((tmp_path / "s" / "search.json").read_bytes()) == found


def mixed(out: Path, **changes: Any) -> RunConfig:
    """Return a configuration of two streams; ``changes``: of the second one's own values."""
    streams = (
        StreamConfig(name="a", own={"command": CommandConfig(commands=(("PING",),))}),
        StreamConfig(
            name="b", own={"command": CommandConfig(commands=(("GET", "k"),))} | changes, weight=3
        ),
    )
    return RunConfig(target="redis://h", streams=streams, out=out)


def test_what_a_stream_sets_itself_cannot_be_varied(tmp_path: Path) -> None:
    """Before anything runs, one line names the stream and what it sets; no folder is left."""
    out = tmp_path / "s"
    with pytest.raises(UsageError, match=r"^stream 'b' sets pipeline itself, so pipeline cannot"):
        sweep(mixed(out, pipeline=2), [{"pipeline": 1}], {"pipeline": [1]})
    with pytest.raises(UsageError, match=r"^stream 'b' sets connections itself"):
        sweep(mixed(out, connections=2), [{"connections": 4}], {"connections": [4]})
    with pytest.raises(UsageError, match=r"^cell pipeline-1: stream 'b' has a weight"):
        sweep(mixed(out), [{"pipeline": 1}], {"pipeline": [1]})
    assert not out.exists()


def test_search_refuses_schedules_of_streams(tmp_path: Path) -> None:
    """The rate of a search is that of all streams, so none has its own."""
    out = tmp_path / "s"
    config = mixed(out, rate_per_s=100.0)
    with pytest.raises(UsageError, match="stream 'b' has a schedule of its own"):
        search(config, parse_objectives(["p99<5ms"]))
    with pytest.raises(UsageError, match="without --rate weights share --connections"):
        search(mixed(out), parse_objectives(["p99<5ms"]))
    assert not out.exists()


def test_streams_belong_to_the_plan(tmp_path: Path) -> None:
    """A sweep begun with other streams is not resumed, and the line says in what they differ."""
    out = tmp_path / "s"
    cells: list[Settings] = [{"connections": 4}]
    first = sweep(mixed(out), cells, {"connections": [4]}, say=interrupt)
    assert [stream["name"] for stream in first.config["streams"]] == ["a", "b"]

    again = sweep(mixed(out), cells, {"connections": [4]}, say=interrupt)
    assert again.config == first.config
    with pytest.raises(UsageError, match="begun with another plan: streams was"):
        sweep(mixed(out, batch=2), cells, {"connections": [4]})


def test_secrets_of_streams_are_not_written(tmp_path: Path) -> None:
    """Headers that may hold a password are hidden in the plan as everywhere else."""
    own = {"target": "rest://h/", "headers": ("Authorization: Bearer geheim",)}
    stream = StreamConfig(name="a", own=own | {"dataset": tmp_path, "tls": None})
    config = RunConfig(streams=(stream,), out=tmp_path / "s")
    found = sweep(config, [{"batch": 1}], {"batch": [1]}, say=interrupt)

    assert found.config["streams"] == [
        {
            "name": "a",
            "weight": None,
            "target": "rest://h/",
            "headers": ["Authorization: ***"],
            "dataset": str(tmp_path),
            "tls": None,
        }
    ]
    assert "geheim" not in (tmp_path / "s" / "sweep.json").read_text()


def test_target_that_cannot_is_a_row_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where targets differ, what one of them cannot do says nothing of the others."""

    def run(config: RunConfig, **_: object) -> None:
        msg = f"{config.target}: cannot"
        raise UsageError(msg)

    monkeypatch.setattr(runner, "run", run)
    targets = ["redis://a", "redis://b"]
    found = sweep(config(tmp_path / "m"), [{"target": t} for t in targets], {"target": targets})

    assert [cell.error for cell in found.cells] == ["redis://a: cannot", "redis://b: cannot"]
    assert [cell.name for cell in found.cells] == ["target-redis-a", "target-redis-b"]
    assert "target" not in found.config
    with pytest.raises(UsageError, match="cannot"):
        sweep(config(tmp_path / "s"), [{"pipeline": 1}], {"pipeline": [1]})
    assert not (tmp_path / "s").exists()


def test_cells_of_one_name_are_refused(tmp_path: Path) -> None:
    """Two targets whose folders would be the same one are told so before anything runs."""
    cells = [{"target": "redis+unix:///a/b"}, {"target": "redis+unix:///a-b"}]

    with pytest.raises(UsageError, match="two cells would have the same folder"):
        sweep(config(tmp_path / "m"), cells, {})

    assert not (tmp_path / "m").exists()


def test_cells_are_run_in_the_order_of_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same seed gives the same order, another seed another, and each cell is run once."""
    ran: list[int] = []

    def run(config: RunConfig, **_: object) -> None:
        ran.append(config.pipeline)
        msg = "nobody listens"
        raise ConnectError(msg)

    monkeypatch.setattr(runner, "run", run)
    cells = [{"pipeline": n} for n in range(1, 21)]
    orders = []
    for folder in ("a", "b"):
        ran.clear()
        found = sweep(config(tmp_path / folder), cells, {})
        orders.append(list(ran))
        assert found.status == "partial"
        assert all(cell.error == "nobody listens" for cell in found.cells)

    assert orders[0] == orders[1] != sorted(orders[0])
    assert sorted(orders[0]) == list(range(1, 21))


def test_search_ends_where_nothing_came_back_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed loop whose replies all came after measure gives no rate to begin with."""
    late = changed(sample_result.repetition(1), inferences_per_s=0.0)
    result = changed(sample_result.result(late), summary=summarize([late]))
    monkeypatch.setattr(runner, "run", lambda *_, **__: result)

    with pytest.raises(FastbenchError, match="nothing came back in time"):
        search(config(tmp_path / "s"), parse_objectives(["p99<5ms"]))


def test_cell_with_wrong_answers_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures stay, but nobody takes them for a success."""
    wrong = Verification(
        requested=9, checked=9, mismatches=2, max_abs_difference=1.0, tolerance=1e-3
    )
    result = sample_result.result(changed(sample_result.repetition(1), verification=wrong))
    monkeypatch.setattr(runner, "run", lambda *_, **__: result)

    found = sweep(config(tmp_path / "s"), [{"pipeline": 1}], {"pipeline": [1]})

    assert found.status == "partial"
    assert (found.cells[0].status, found.cells[0].error) == ("failed", WRONG_ANSWERS)
    assert found.cells[0].figures is not None
