"""The servers' own figures: what rose over each repetition, and each figure over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastbench.report import servers
from fastbench.report.html.elements import Html, element, join, table
from fastbench.report.html.plots import Json, Plot, Section, label
from fastbench.report.html.strip import Curve, Strip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.report.html.elements import Cell
    from fastbench.results import Result, ServerMetrics, ServerSample


def metrics_section(result: Result) -> Section | None:
    """Return the servers' figures; None where none was asked for any."""
    found = {
        url: [server.metrics if server else None for server in each]
        for url, each in servers.by_url(result.repetitions).items()
    }
    told = {url: metrics for url, metrics in found.items() if any(metrics)}
    if not told:
        return None
    notes = (element("p", f"Not available: {text}") for text in servers.unavailable(result))
    names = [f"rep {r.index}" for r in result.repetitions]
    tables = (_deltas(url, names, metrics) for url, metrics in told.items())
    plot = _plot(names, told)
    content = join((*notes, *tables))
    title = "What the server says" if len(told) == 1 else "What the servers say"
    return Section("server", title, content, () if plot is None else (plot,))


def _deltas(url: str, repetitions: Sequence[str], metrics: Sequence[ServerMetrics | None]) -> Html:
    names = sorted({name for m in metrics if m for name in m.deltas})
    if not names:
        return Html()
    rows: list[list[Cell]] = [
        [name, *(m.deltas.get(name) if m else None for m in metrics)] for name in names
    ]
    summary = element("summary", f"Table: counters of the server {url}".rstrip())
    return element("details", summary, table(("rose by", *repetitions), rows, class_="numbers"))


def _plot(
    repetitions: Sequence[str], told: Mapping[str, Sequence[ServerMetrics | None]]
) -> Plot | None:
    """Return every figure over time, one at a time; of several servers a curve for each."""
    said = [_Told(url, [m.samples if m else [] for m in each]) for url, each in told.items()]
    names = sorted({name for server in said for name in server.names()})
    if not names:
        return None
    lengths_s = [max(server.ends_s()[i] for server in said) for i in range(len(repetitions))]
    strips = [Strip(repetitions, s.instants(), lengths_s, lengths_s) for s in said]
    drawn = list(zip(said, strips, strict=True))
    several = len(said) > 1
    traces = _traces(drawn, names)
    rows = [
        (server.url, *row) if several else row
        for server, strip in drawn
        for row in strip.rows([server.curve(name, name) for name in names])
    ]
    plot = Plot(
        name="server-metrics",
        title="The servers' figures over time" if several else "The server's figures over time",
        reading="Choose a figure above the plot; counters are shown as what they rose by since "
        "the sample before, gauges as they were.",
        doubt="they are the server's own words, at most one a second; short peaks are not in them.",
        traces=[trace for _, trace in traces],
        layout=strips[0].layout(""),
        columns=(*(["server"] if several else []), "repetition", "second", *names),
        rows=rows,
    )
    return _one_at_a_time(plot, names, [name for name, _ in traces], legend=several)


def _traces(drawn: Sequence[tuple[_Told, Strip]], names: Sequence[str]) -> list[tuple[str, Json]]:
    """Return figure and curve; their style tells servers apart, or figures of the only one."""
    several = len(drawn) > 1
    return [
        (name, strip.line(curve, place if several else kind))
        for place, (server, strip) in enumerate(drawn)
        for kind, name in enumerate(names)
        if not (curve := server.curve(name, server.url if several else name)).is_empty
    ]


@dataclass(frozen=True, slots=True)
class _Told:
    """What one server said in each repetition; nothing where it was not asked."""

    url: str
    samples: Sequence[Sequence[ServerSample]]

    def names(self) -> set[str]:
        return {name for part in self.samples for s in part for name in s.values}

    def instants(self) -> list[list[float]]:
        return [[s.at_s for s in part] for part in self.samples]

    def ends_s(self) -> list[float]:
        return [at[-1] if at else 0.0 for at in self.instants()]

    def curve(self, figure: str, name: str) -> Curve:
        return Curve(name, [[s.values.get(figure) for s in part] for part in self.samples])


def _one_at_a_time(
    plot: Plot, names: Sequence[str], figures: Sequence[str], *, legend: bool
) -> Plot:
    """Return ``plot`` with a menu that chooses the figure, for units differ.

    ``figures``: which of ``names`` each trace is of.
    """
    traces = [
        trace | {"visible": figure == names[0], "showlegend": legend}
        for trace, figure in zip(plot.traces, figures, strict=True)
    ]
    buttons = [
        {
            "label": label(name),
            "method": "restyle",
            "args": [{"visible": [figure == name for figure in figures]}],
        }
        for name in names
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
    below = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}  # the menu is above
    layout = plot.layout | {"updatemenus": [menu], "margin": margin, "legend": below}
    return replace(plot, traces=traces, layout=layout)
