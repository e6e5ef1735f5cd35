"""What a sweep found, as plain frozen data: the content of ``sweep.json``.

A sweep runs the same benchmark at several settings. Each *cell* is one of them, with a result
folder of its own; a *curve* orders the cells that differ in one load setting only. Units as in
:mod:`fastbench.results`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fastbench import versioned
from fastbench.results import (
    Counts,
    DatasetInfo,
    LatencySummary,
    Placement,
    Result,
    Spread,
    StreamInfo,
    TargetInfo,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

SWEEP_SCHEMA_VERSION = 2

#: The value of one setting of a cell; a text says what is measured, a number how.
Setting = int | float | str


class LittlesLaw(msgspec.Struct, frozen=True, kw_only=True):
    """Rate times mean time, which is how many inferences were in flight on average.

    Closed loop: rate x mean response time, to be ``slots`` (connections x pipeline), for every
    slot is always taken. Open loop: rate x mean service time, not to be above ``slots``.
    ``status``: ``ok``; ``off`` = farther away than ``tolerance``, a share of the slots: rate or
    latencies cannot both be right; ``not available`` = too few succeeded, what failed held slots
    that the successes do not show, or single inferences took too much of measure.
    """

    status: str
    in_flight: float | None
    slots: int
    tolerance: float | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one cell: medians over its repetitions; counts are totals.

    ``mean_response_ms`` counts an inference without an answer with the time after which it was
    given up: a lower bound then. ``verdict``: on the client; empty = not judged.
    """

    inferences_per_s: float
    inferences_per_s_spread: Spread
    samples_per_s: float
    offered_per_s: float | None  # open loop only
    mean_response_ms: float | None
    response_ms: LatencySummary
    counts: Counts
    cpu_us_per_inference: float | None
    littles_law: LittlesLaw
    verdict: str = ""
    warnings: list[str] = []  # their codes


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was of, as its result says."""

    target: TargetInfo
    dataset: DatasetInfo | None
    streams: list[StreamInfo] = []
    placement: Placement | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of everything that is varied.

    ``name``: of its result folder beside ``sweep.json``. ``status``: ``waiting``, ``complete``,
    ``partial``, ``interrupted`` or ``failed`` (``error`` says why; it has no figures).
    ``about``: None where there is no result.
    """

    name: str
    settings: dict[str, Setting]
    status: str = "waiting"
    error: str = ""
    figures: Figures | None = None
    about: About | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A cell on a curve; ``power``: inferences/s divided by mean response time in seconds."""

    cell: str
    load: float
    power: float | None


class Knee(msgspec.Struct, frozen=True, kw_only=True):
    """Where power is greatest: at ``load``, truly somewhere between ``low`` and ``high``."""

    cell: str
    load: float
    low: float
    high: float


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Cells in order of one load setting, all others the same.

    ``axis``: the setting; ``fixed``: the others. ``knee``: None = none seen; ``finding`` says in
    words where it is, or why there is none.
    """

    axis: str
    fixed: dict[str, Setting]
    points: list[Point]
    knee: Knee | None
    finding: str


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """One sweep: everything that ``sweep.json`` holds.

    ``status``: ``running``, ``complete``, ``partial`` (a cell did not complete) or
    ``interrupted``. ``config``: of all cells, before their settings, without those that are text.
    ``axes``: what was varied;
    empty values where the cells were listed. ``order``: names of the cells as they are run,
    shuffled by ``order_seed``. ``platform``: the client's machine, as in a result.
    """

    schema_version: int
    fastbench_version: str
    status: str
    started_at: str  # ISO 8601, UTC
    ended_at: str  # of the last cell so far
    config: dict[str, Any]
    axes: dict[str, list[Setting]]
    order_seed: int
    order: list[str]
    cells: list[Cell]
    curves: list[Curve] = []
    platform: dict[str, Any] = {}


def about(result: Result) -> About:
    """Return what ``result`` was of."""
    return About(
        target=result.target,
        dataset=result.dataset,
        streams=result.streams,
        placement=result.placement,
    )


def shown(value: Setting) -> str:
    """Return the value of a setting for people."""
    return value if isinstance(value, str) else f"{value:g}"


def text_settings(cells: Iterable[Cell]) -> list[str]:
    """Return the names of the settings of ``cells`` that are text, in order."""
    names = [name for cell in cells for name, v in cell.settings.items() if isinstance(v, str)]
    return list(dict.fromkeys(names))


def to_json(sweep: SweepResult) -> bytes:
    """Return ``sweep`` as indented JSON, the content of ``sweep.json``."""
    return versioned.to_json(sweep)


def from_json(data: bytes) -> SweepResult:
    """Return the sweep that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not a sweep, or of a newer schema.
    """
    return versioned.from_json(data, SweepResult, SWEEP_SCHEMA_VERSION, "sweep")
