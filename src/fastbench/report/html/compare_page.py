"""A comparison as a page: every change with its interval, and the spectra over one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbench.comparison import CANNOT_TELL, NO_DIFFERENCE
from fastbench.report import comparing
from fastbench.report.html.elements import element, join, table
from fastbench.report.html.page import page
from fastbench.report.html.plots import FAINT, Json, Plot, Section, axis, dots
from fastbench.report.html.spectrum import plot_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.comparison import Candidate, Change, Comparison
    from fastbench.report.html.elements import Html
    from fastbench.results import Result

WIDE = 100.0  # percent: twice as much, or nothing
#: One look per verdict would be too many: what is shown, and what is not.
SHOWN: Final = ("slower", "faster", "more", "fewer")


def render(comparison: Comparison, results: Sequence[Result]) -> bytes:
    """Return the page; ``results``: the base and the candidates, in the comparison's order."""
    sections = [
        *(_section(number, one) for number, one in enumerate(comparison.candidates, 1)),
        _overlay(comparison, results),
    ]
    names = [one.side.name for one in comparison.candidates]
    title = f"{', '.join(names)} against {comparison.base.name}"
    return page(title, element("p", comparing.LEGEND), sections)


def _section(number: int, candidate: Candidate) -> Section:
    rows = [comparing.row(change) for change in candidate.changes]
    doubts = element("ul", *(element("li", note) for note in candidate.notes), class_="warnings")
    limits = [(li.text, li.status, li.message) for li in candidate.limits]
    differences = [(d.what, d.base, d.other) for d in candidate.differences]
    content = join(
        (
            doubts if candidate.notes else "",
            table(comparing.HEADER, rows, class_="numbers"),
            table(("limit", "status", "why"), limits, class_="text") if limits else "",
            _differences(differences) if differences else "",
        )
    )
    plots = (_changes(number, candidate),)
    return Section(
        f"candidate-{number}", candidate.side.name, content, tuple(p for p in plots if p)
    )


def _differences(rows: list[tuple[str, str, str]]) -> Html:
    whole = table(("what", "base", "other"), rows, class_="text")
    return element("details", element("summary", "Table: what else differs"), whole)


def _changes(number: int, candidate: Candidate) -> Plot | None:
    """Return relative changes with their intervals; None where none is known."""
    known = [c for c in candidate.changes if c.unit != "share" and c.change is not None]
    if not known:
        return None
    names = [comparing.label(c) for c in known]
    groups = {
        "more than chance": [c for c in known if c.verdict in SHOWN],
        NO_DIFFERENCE: [c for c in known if c.verdict == NO_DIFFERENCE],
        CANNOT_TELL: [c for c in known if c.verdict == CANNOT_TELL],
    }
    traces = []
    for style, (name, changes) in enumerate(groups.items()):
        values = [100 * (c.change or 0.0) for c in changes]
        trace = dots(name, values, [comparing.label(c) for c in changes], style)
        ends = [(c.low, c.high) for c in changes]
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [_length(v, high) for v, (_, high) in zip(values, ends, strict=True)],
            "arrayminus": [_length(v, low) for v, (low, _) in zip(values, ends, strict=True)],
        }
        traces.append(trace)
    return Plot(
        name=f"changes-{number}",
        title=f"Changes, {candidate.side.name}",
        reading="Each metric's change against the base with its 95 % interval; one that does not "
        "reach across 0 is more than chance. For latencies left is faster, for the rate right. "
        "Very wide intervals end outside the picture: the table has their ends.",
        doubt="a mark without bars: its interval is not known. Where inferences had no answer, the "
        "table marks what is only a bound.",
        traces=traces,
        layout={
            "xaxis": axis("change, %", **_range(known)),
            "yaxis": axis("", autorange="reversed", categoryarray=names),
            "shapes": [_zero()],
            "hovermode": "closest",
        },
        columns=("metric", *comparing.HEADER[3:5], "verdict"),
        rows=[(comparing.label(c), *comparing.row(c)[3:]) for c in known],
    )


def _range(changes: Sequence[Change]) -> Json:
    """Return the range of the axis where intervals are so wide that nothing else would be seen."""
    farthest = 2 * max(WIDE, *(100 * (c.change or 0.0) for c in changes))
    ends = [100 * c.high for c in changes if c.high is not None]
    return {"range": [-WIDE, farthest]} if max(ends, default=0.0) > farthest else {}


def _length(percent: float, end: float | None) -> float:
    return 0.0 if end is None else abs(100 * end - percent)


def _zero() -> Json:
    return {
        "type": "line",
        "yref": "paper",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "line": {"color": FAINT, "width": 1},
    }


def _overlay(comparison: Comparison, results: Sequence[Result]) -> Section:
    sides = [comparison.base, *(one.side for one in comparison.candidates)]
    roles = ["base", *(f"other {k}" for k in range(1, len(results)))]
    parts = {
        f"{role}: {side.name}": [r.response_ms for r in result.repetitions]
        for role, side, result in zip(roles, sides, results, strict=True)
    }
    plot = plot_of(
        parts, shown=list(parts), name="overlay", title="Response times over one another"
    )
    return Section("overlay", "Latency spectra", plots=() if plot is None else (plot,))
