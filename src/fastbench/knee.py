"""Throughput-latency curves and their knees, from the cells of a sweep.

The knee is where *power* is greatest: throughput divided by mean response time (L. Kleinrock,
"Power and deterministic rules of thumb for probabilistic problems in computer communications",
ICC 1979). For one M/M/1 server of rate mu, power is x (mu - x), greatest at half load. Below the
knee more load buys throughput nearly for nothing; above it, it mostly buys waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.sweeps import Curve, Knee, Point

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.sweeps import Cell, Setting

#: Settings that raise the load, in order of preference: a curve follows the first that varies.
LOAD_AXES = ("rate", "connections", "pipeline")

#: Power counts as lower only below this share of the greatest.
CLEARLY_LOWER = 0.95
ENOUGH_POINTS = 3
COUNTED = {"connections", "pipeline"}  # of these one is the least that there is
POWER = "throughput / mean response time"


def curves(cells: Sequence[Cell]) -> list[Curve]:
    """Return one curve for each combination of the settings other than the load axis.

    None where no load setting varies, or no two cells differ in it alone.
    """
    axis = _load_axis(cells)
    if axis is None:
        return []
    groups: dict[tuple[tuple[str, Setting], ...], list[Cell]] = {}
    for cell in cells:
        fixed = tuple((n, v) for n, v in sorted(cell.settings.items()) if n != axis)
        groups.setdefault(fixed, []).append(cell)
    return [_curve(axis, dict(fixed), group) for fixed, group in groups.items() if len(group) > 1]


def find_knee(axis: str, points: Sequence[Point]) -> tuple[Knee | None, str]:
    """Return the knee and where it is in words; None and why there is none.

    ``points``: ascending in load. The knee lies between the nearest loads on either side at
    which power is below 95 % of the greatest; without one on either side none was seen.
    """
    known = [(p.power, p) for p in points if p.power is not None]
    if len(known) < ENOUGH_POINTS:
        return None, f"no knee seen: fewer than {ENOUGH_POINTS} cells of the curve succeeded"
    best = max(range(len(known)), key=lambda i: known[i][0])
    enough = CLEARLY_LOWER * known[best][0]
    below = [p.load for power, p in known[:best] if power < enough]
    above = [p.load for power, p in known[best:] if power < enough]
    if below and above:
        point = known[best][1]
        knee = Knee(cell=point.cell, load=point.load, low=below[-1], high=above[0])
        where = f"{axis} {knee.load:g}, between {knee.low:g} and {knee.high:g}"
        return knee, f"knee at {where}: {POWER} is greatest there"
    return None, f"no knee seen: {POWER} {_unseen(axis, known[0][1].load, below, above)}"


def _unseen(axis: str, lowest: float, below: list[float], above: list[float]) -> str:
    if below:
        return "is greatest at the highest load: sweep higher"
    if above and axis in COUNTED and lowest <= 1:
        return f"is greatest at {axis} 1, and nothing is lower: more load mostly buys waiting"
    if above:
        return "is greatest at the lowest load: sweep lower"
    return "hardly changes over the whole curve"


def _load_axis(cells: Sequence[Cell]) -> str | None:
    values = {name: {cell.settings.get(name) for cell in cells} for name in LOAD_AXES}
    return next((name for name in LOAD_AXES if len(values[name]) > 1), None)


def _curve(axis: str, fixed: Mapping[str, Setting], cells: list[Cell]) -> Curve:
    points = sorted((_point(axis, c) for c in cells), key=lambda point: point.load)
    knee, finding = find_knee(axis, points)
    return Curve(axis=axis, fixed=dict(fixed), points=points, knee=knee, finding=finding)


def _point(axis: str, cell: Cell) -> Point:
    figures = cell.figures
    mean_ms = figures.mean_response_ms if figures else None
    power = figures.inferences_per_s / (mean_ms / 1e3) if figures and mean_ms else None
    return Point(cell=cell.name, load=float(cell.settings[axis]), power=power)
