"""The server's own figures: what rose over each repetition, and each figure over time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastbench.report.html.elements import Html, element, join, table
from fastbench.report.html.plots import Json, Plot, Section
from fastbench.report.html.strip import Curve, Strip, strip_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.report.html.elements import Cell
    from fastbench.results import Repetition, Result, ServerMetrics


def metrics_section(result: Result) -> Section | None:
    """Return the server's figures; None where it was not asked for any."""
    metrics = [r.server_metrics for r in result.repetitions]
    if not any(metrics):
        return None
    missing = sorted({m.unavailable for m in metrics if m and m.unavailable})
    notes = (element("p", f"Not available: {text}") for text in missing)
    content = join((*notes, _deltas(result.repetitions, metrics)))
    plot = _plot(result.repetitions, metrics)
    return Section("server", "What the server says", content, () if plot is None else (plot,))


def _deltas(repetitions: Sequence[Repetition], metrics: Sequence[ServerMetrics | None]) -> Html:
    names = sorted({name for m in metrics if m for name in m.deltas})
    if not names:
        return Html()
    columns = ("rose by", *(f"rep {r.index}" for r in repetitions))
    rows: list[list[Cell]] = [
        [name, *(m.deltas.get(name) if m else None for m in metrics)] for name in names
    ]
    summary = element("summary", "Table: counters of the server")
    return element("details", summary, table(columns, rows, class_="numbers"))


def _plot(
    repetitions: Sequence[Repetition], metrics: Sequence[ServerMetrics | None]
) -> Plot | None:
    samples = [m.samples if m else [] for m in metrics]
    names = sorted({name for part in samples for s in part for name in s.values})
    if not names:
        return None
    instants = [[s.at_s for s in part] for part in samples]
    lengths_s = [at[-1] if at else 0.0 for at in instants]
    strip = Strip([f"rep {r.index}" for r in repetitions], instants, lengths_s, lengths_s)
    curves = [Curve(n, [[s.values.get(n) for s in part] for part in samples]) for n in names]
    plot = strip_plot(
        strip,
        curves,
        "",
        name="server-metrics",
        title="The server's figures over time",
        reading="Choose a figure above the plot; counters are shown as what they rose by since "
        "the sample before, gauges as they were.",
        doubt="they are the server's own words, at most one a second; short peaks are not in them.",
    )
    traces, layout = _one_at_a_time(plot)
    return replace(plot, traces=traces, layout=layout)


def _one_at_a_time(plot: Plot) -> tuple[list[Json], Json]:
    """Return traces and layout in which a menu chooses the figure, for units differ."""
    names = [trace["name"] for trace in plot.traces]
    traces = [
        trace | {"visible": k == 0, "showlegend": False} for k, trace in enumerate(plot.traces)
    ]
    buttons = [
        {
            "label": name,
            "method": "restyle",
            "args": [{"visible": [other == k for other in range(len(names))]}],
        }
        for k, name in enumerate(names)
    ]
    menu = {
        "buttons": buttons,
        "direction": "down",
        "x": 0,
        "xanchor": "left",
        "y": 1.04,
        "yanchor": "bottom",
        "showactive": True,
    }
    margin = {"l": 56, "r": 12, "t": 56, "b": 44}
    return traces, plot.layout | {"updatemenus": [menu], "margin": margin}
