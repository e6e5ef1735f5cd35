"""The headline numbers with their spread, and the table of all numbers by repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbench.report import numbers, rows
from fastbench.report.console import legend
from fastbench.report.html.elements import Html, element, escape, figure_of, join
from fastbench.report.html.plots import Section
from fastbench.results import QUANTILE_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastbench.report.rows import Row, Rows
    from fastbench.results import Latency, LatencySummary, Result, Spread, Summary

    Form = Callable[[float | None], str]

#: More repetitions than this are in ``result.json`` alone; median and spread are of all.
MAX_REPETITIONS: Final = 20
RESPONSE_CARDS: Final = ("p50", "p95", "p99", "p999")
SERVICE_CARDS: Final = ("p99",)


def headline_section(result: Result) -> Section:
    """Return the few numbers that are read first, each with its spread."""
    return Section("headline", "Headline", element("ul", *_cards(result), class_="cards"))


def numbers_section(result: Result) -> Section:
    """Return every number of every repetition: the rows of the console report."""
    if not result.repetitions:
        return Section("numbers", "All numbers")
    marks = (element("p", element("strong", mark), f": {text}") for mark, text in legend(result))
    tables = (_table(rows.measurements(result)), _table(rows.outcomes(result)))
    return Section("numbers", "All numbers", join((*tables, *marks)))


def _cards(result: Result) -> Iterator[Html]:
    summary = result.summary
    if summary is None:
        yield _card("inferences that succeeded", "0", "")
        return
    yield _rate(summary)
    if int(result.config.get("batch", 1)) > 1:
        samples = summary.samples_per_s
        text = figure_of("summary.samples_per_s", samples, numbers.rate(samples))
        yield _card("samples/s", text, "")
    response = [r.response_ms for r in result.repetitions]
    service = [r.service_ms for r in result.repetitions]
    yield from (_quantile("response", summary.response_ms, response, n) for n in RESPONSE_CARDS)
    yield from (_quantile("service", summary.service_ms, service, n) for n in SERVICE_CARDS)
    cost = summary.cpu_us_per_inference
    text = figure_of("summary.cpu_us_per_inference", cost, numbers.cost_format(cost)(cost))
    yield _card("client CPU, us per inference", text, "user + system, worker threads")
    yield _failed(summary)


def _rate(summary: Summary) -> Html:
    path, rate = "summary.inferences_per_s", summary.inferences_per_s
    ends = _ends(f"{path}_spread", summary.inferences_per_s_spread, numbers.rate, numbers.rate)
    return _card("inferences/s", figure_of(path, rate, numbers.rate(rate)), ends)


def _quantile(kind: str, summary: LatencySummary, each: Sequence[Latency], name: str) -> Html:
    """Return a quantile; a lower bound ranks above every value, and so it does in the spread."""
    decimals, value = numbers.milliseconds_decimals(summary.p50), getattr(summary, name)
    text = numbers.milliseconds(
        value, decimals, beyond=name in summary.beyond, few=name in summary.few_samples
    )
    bounds = [name in latency.beyond for latency in each if getattr(latency, name) is not None]
    low, high = _bounded(decimals, beyond=all(bounds)), _bounded(decimals, beyond=any(bounds))
    path, spread = f"summary.{kind}_ms", summary.spread.get(name)
    ends = _ends(f"{path}.spread.{name}", spread, low, high) if spread else Html()
    title = f"{kind} {QUANTILE_LABELS[name]}, ms"
    return _card(title, figure_of(f"{path}.{name}", value, text), ends)


def _bounded(decimals: int, *, beyond: bool) -> Form:
    return lambda value: numbers.milliseconds(value, decimals, beyond=beyond)


def _ends(path: str, spread: Spread, low: Form, high: Form) -> Html:
    if spread.min == spread.max:
        return escape("no spread")
    least = figure_of(f"{path}.min", spread.min, low(spread.min))
    ends = join((least, " to ", figure_of(f"{path}.max", spread.max, high(spread.max))))
    return ends if spread.low is None else join((ends, _interval(path, spread, low)))


def _interval(path: str, spread: Spread, form: Form) -> Html:
    """Return the interval of the median; among lower bounds it has no upper end.

    ``form``: writes the least value; an upper end is never a bound.
    """
    least = figure_of(f"{path}.low", spread.low, form(spread.low))
    if spread.high is None:
        return element("small", "median, 95 %: ", least, " or more")
    most = figure_of(f"{path}.high", spread.high, form(spread.high))
    return element("small", "median, 95 %: ", least, " to ", most)


def _failed(summary: Summary) -> Html:
    counts = summary.counts
    failed = counts.intended - counts.ok
    share = f"{failed / max(counts.intended, 1):.2%} of "
    total = figure_of("summary.counts.intended", counts.intended, numbers.count(counts.intended))
    return _card("failed inferences", numbers.count(failed), join((share, total)))


def _card(title: str, value: str, below: str) -> Html:
    small = element("small", below) if below else ""
    return element("li", element("small", title), element("b", value), small)


def _table(made: Rows) -> Html:
    shown = made.repetitions[:MAX_REPETITIONS]
    names = [made.title, *(f"rep {index}" for index in shown), made.summary]
    names += ["min .. max"] if made.spread else []
    head = element("tr", *(element("th", name, scope="col") for name in names))
    body = (_row(row, spread=made.spread) for row in made.rows)
    whole = element("table", element("thead", head), element("tbody", *body), class_="numbers")
    return element("div", whole, class_="scroll", tabindex="0")


def _row(row: Row, *, spread: bool) -> Html:
    head = element("th", row.label, scope="row")
    if not row.cells:
        return element("tr", head, class_="part")
    cells = [*row.cells[:MAX_REPETITIONS], row.summary, *([row.ends] if spread else [])]
    return element("tr", head, *(element("td", cell) for cell in cells))
