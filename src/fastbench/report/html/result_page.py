"""``report.html``: the page of one result, from its data alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import network
from fastbench.report.base import Exporter
from fastbench.report.console import early
from fastbench.report.facts import facts, workload_of
from fastbench.report.html.about import (
    about_section,
    errors_section,
    fact_list,
    terms_section,
    warnings_section,
)
from fastbench.report.html.elements import element, join
from fastbench.report.html.measurements import headline_section, numbers_section
from fastbench.report.html.metrics import metrics_section
from fastbench.report.html.page import page
from fastbench.report.html.plots import Section
from fastbench.report.html.repetitions import repetitions_plot
from fastbench.report.html.spectrum import spectrum_plot
from fastbench.report.html.steps import steps_section
from fastbench.report.html.streams import streams_section
from fastbench.report.html.timeline import timeline_plots
from fastbench.report.html.usage import usage_section
from fastbench.report.html.verdict import verdict_section
from fastbench.wording import wording

if TYPE_CHECKING:
    from fastbench.report.html.elements import Html
    from fastbench.results import Result


def render(result: Result) -> bytes:
    """Return the page: the verdict first, then numbers, doubts, plots and what surrounds them."""
    say = wording(result.config)
    sections = (
        verdict_section(result),
        headline_section(result),
        warnings_section(result),
        _plots(result),
        streams_section(result),
        steps_section(result),
        errors_section(result),
        usage_section(result),
        metrics_section(result),
        _network(result),
        numbers_section(result),
        about_section(result),
        terms_section(say),
    )
    shown = [
        section.worded(say)
        for section in sections
        if section and (section.content or section.plots)
    ]
    return page(_title(result), _head(result), shown)


def _title(result: Result) -> str:
    return f"{workload_of(result)} on {result.target.url}"


def _head(result: Result) -> Html:
    """Return when it was measured, whether it is whole, and what was run against what."""
    started = result.started_at[:19].replace("T", " ")
    status = "" if result.status == "complete" else f", {result.status.upper()}"
    when = element("p", f"fastbench {result.fastbench_version}, {started} UTC{status}")
    error = (
        element("p", element("strong", f"{early(result)}: {result.error}")) if result.error else ""
    )
    return join((when, error, fact_list(facts(result))))


def _network(result: Result) -> Section | None:
    """Return the network's share of the service time, where it was measured."""
    if result.network_share is None:
        return None
    content = element("p", network.share_text(result.network_share))
    return Section("network", network.TITLE.capitalize(), content)


def _plots(result: Result) -> Section:
    repetitions = result.repetitions
    plots = (
        *timeline_plots(repetitions),
        spectrum_plot(repetitions),
        repetitions_plot(repetitions),
    )
    shown = tuple(plot for plot in plots if plot is not None)
    return Section("plots", "Throughput and latency", plots=shown)


EXPORTER = Exporter("report.html", render)
