"""Plots over time: the repetitions one after the other on one axis of seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastbench.report.html.plots import FAINT, SYMBOLS, Json, Plot, axis, label, line

if TYPE_CHECKING:
    from collections.abc import Sequence

#: More repetitions than this are drawn without their numbers.
MAX_LABELS: Final = 12
MAX_MARKED: Final = 40  # instants of a repetition that are marked: one alone makes no line
DRAIN: Final = "#EFEFEF"


@dataclass(frozen=True, slots=True)
class Curve:
    """One value over time: for each repetition a list as long as its instants."""

    name: str
    parts: Sequence[Sequence[float | None]]

    @property
    def is_empty(self) -> bool:
        """Whether there is no value at all."""
        return all(value is None for part in self.parts for value in part)


@dataclass(frozen=True, slots=True)
class Strip:
    """Where each repetition stands on the common axis.

    ``names``: of the repetitions. ``instants``: of each, in seconds from its own start, rising.
    ``lengths_s``: how long each is; ``measured_s``: how much of that is measure, the rest drain.
    """

    names: Sequence[str]
    instants: Sequence[Sequence[float]]
    lengths_s: Sequence[float]
    measured_s: Sequence[float]

    def starts_s(self) -> list[float]:
        """Return where each repetition begins on the common axis."""
        return [sum(self.lengths_s[:i]) for i in range(len(self.lengths_s))]

    def line(self, curve: Curve, style: int) -> Json:
        """Return the curve as a line that is broken between repetitions."""
        trace = line(curve.name, *self.points(curve), style)
        if max(map(len, self.instants), default=0) <= MAX_MARKED:
            marker = {"symbol": SYMBOLS[style % len(SYMBOLS)], "size": 6}
            trace |= {"mode": "lines+markers", "marker": marker}
        return trace

    def points(self, curve: Curve) -> tuple[list[float | None], list[float | None]]:
        """Return x and y on the common axis, with a gap after each repetition."""
        x: list[float | None] = []
        y: list[float | None] = []
        for start, instants, part in zip(self.starts_s(), self.instants, curve.parts, strict=True):
            x += [*(round(start + t, 3) for t in instants), None]
            y += [*part, None]
        return x, y

    def layout(self, y_title: str, **y_axis: Any) -> Json:
        """Return axes, a line where a repetition begins, and drains in grey."""
        starts = self.starts_s()
        drains = [
            _area(start + measured, start + length)
            for start, measured, length in zip(starts, self.measured_s, self.lengths_s, strict=True)
            if length > measured
        ]
        several = len(starts) > 1
        return {
            "xaxis": axis(
                "seconds, repetitions in a row" if several else "seconds",
                range=[0, sum(self.lengths_s)],
                zeroline=False,
            ),
            "yaxis": axis(y_title, **{"rangemode": "tozero"} | y_axis),
            "shapes": [*drains, *(_border(start) for start in starts[1:])],
            "annotations": self._labels(starts) if several else [],
        }

    def rows(self, curves: Sequence[Curve]) -> list[tuple[Any, ...]]:
        """Return the table: repetition, its own second, and each curve's value."""
        return [
            (name, round(t, 3), *(curve.parts[i][j] for curve in curves))
            for i, (name, instants) in enumerate(zip(self.names, self.instants, strict=True))
            for j, t in enumerate(instants)
        ]

    def _labels(self, starts: list[float]) -> list[Json]:
        return [
            {
                "x": start,
                "y": 0,
                "yref": "paper",
                "text": name,
                "showarrow": False,
                "xanchor": "left",
                "yanchor": "bottom",
                "font": {"size": 11, "color": FAINT},
            }
            for start, name in zip(starts, self.names, strict=True)
            if len(starts) <= MAX_LABELS
        ]


def strip_plot(
    strip: Strip,
    curves: Sequence[Curve],
    y_title: str,
    *,
    name: str,
    title: str,
    reading: str,
    doubt: str,
    **y_axis: Any,
) -> Plot:
    """Return the plot of all curves that have a value, with their table."""
    shown = [curve for curve in curves if not curve.is_empty]
    return Plot(
        name=name,
        title=title,
        reading=reading,
        doubt=doubt,
        traces=[strip.line(curve, style) for style, curve in enumerate(shown)],
        layout=strip.layout(y_title, **y_axis),
        columns=("repetition", "second", *(curve.name for curve in shown)),
        rows=strip.rows(shown),
    )


def level(y: float, text: str) -> tuple[Json, Json]:
    """Return a horizontal line at ``y`` over the whole width, and its label."""
    shape = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
        "line": {"color": "#A32D00", "dash": "dash", "width": 1.5},
    }
    note = {
        "xref": "paper",
        "x": 1,
        "y": y,
        "text": label(text),
        "showarrow": False,
        "xanchor": "right",
        "yanchor": "bottom",
        "font": {"size": 11, "color": "#A32D00"},
    }
    return shape, note


def _border(x: float) -> Json:
    return {
        "type": "line",
        "yref": "paper",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "line": {"color": FAINT, "width": 1},
    }


def _area(x0: float, x1: float) -> Json:
    return {
        "type": "rect",
        "yref": "paper",
        "layer": "below",
        "x0": x0,
        "x1": x1,
        "y0": 0,
        "y1": 1,
        "fillcolor": DRAIN,
        "line": {"width": 0},
    }
