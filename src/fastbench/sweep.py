"""The story of a sweep: the same benchmark at many settings, in random order, resumable."""

from __future__ import annotations

import dataclasses
import random
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from fastbench import platform_info, study, sweeps
from fastbench.axes import FIELDS, cell_name, configure
from fastbench.errors import FastbenchError, UsageError
from fastbench.figures import figures
from fastbench.knee import curves
from fastbench.repetition import now_utc
from fastbench.report import sweep_files
from fastbench.report.html import sweep_page
from fastbench.report.studies import SWEEP
from fastbench.streams import parts_of
from fastbench.sweeps import SWEEP_SCHEMA_VERSION, Cell, SweepResult
from fastbench.warnings import WRONG_ANSWERS, answers_are_right

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fastbench.axes import Settings
    from fastbench.config import RunConfig
    from fastbench.results import Result
    from fastbench.sweeps import Setting

DONE = "complete"


def sweep(
    config: RunConfig,
    cells: Sequence[Settings],
    axes: Mapping[str, list[Setting]],
    *,
    show: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> SweepResult:
    """Run ``config`` once for each cell; each result goes to a folder in ``config.out``.

    ``axes``: the values that ``cells`` came from, for the record. ``show``: progress of the runs
    on standard error; ``say`` is told each cell that begins. A cell that fails is recorded as
    failed and the sweep goes on; so is one whose own target cannot do what is asked of it. What
    an earlier sweep with the same plan completed in that folder is not repeated. Ctrl-C ends it,
    with what there is.

    Raises :class:`UsageError` where the options are wrong, a cell's settings do not fit together,
    or the folder was begun with another plan.
    """
    out = study.folder_of(config)
    configs = _configs(config, cells, out)
    planned = _plan(config, cells, axes)
    with study.opened(out, SWEEP) as earlier:
        now = planned if earlier is None else _resumed(out, earlier, planned)
        _write(out, now)
        try:
            for place, name in enumerate(now.order, 1):
                say(f"cell {place}/{len(now.order)}: {name.replace('_', ' ')}")
                now = _with(now, *_run(configs[name], _cell(now, name), show=show))
                _write(out, now)
                if now.status == "interrupted":
                    return now
            now = msgspec.structs.replace(now, status=_end(now))
        except KeyboardInterrupt:  # between two cells
            now = msgspec.structs.replace(now, status="interrupted")
        _write(out, now)
    return now


def _configs(config: RunConfig, cells: Sequence[Settings], out: Path) -> dict[str, RunConfig]:
    """Check every cell before the first is run."""
    if not cells:
        msg = "nothing to vary: give --over NAME=VALUES, or --cells FILE"
        raise UsageError(msg)
    configs: dict[str, RunConfig] = {}
    for settings in cells:
        name = cell_name(settings)
        if name in configs:
            msg = f"two cells would have the same folder, {name}: run them apart"
            raise UsageError(msg)
        configs[name] = _configured(config, settings)
    return {name: dataclasses.replace(c, out=out / name) for name, c in configs.items()}


def _configured(config: RunConfig, settings: Settings) -> RunConfig:
    """Return the configuration of a cell, its streams checked too."""
    for stream in config.streams:
        own = next((name for name in settings if FIELDS[name] in stream.own), None)
        if own is not None:
            msg = (
                f"stream {stream.name!r} sets {FIELDS[own]} itself, so {own} cannot be varied for "
                "the run: leave it out of that [[stream]]"
            )
            raise UsageError(msg)
    configured = configure(config, settings)
    try:
        parts_of(configured)
    except UsageError as error:
        msg = f"cell {cell_name(settings)}: {error}"
        raise UsageError(msg) from error
    return configured


def _plan(
    config: RunConfig, cells: Sequence[Settings], axes: Mapping[str, list[Setting]]
) -> SweepResult:
    """Shuffle the cells, so that a drift of the machines does not look like an effect."""
    order = [cell_name(settings) for settings in cells]
    random.Random(config.seed).shuffle(order)
    now = now_utc()
    made = [Cell(name=cell_name(s), settings=dict(s)) for s in cells]
    own = {FIELDS[name] for name in sweeps.text_settings(made)}
    return SweepResult(
        schema_version=SWEEP_SCHEMA_VERSION,
        fastbench_version=version("fastbench"),
        status="running",
        started_at=now,
        ended_at=now,
        config={n: v for n, v in study.plan_of(config).items() if n not in own},
        axes={name: list(values) for name, values in axes.items()},
        order_seed=config.seed,
        order=order,
        cells=made,
        platform=platform_info.describe(),
    )


def _resumed(out: Path, earlier: bytes, planned: SweepResult) -> SweepResult:
    """Return the earlier sweep, every cell to be looked at again."""
    old = study.taken_up(out / SWEEP, earlier, sweeps.from_json)
    study.require_same(out, _compared(old), _compared(planned))
    return msgspec.structs.replace(old, status="running", cells=planned.cells, curves=[])


def _compared(sweep: SweepResult) -> dict[str, object]:
    cells = [cell.settings for cell in sweep.cells]
    return {"fastbench": sweep.fastbench_version, **sweep.config, "cells": cells}


def _run(config: RunConfig, cell: Cell, *, show: bool) -> tuple[Cell, str]:
    """Return the cell with what an earlier run found or what happens now, and when that ended."""
    try:
        result = study.earlier_result(config) or study.run(config, show=show)
    except FastbenchError as error:
        if isinstance(error, UsageError) and not sweeps.text_settings([cell]):
            raise  # it would hold for every other cell as well
        return msgspec.structs.replace(cell, status="failed", error=str(error)), now_utc()
    except KeyboardInterrupt:
        return msgspec.structs.replace(cell, status="interrupted"), now_utc()
    return _described(cell, result), result.ended_at


def _described(cell: Cell, result: Result) -> Cell:
    found = figures(result)
    problem = "" if answers_are_right(result) else WRONG_ANSWERS
    problem = problem if found else "no inference succeeded"
    status = "failed" if problem and result.status != "interrupted" else result.status
    return msgspec.structs.replace(
        cell,
        status=status,
        error=result.error or problem,
        figures=found,
        about=sweeps.about(result),
    )


def _with(sweep: SweepResult, done: Cell, ended_at: str) -> SweepResult:
    cells = [done if cell.name == done.name else cell for cell in sweep.cells]
    return msgspec.structs.replace(
        sweep,
        status="interrupted" if done.status == "interrupted" else sweep.status,
        ended_at=max(sweep.ended_at, ended_at),
        cells=cells,
        curves=curves(cells),
    )


def _cell(sweep: SweepResult, name: str) -> Cell:
    return next(cell for cell in sweep.cells if cell.name == name)


def _end(sweep: SweepResult) -> str:
    return DONE if all(cell.status == DONE for cell in sweep.cells) else "partial"


def _write(out: Path, sweep: SweepResult) -> None:
    study.write(
        {
            out / SWEEP: sweeps.to_json(sweep),
            out / "sweep.csv": sweep_files.csv_file(sweep),
            out / "sweep.md": sweep_files.markdown(sweep),
            out / "sweep.html": sweep_page.render(sweep),
        }
    )
