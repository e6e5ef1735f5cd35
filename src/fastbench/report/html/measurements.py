"""The headline numbers with their spread, and the table of all numbers by repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbench.report import numbers, rows
from fastbench.report.console import basis, in_flight, legend
from fastbench.report.html.elements import Html, element, escape, figure_of, join
from fastbench.report.html.plots import Section
from fastbench.results import QUANTILE_LABELS
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbench.report.rows import Row, Rows
    from fastbench.results import Counts, LatencySummary, Result, Spread, Summary

    Form = Callable[[float | None], str]

#: More repetitions than this are in ``result.json`` alone; median and spread are of all.
MAX_REPETITIONS: Final = 20
RESPONSE_CARDS: Final = ("p50", "p95", "p99", "p999")
SERVICE_CARDS: Final = ("p99",)


def headline_section(result: Result) -> Section:
    """Return the few numbers that are read first, each with its spread."""
    cards = element("ul", *_cards(result), class_="cards")
    of = basis(result)
    note = element("p", element("strong", f"Figures are {of}.")) if of else ""
    return Section("headline", "Headline", join((note, cards)))


def numbers_section(result: Result) -> Section:
    """Return every number of every repetition: the rows of the console report."""
    if not result.repetitions:
        return Section("numbers", "All numbers")
    marks = (element("p", element("strong", mark), f": {text}") for mark, text in legend(result))
    tables = (_table(rows.measurements(result)), _table(rows.outcomes(result)))
    return Section("numbers", "All numbers", join((*tables, *marks)))


def _cards(result: Result) -> Iterator[Html]:
    summary, say = result.summary, wording(result.config)
    if summary is None:
        yield _card(say("inferences that succeeded"), "0", "")
        return
    yield _rate(say("inferences/s"), summary)
    if int(result.config.get("batch", 1)) > 1:
        samples = summary.samples_per_s
        text = figure_of("summary.samples_per_s", samples, numbers.rate(samples))
        yield _card("samples/s", text, "")
    yield from (_quantile("response", summary.response_ms, n) for n in RESPONSE_CARDS)
    yield from (_quantile("service", summary.service_ms, n) for n in SERVICE_CARDS)
    cost = summary.cpu_us_per_inference
    text = figure_of("summary.cpu_us_per_inference", cost, numbers.cost_format(cost)(cost))
    yield _card(say("client CPU, us per inference"), text, "user + system, worker threads")
    yield _failed(say("failed inferences"), result, summary.counts)


def _rate(title: str, summary: Summary) -> Html:
    path, rate = "summary.inferences_per_s", summary.inferences_per_s
    ends = _ends(f"{path}_spread", summary.inferences_per_s_spread, numbers.rate, numbers.rate)
    return _card(title, figure_of(path, rate, numbers.rate(rate)), ends)


def _quantile(kind: str, summary: LatencySummary, name: str) -> Html:
    """Return a quantile with its spread, lower bounds marked in both."""
    decimals, value = numbers.milliseconds_decimals(summary.p50), getattr(summary, name)
    text = numbers.milliseconds(
        value, decimals, beyond=name in summary.beyond, few=name in summary.few_samples
    )
    path, spread = f"summary.{kind}_ms", summary.spread.get(name)
    ends = _latency_ends(f"{path}.spread.{name}", spread, decimals) if spread else Html()
    title = f"{kind} {QUANTILE_LABELS[name]}, ms"
    return _card(title, figure_of(f"{path}.{name}", value, text), ends)


def _latency_ends(path: str, spread: Spread, decimals: int) -> Html:
    low = _bounded(decimals, beyond=spread.min_beyond)
    return _ends(path, spread, low, _bounded(decimals, beyond=spread.max_beyond))


def _bounded(decimals: int, *, beyond: bool) -> Form:
    return lambda value: numbers.milliseconds(value, decimals, beyond=beyond)


def _ends(path: str, spread: Spread, low: Form, high: Form) -> Html:
    if spread.min == spread.max and not spread.max_beyond:
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


def _failed(title: str, result: Result, counts: Counts) -> Html:
    pending = in_flight(result)
    failed = counts.intended - counts.ok - pending
    unfinished = f"{pending:,} more unfinished, " if pending else ""
    share = f"{unfinished}{failed / max(counts.intended, 1):.2%} of "
    total = figure_of("summary.counts.intended", counts.intended, numbers.count(counts.intended))
    return _card(title, numbers.count(failed), join((share, total)))


def _card(title: str, value: str, below: str) -> Html:
    small = element("small", below) if below else ""
    return element("li", element("small", title), element("b", value), small)


def _table(made: Rows) -> Html:
    shown = made.repetitions[:MAX_REPETITIONS]
    names = [made.title, *shown, made.summary]
    names += ["min .. max"] if made.spread else []
    head = element("tr", *(element("th", name, scope="col") for name in names))
    body = (_row(row, spread=made.spread) for row in made.rows)
    whole = element("table", element("thead", head), element("tbody", *body), class_="numbers")
    return element("div", whole, class_="scroll", tabindex="0")


def _row(row: Row, *, spread: bool) -> Html:
    label = row.label.strip()
    head = element("th", label, scope="row", class_="sub" if label != row.label else None)
    if not row.cells:
        return element("tr", head, class_="part")
    cells = [*row.cells[:MAX_REPETITIONS], row.summary, *([row.ends] if spread else [])]
    return element("tr", head, *(element("td", cell) for cell in cells))
