"""Where the time of a chain goes: the share of each step, and the spectra of all in one plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import numbers, steps
from fastbench.report.html.elements import element, join, table
from fastbench.report.html.plots import Section
from fastbench.report.html.spectrum import plot_of
from fastbench.results import QUANTILE_LABELS
from fastbench.summary import summarize_latency
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.report.html.elements import Cell
    from fastbench.results import Result, StepResult

QUANTILES = ("p50", "p95", "p99")
READING = (
    "Service times of the inferences that succeeded, medians over the repetitions. A step's share "
    "is its mean service time divided by that of the whole inference; what the shares leave of "
    "100 % passes between the steps."
)


def steps_section(result: Result) -> Section | None:
    """Return the steps of a chain; None where an inference is a single request."""
    found = steps.by_step(result)
    if not found:
        return None
    labels = (f"{QUANTILE_LABELS[name]}, ms" for name in QUANTILES)
    rows = [_row(name, each) for name, each in found.items()]
    content = table(("step", "share, %", "mean, ms", *labels), rows, class_="numbers")
    spectra = {name: [step.service_ms for step in each] for name, each in found.items()}
    plot = plot_of(spectra, shown=list(spectra), name="steps", title="Service time of each step")
    plots = () if plot is None else (plot,)
    say = wording(result.config)
    content = join((element("p", say(READING)), content))
    return Section("steps", say("Steps of an inference"), content, plots)


def _row(name: str, each: Sequence[StepResult]) -> list[Cell]:
    latency = summarize_latency([step.service_ms for step in each])
    decimals = numbers.milliseconds_decimals(latency.p50)
    share = steps.share_of(each)
    return [
        name,
        numbers.tenths(None if share is None else 100 * share),
        numbers.milliseconds(latency.mean, decimals),
        *(
            numbers.milliseconds(getattr(latency, n), decimals, few=n in latency.few_samples)
            for n in QUANTILES
        ),
    ]
