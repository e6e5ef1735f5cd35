"""The stories of sweep and search where Ctrl-C falls between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench import runner, searches, sweeps
from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import ConnectError
from fastbench.search import search
from fastbench.slo import parse_objectives
from fastbench.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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
