"""What a plot is: plain data for plotly.js, a sentence on how to read it, and its table."""

from __future__ import annotations

import html
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from fastbench.report.html.elements import Html, element, join, table
from fastbench.report.numbers import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastbench.report.html.elements import Cell

#: JSON data as plotly.js reads it.
Json = dict[str, Any]

#: Okabe and Ito's colours for colour-blind readers, the light ones darkened until lines on white
#: have a contrast of 3:1 or more; with a dash and a marker each, for colour is never alone.
COLOURS: Final = ("#0072B2", "#D55E00", "#00805C", "#A6558A", "#333333", "#8A6100")
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "x", "star")
FAINT: Final = "#6B6B6B"
GRID: Final = "#E3E3E3"

#: Rows of the table below a plot; the rest is in ``timeseries.csv`` and ``result.json``.
MAX_ROWS: Final = 2000

WIDE: Final = 20  # times the median: a logarithmic axis then shows more


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot of a page.

    ``name``: stable, names its place in the page. ``reading``: how to read it in a sentence;
    ``doubt``: when not to trust it. ``traces`` and ``layout``: what plotly.js draws. ``columns``
    and ``rows``: the same numbers as a table. ``log_y``: a logarithmic axis may be chosen;
    ``starts_log``: it is chosen at first, for the values differ widely.
    """

    name: str
    title: str
    reading: str
    doubt: str
    traces: list[Json]
    layout: Json
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    log_y: bool = False
    starts_log: bool = False
    height_px: int = 360

    def worded(self, say: Callable[[str], str]) -> Plot:
        """Return the plot with all its words as ``say`` makes them."""
        return replace(
            self,
            title=say(self.title),
            reading=say(self.reading),
            doubt=say(self.doubt),
            traces=[_worded(trace, say) for trace in self.traces],
            layout=_worded(self.layout, say),
            columns=tuple(map(say, self.columns)),
            rows=[[_worded(cell, say) for cell in row] for row in self.rows],
        )

    def markup(self) -> Html:
        """Return its place in the page, with the table of its numbers."""
        return element(
            "figure",
            element("h3", self.title),
            _switch(self.name, log=self.starts_log) if self.log_y else "",
            element(
                "div",
                class_="plot",
                id=f"plot-{self.name}",
                style=f"height: {self.height_px}px",
                role="img",
                aria_label=f"{self.title}; its numbers are in the table below",
            ),
            element("figcaption", self.reading, " ", _doubt(self.doubt)),
            self._table(),
        )

    def data(self) -> Json:
        """Return what the page's script draws."""
        layout = base_layout() | self.layout
        if self.starts_log:
            layout["yaxis"] = layout["yaxis"] | {"type": "log"}
        return {"name": self.name, "traces": self.traces, "layout": layout}

    def _table(self) -> Html:
        more = len(self.rows) - MAX_ROWS
        rest = f"{more:,} more rows are in the result's other files." if more > 0 else ""
        return element(
            "details",
            element("summary", f"Table: {self.title}"),
            table(self.columns, self.rows[:MAX_ROWS], class_="numbers"),
            element("p", rest) if rest else "",
        )


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a heading, markup, and plots below it."""

    name: str
    title: str
    content: Html = field(default_factory=Html)
    plots: tuple[Plot, ...] = ()

    def worded(self, say: Callable[[str], str]) -> Section:
        """Return the section with all words of its plots as ``say`` makes them."""
        return replace(self, plots=tuple(plot.worded(say) for plot in self.plots))

    def markup(self) -> Html:
        """Return the section as it stands in the page."""
        body = join((self.content, *(plot.markup() for plot in self.plots)))
        return element("section", element("h2", self.title), body, id=self.name)


def _worded(value: Any, say: Callable[[str], str]) -> Any:
    """Return JSON data with all texts that are values as ``say`` makes them."""
    if isinstance(value, str):
        return say(value)
    if isinstance(value, dict):
        return {name: _worded(each, say) for name, each in value.items()}
    return [_worded(each, say) for each in value] if isinstance(value, list | tuple) else value


def line(name: str, x: Sequence[Any], y: Sequence[Any], style: int = 0, **more: Any) -> Json:
    """Return a line; ``style`` chooses its colour and dash together."""
    colour, dash = COLOURS[style % len(COLOURS)], DASHES[style % len(DASHES)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": x,
        "y": y,
        "line": {"color": colour, "dash": dash, "width": 2},
        "connectgaps": False,
        **more,
    }


def dots(name: str, x: Sequence[Any], y: Sequence[Any], style: int = 0, **more: Any) -> Json:
    """Return separate marks; ``style`` chooses their colour and shape together."""
    colour, symbol = COLOURS[style % len(COLOURS)], SYMBOLS[style % len(SYMBOLS)]
    marker = {"color": colour, "symbol": symbol, "size": 9}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(name),
        "x": x,
        "y": y,
        "marker": marker,
        **more,
    }


def label(text: str) -> str:
    """Return ``text`` for plotly.js, which takes tags in its texts for markup."""
    return html.escape(printable(text), quote=False)


def differ_widely(values: Iterable[float | None]) -> bool:
    """Tell whether a linear axis would press most of the values together at its foot."""
    positive = [value for value in values if value]
    return bool(positive) and max(positive) > WIDE * statistics.median(positive)


def axis(title: str, **more: Any) -> Json:
    """Return an axis with its title, the numbers on it in full."""
    return {
        "title": {"text": label(title), "standoff": 8, "font": {"size": 12}},
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": FAINT,
        "automargin": True,
        "exponentformat": "none",
        "separatethousands": True,
        **more,
    }


def base_layout() -> Json:
    """Return what all plots share."""
    return {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1A1A1A"},
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "margin": {"l": 56, "r": 12, "t": 16, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": True,
        "hovermode": "x unified",
    }


def _switch(name: str, *, log: bool) -> Html:
    """Return the buttons for the scale of the y axis."""
    return element(
        "div",
        *(
            element(
                "button",
                text,
                type="button",
                data_plot=name,
                data_scale=scale,
                aria_pressed="true" if (scale == "log") == log else "false",
            )
            for text, scale in (("linear", "linear"), ("logarithmic", "log"))
        ),
        class_="switch",
        role="group",
        aria_label="Scale of the y axis",
    )


def _doubt(text: str) -> Html:
    return join((element("strong", "When not to trust it:"), f" {text}")) if text else Html()
