"""Cells that differ in what is measured, side by side: their throughput, and their latencies."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fastbench.report import sweep_files
from fastbench.report.html.plots import SYMBOLS, Json, Plot, axis, differ_widely, dots, label
from fastbench.report.numbers import printable
from fastbench.verdict import CLIENT_OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.report.html.elements import Cell as TableCell
    from fastbench.sweeps import Figures, SweepResult

QUANTILES = ("p50", "p95", "p99")
_ROW_PX = 56  # a mark, and above it the name of its cell in up to two lines
_NAME_LETTERS = 40  # in a line: what a narrow screen has room for
_FRAME_PX = 160


def cell_plots(sweep: SweepResult) -> tuple[Plot, ...]:
    """Return a plot of the throughput of each cell and one of its latencies; () for none."""
    cells = [c for c in sweep.cells if c.figures]
    known = [(sweep_files.settings_text(c), c.figures) for c in cells if c.figures]
    whole = [c.status == "complete" for c in cells]
    return (_throughput(known, whole), _latencies(known)) if known else ()


def _throughput(known: Sequence[tuple[str, Figures]], whole: Sequence[bool]) -> Plot:
    rates = [f.inferences_per_s for _, f in known]
    is_open = [
        not good or f.verdict != CLIENT_OK for good, (_, f) in zip(whole, known, strict=True)
    ]
    trace = _marks("inferences/s", rates, known, 0, is_open)
    spreads = [(f.inferences_per_s_spread.min, f.inferences_per_s_spread.max) for _, f in known]
    ends = list(zip(rates, spreads, strict=True))
    trace["error_x"] = {
        "type": "data",
        "symmetric": False,
        "array": [0 if high is None else high - r for r, (_, high) in ends],
        "arrayminus": [0 if low is None else r - low for r, (low, _) in ends],
    }
    rows: list[list[TableCell]] = [
        [name, f.inferences_per_s, *spread, f.cpu_us_per_inference, f.verdict]
        for (name, f), spread in zip(known, spreads, strict=True)
    ]
    return Plot(
        name="throughput",
        title="Throughput of each cell",
        reading="The bars reach from the least to the greatest repetition; right is faster.",
        doubt="open marks: the client was not client-ok, so that the server may be able to do "
        "more, or the cell is not complete; bars that overlap: then the order may be chance "
        "(fastbench compare tells).",
        traces=[trace],
        layout=_layout(known, "inferences/s", rangemode="tozero"),
        columns=("cell", "inferences/s", "least", "greatest", "client CPU us", "client"),
        rows=rows,
        height_px=_FRAME_PX + _ROW_PX * len(known),
    )


def _latencies(known: Sequence[tuple[str, Figures]]) -> Plot:
    traces = [
        _marks(
            name,
            [getattr(f.response_ms, name) for _, f in known],
            known,
            style,
            [name in f.response_ms.beyond for _, f in known],
        )
        for style, name in enumerate(QUANTILES)
    ]
    wide = differ_widely(value for trace in traces for value in trace["x"])
    scale = {"type": "log"} if wide else {"rangemode": "tozero"}
    return Plot(
        name="latencies",
        title="Response times of each cell",
        reading="Left is faster. Open marks are lower bounds: inferences had no reply.",
        doubt="cells with different rates: what is offered less waits less.",
        traces=traces,
        layout=_layout(known, "response time, ms", **scale),
        columns=("cell", *(f"{name}, ms" for name in QUANTILES)),
        rows=[[name, *(getattr(f.response_ms, q) for q in QUANTILES)] for name, f in known],
        height_px=_FRAME_PX + _ROW_PX * len(known),
    )


def _marks(
    name: str,
    values: Sequence[float | None],
    known: Sequence[tuple[str, Figures]],
    style: int,
    is_open: Sequence[bool],
) -> Json:
    """Return a mark for each cell, hollow where ``is_open``."""
    trace = dots(name, values, [label(cell) for cell, _ in known], style)
    symbol = SYMBOLS[style % len(SYMBOLS)]
    marks = [f"{symbol}-open" if hollow else symbol for hollow in is_open]
    return trace | {"marker": trace["marker"] | {"symbol": marks}}


def _layout(known: Sequence[tuple[str, Figures]], title: str, **scale: str) -> Json:
    names = [label(cell) for cell, _ in known]
    return {
        "xaxis": axis(title, **scale),
        "yaxis": axis(
            "", range=[len(names) - 0.5, -1.0], categoryarray=names, showticklabels=False
        ),
        "annotations": [_name_above(cell) for cell, _ in known],
        "hovermode": "closest",
    }


def _name_above(cell: str) -> Json:
    """Return the name of a cell above its mark: beside the plot it would take a screen's width."""
    lines = textwrap.wrap(printable(cell), _NAME_LETTERS, break_on_hyphens=False)
    return {
        "text": "<br>".join(map(label, lines)),
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "y": label(cell),
        "yanchor": "bottom",
        "yshift": 7,
        "align": "left",
        "showarrow": False,
        "font": {"size": 12},
    }
