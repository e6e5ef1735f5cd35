"""``search.html``: what a search tried, and where each objective began to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbench.report import search_files, study_head
from fastbench.report.facts import targets_of
from fastbench.report.html.about import fact_list, plan_section
from fastbench.report.html.elements import element, join, table
from fastbench.report.html.page import page
from fastbench.report.html.plots import Json, Plot, Section, axis, dots, label
from fastbench.report.html.strip import level
from fastbench.results import QUANTILE_LABELS
from fastbench.slo import parse_objective
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.report.html.elements import Html
    from fastbench.searches import Limit, Probe, SearchResult
    from fastbench.slo import Metric

#: Outcomes in the order of the legend; each has a colour and a mark of its own.
OUTCOMES: Final = ("held", "failed", "client-limited", "reference")
UNITS: Final = {"errors": "errors, share of 1", "rate": "inferences/s"}  # the others are in ms


def render(search: SearchResult) -> bytes:
    """Return the page: the answer, a plot for each objective, all probes, what was asked for."""
    plots = (_plot(search, k) for k in range(len(search.objectives)))
    sections = [
        Section("finding", "What was found", _finding(search), tuple(p for p in plots if p)),
        Section("probes", "Probes", _probes(search)),
        plan_section(search.config, [search.about.target.url] if search.about else []),
    ]
    title = f"Search on {targets_of(search.config)}"
    about = fact_list(study_head.search_lines(search))
    head = join((element("p", search_files.head(search)), about))
    say = wording(search.config)
    return page(title, head, [section.worded(say) for section in sections])


def _finding(search: SearchResult) -> Html:
    notes = element("ul", *(element("li", note) for note in search.notes), class_="warnings")
    answer = element("p", element("strong", search_files.answer(search)), class_="banner")
    return join((answer, notes if search.notes else ""))


def _probes(search: SearchResult) -> Html:
    heads, rows = search_files.probes_table(search)
    links = [element("a", "result", href=f"{probe.name}/result.json") for probe in search.probes]
    linked = [[*row, link] for row, link in zip(rows, links, strict=True)]
    note = element("p", "For a probe's own page: fastbench report FOLDER --format html > page.html")
    return join((table([*heads, "file"], linked, class_="numbers"), note))


def _plot(search: SearchResult, number: int) -> Plot | None:
    """Return the values of one objective against the rate; None where nothing was measured."""
    text = search.objectives[number]
    found = [
        (_rate(probe), limit, probe)
        for probe in search.probes
        for limit in probe.limits
        if limit.objective == text and limit.value is not None
    ]
    if not found:
        return None
    shape, note = level(parse_objective(text).limit, text)
    return Plot(
        name=f"objective-{number + 1}",
        title=f"{text} against the rate",
        reading="Each mark is a probe: the median of its repetitions, with bars from the least to "
        "the greatest; the dashed line is the limit. A hollow mark is a lower bound.",
        doubt="a probe of one repetition, or one whose client was the limit.",
        traces=[trace for k, name in enumerate(OUTCOMES) for trace in _traces(name, k, found)],
        layout={
            "xaxis": axis("inferences/s asked for", rangemode="tozero"),
            "yaxis": axis(_axis(parse_objective(text).metric), rangemode="tozero"),
            "shapes": [shape],
            "annotations": [note],
            "hovermode": "closest",
        },
        columns=("probe", "asked for/s", "median", "least", "greatest", "outcome"),
        rows=[
            (probe.name, rate, limit.value, limit.low, limit.high, probe.outcome)
            for rate, limit, probe in found
        ],
        log_y=True,
    )


def _axis(metric: Metric) -> str:
    """Return what an objective is about, with its unit."""
    if metric.name in UNITS:
        return UNITS[metric.name]
    return f"{metric.clock} {QUANTILE_LABELS.get(metric.name, metric.name)}, ms"


def _rate(probe: Probe) -> float | None:
    """Return the rate asked for; in the closed loop the one that was reached."""
    if probe.rate_per_s is not None:
        return probe.rate_per_s
    return probe.figures.inferences_per_s if probe.figures else None


def _traces(
    outcome: str, style: int, found: Sequence[tuple[float | None, Limit, Probe]]
) -> list[Json]:
    mine = [(rate, limit, probe.name) for rate, limit, probe in found if probe.outcome == outcome]
    if not mine:
        return []
    limits = [limit for _, limit, _ in mine]
    trace = dots(outcome, [rate for rate, _, _ in mine], [li.value for li in limits], style)
    symbol = trace["marker"]["symbol"]
    trace["marker"]["symbol"] = [f"{symbol}-open" if li.beyond else symbol for li in limits]
    values = [(li.value or 0.0, li.low, li.high) for li in limits]
    trace["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": [(v if high is None else high) - v for v, _, high in values],
        "arrayminus": [v - (v if low is None else low) for v, low, _ in values],
    }
    trace["text"] = [label(name) for _, _, name in mine]
    trace["hovertemplate"] = "%{text}: %{x:,.5~g}/s, %{y:,.4~g}"
    return [trace]
