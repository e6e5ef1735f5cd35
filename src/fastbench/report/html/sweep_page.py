"""``sweep.html``: throughput-latency curves with their knees, and every cell of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbench import sweeps
from fastbench.report import study_head, sweep_files
from fastbench.report.html.about import fact_list, plan_section
from fastbench.report.html.cell_plots import cell_plots
from fastbench.report.html.elements import element, join, table
from fastbench.report.html.page import page
from fastbench.report.html.plots import FAINT, SYMBOLS, Json, Plot, Section, axis, line
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastbench.report.html.elements import Cell as TableCell
    from fastbench.report.html.elements import Html
    from fastbench.sweeps import Cell, Curve, Figures, SweepResult

QUANTILES = ("p50", "p95", "p99")


def render(sweep: SweepResult) -> bytes:
    """Return the page: what was found, the curves, all cells, and what was asked for."""
    figures = {cell.name: cell.figures for cell in sweep.cells if cell.figures}
    curves = [curve for curve in sweep.curves if any(p.cell in figures for p in curve.points)]
    sections = [
        Section("finding", "What was found", _findings(sweep), _plots(sweep, curves, figures)),
        Section("cells", "Cells", _cells(sweep)),
        plan_section(sweep.config, _targets(sweep)),
    ]
    title = sweep_files.title(sweep)
    about = fact_list(study_head.sweep_lines(sweep))
    head = join((element("p", sweep_files.head(sweep)), about))
    say = wording(sweep.config)
    return page(title[0].upper() + title[1:], head, [s.worded(say) for s in sections])


def _findings(sweep: SweepResult) -> Html:
    curves = [f"{sweep_files.curve_name(curve)}{curve.finding}" for curve in sweep.curves]
    compares = bool(sweeps.text_settings(sweep.cells))
    none = [] if compares else ["no curve: no setting of the load was varied alone"]
    texts = [*(curves or none), *sweep_files.remarks_on(sweep)]
    return element("ul", *(element("li", text) for text in texts), class_="warnings")


def _cells(sweep: SweepResult) -> Html:
    heads, rows = sweep_files.cells_table(sweep)
    links = [_link(cell) for cell in sweep.cells]
    linked = [[*row, link] for row, link in zip(rows, links, strict=True)]
    note = element("p", "For a cell's own page: fastbench report FOLDER --format html > page.html")
    return join((table([*heads, "file"], linked, class_="numbers"), note))


def _targets(sweep: SweepResult) -> list[str]:
    """Return the target of each cell, as far as it is known."""
    given = (str(cell.settings.get("target", "")) for cell in sweep.cells)
    found = (cell.about.target.url if cell.about else "" for cell in sweep.cells)
    return [one or other for one, other in zip(given, found, strict=True) if one or other]


def _link(cell: Cell) -> str:
    """Return the link to what a cell left; nothing where it left no result."""
    if cell.about is None and cell.figures is None:
        return "-"
    return element("a", "result", href=f"{cell.name}/result.json")


def _plots(
    sweep: SweepResult, curves: Sequence[Curve], figures: Mapping[str, Figures]
) -> tuple[Plot, ...]:
    if not curves:
        return cell_plots(sweep) if sweeps.text_settings(sweep.cells) else ()
    return _throughput_latency(curves, figures), _by_load(curves, figures)


def _throughput_latency(curves: Sequence[Curve], figures: Mapping[str, Figures]) -> Plot:
    """Return response time against throughput: p99 of each curve, or all quantiles of one."""
    names = QUANTILES if len(curves) == 1 else QUANTILES[-1:]
    traces: list[Json] = []
    rows: list[list[TableCell]] = []
    for curve in curves:
        known = [(p.load, figures[p.cell]) for p in curve.points if p.cell in figures]
        rate = [f.inferences_per_s for _, f in known]
        for name in names:
            y = [getattr(f.response_ms, name) for _, f in known]
            title = f"{sweep_files.curve_name(curve)}{name}"
            bound = [name in f.response_ms.beyond for _, f in known]
            trace = _marked(title, rate, y, len(traces), bound)
            trace["text"] = [f"{curve.axis} {load:g}" for load, _ in known]
            traces.append(trace)
        traces += _knee(curve, figures, names[-1])
        rows += [_row(curve, load, f) for load, f in known]
    return Plot(
        name="throughput-latency",
        title="Response time against throughput",
        reading="Each point is a cell, from little load at the left to much; the star is the knee, "
        "where throughput divided by mean response time is greatest: beyond it more load mostly "
        "buys waiting. Open points are lower bounds: inferences had no reply.",
        doubt="cells whose client was not ok, or whose repetitions differ widely.",
        traces=traces,
        layout={
            "xaxis": axis("inferences/s", rangemode="tozero"),
            "yaxis": axis("response time, ms", rangemode="tozero"),
            "hovermode": "closest",
        },
        columns=("curve", curves[0].axis, "inferences/s", *(f"{n}, ms" for n in QUANTILES)),
        rows=rows,
        log_y=True,
        height_px=440,
    )


def _marked(
    name: str, x: list[float], y: list[float | None], style: int, bound: list[bool]
) -> Json:
    """Return a line with a mark for each cell, hollow where it is a lower bound."""
    symbol = SYMBOLS[style % len(SYMBOLS)]
    symbols = [f"{symbol}-open" if hollow else symbol for hollow in bound]
    return line(
        name,
        x,
        y,
        style,
        mode="lines+markers",
        marker={"size": 9, "symbol": symbols},
        hovertemplate="%{text}: %{x:,.5~g}/s, %{y:,.4~g} ms",
    )


def _knee(curve: Curve, figures: Mapping[str, Figures], quantile: str) -> list[Json]:
    knee = curve.knee
    if knee is None or knee.cell not in figures:
        return []
    found = figures[knee.cell]
    name = f"{sweep_files.curve_name(curve)}knee: {curve.axis} {knee.load:g}"
    star = line(name, [found.inferences_per_s], [getattr(found.response_ms, quantile)])
    marker = {"symbol": "star", "size": 18, "color": "#A32D00", "line": {"width": 1}}
    return [star | {"mode": "markers", "marker": marker}]


def _by_load(curves: Sequence[Curve], figures: Mapping[str, Figures]) -> Plot:
    """Return throughput of each curve against its load, the range of a knee in grey."""
    values: list[tuple[str, Callable[[Figures], Any]]] = [
        ("inferences/s", lambda f: f.inferences_per_s)
    ]
    if len(curves) == 1 and any(f.offered_per_s for f in figures.values()):
        values.append(("due/s", lambda f: f.offered_per_s))
    traces: list[Json] = []
    for curve in curves:
        known = [(p.load, figures[p.cell]) for p in curve.points if p.cell in figures]
        for title, value in values:
            name = f"{sweep_files.curve_name(curve)}{title}"
            y = [value(f) for _, f in known]
            trace = line(name, [load for load, _ in known], y, len(traces), mode="lines+markers")
            if title == "inferences/s":
                trace["error_y"] = _spread([f for _, f in known])
            traces.append(trace)
    return Plot(
        name="by-load",
        title=f"Throughput against {curves[0].axis}",
        reading="The bars reach from the least to the greatest repetition; grey is where the knee "
        "of a curve truly lies.",
        doubt="bars of neighbours overlap: then their order may be chance.",
        traces=traces,
        layout={
            "xaxis": axis(curves[0].axis, rangemode="tozero"),
            "yaxis": axis("inferences/s", rangemode="tozero"),
            "shapes": [_range(c.knee.low, c.knee.high) for c in curves if c.knee],
        },
        columns=("curve", curves[0].axis, "inferences/s", "least", "greatest", "power"),
        rows=[
            _power_row(c, p.load, p.power, figures.get(p.cell)) for c in curves for p in c.points
        ],
    )


def _spread(figures: Sequence[Figures]) -> Json:
    spreads = [(f.inferences_per_s, f.inferences_per_s_spread) for f in figures]
    return {
        "type": "data",
        "symmetric": False,
        "array": [(rate if s.max is None else s.max) - rate for rate, s in spreads],
        "arrayminus": [rate - (rate if s.min is None else s.min) for rate, s in spreads],
    }


def _range(low: float, high: float) -> Json:
    return {
        "type": "rect",
        "yref": "paper",
        "layer": "below",
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "fillcolor": FAINT,
        "opacity": 0.12,
        "line": {"width": 0},
    }


def _row(curve: Curve, load: float, figures: Figures) -> list[TableCell]:
    latency = figures.response_ms
    cells: list[TableCell] = [
        f"> {getattr(latency, n):,.6g}" if n in latency.beyond else getattr(latency, n)
        for n in QUANTILES
    ]
    return [_name(curve), load, figures.inferences_per_s, *cells]


def _power_row(
    curve: Curve, load: float, power: float | None, figures: Figures | None
) -> list[TableCell]:
    if figures is None:
        return [_name(curve), load, None, None, None, power]
    spread = figures.inferences_per_s_spread
    return [_name(curve), load, figures.inferences_per_s, spread.min, spread.max, power]


def _name(curve: Curve) -> str:
    return sweep_files.curve_name(curve).removesuffix(": ") or "all"
