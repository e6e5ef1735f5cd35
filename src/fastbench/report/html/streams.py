"""Each stream of a run that has several: its numbers, and their spectra in one plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import numbers
from fastbench.report.html.elements import figure_of, table
from fastbench.report.html.plots import Section
from fastbench.report.html.spectrum import plot_of
from fastbench.wording import wording

if TYPE_CHECKING:
    from fastbench.report.html.elements import Cell
    from fastbench.results import Result, StreamSummary

QUANTILES = ("p50", "p95", "p99")


def streams_section(result: Result) -> Section | None:
    """Return the streams; None where there is only one."""
    streams = result.summary.streams if result.summary else []
    if not streams:
        return None
    unit = wording(result.config)("inferences/s")
    columns = ("stream", unit, *(f"response {n}, ms" for n in QUANTILES), "ok", "failed")
    rows = [_row(f"summary.streams.{i}", stream) for i, stream in enumerate(streams)]
    parts = {
        stream.name: [
            part.response_ms
            for r in result.repetitions
            for part in r.streams
            if part.name == stream.name
        ]
        for stream in streams
    }
    plot = plot_of(parts, shown=list(parts), name="streams", title="Response time of each stream")
    plots = () if plot is None else (plot,)
    return Section("streams", "Streams", table(columns, rows, class_="numbers"), plots)


def _row(path: str, stream: StreamSummary) -> list[Cell]:
    latency = stream.response_ms
    decimals = numbers.milliseconds_decimals(latency.p50)
    rate = stream.inferences_per_s
    return [
        stream.name,
        figure_of(f"{path}.inferences_per_s", rate, numbers.rate(rate)),
        *(
            figure_of(
                f"{path}.response_ms.{name}",
                value := getattr(latency, name),
                numbers.milliseconds(
                    value,
                    decimals,
                    beyond=name in latency.beyond,
                    few=name in latency.few_samples,
                ),
            )
            for name in QUANTILES
        ),
        figure_of(f"{path}.counts.ok", stream.counts.ok, numbers.count(stream.counts.ok)),
        numbers.count(stream.counts.intended - stream.counts.ok),
    ]
