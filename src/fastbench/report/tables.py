"""The tables of the console report: one column per repetition, then median and spread."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fastbench.report import numbers
from fastbench.results import QUANTILE_LABELS, QUANTILES, Latency
from fastbench.summary import median_of, summarize_latency, total_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from fastbench.results import LatencySummary, ProcessUsage, Result

LABEL_WIDTH = 21
CELL_WIDTH = 11
SPREAD_WIDTH = 25

RESPONSE_ROWS = ("min", "mean", *QUANTILES, "max", "stddev")
SERVICE_ROWS = ("p50", "p99")
LAG_ROWS = ("p50", "p99", "max")
OUTCOMES = ("intended", "sent", "ok", "errors", "timeouts", "lost", "unfinished", "never_sent")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns the tables have."""

    repetitions: bool
    summary: bool
    spread: bool

    @classmethod
    def fit(cls, repetitions: int, width: int) -> Layout:
        """Choose the richest layout that fits into ``width`` columns."""
        if repetitions <= 1:
            return cls(repetitions=True, summary=False, spread=False)
        room = width - LABEL_WIDTH - (CELL_WIDTH + 1)
        cells, spread = repetitions * (CELL_WIDTH + 1), SPREAD_WIDTH + 1
        each = room >= cells
        return cls(
            repetitions=each,
            summary=True,
            spread=room >= spread + (cells if each else 0),
        )


def measurements(result: Result, layout: Layout) -> Table:
    """Return rates, latencies and what the client cost."""
    rows = _Rows(result, layout, "", "median", spread=layout.spread)
    repetitions = result.repetitions
    rows.add("inferences/s", [r.inferences_per_s for r in repetitions], numbers.rate)
    if any(r.target_per_s for r in repetitions):
        rows.add("  due/s", [r.offered_per_s for r in repetitions], numbers.rate)
    if int(result.config.get("batch", 1)) > 1:
        rows.add("samples/s", [r.samples_per_s for r in repetitions], numbers.rate)
    rows.head("response time, ms")
    rows.add_latencies([r.response_ms for r in repetitions], RESPONSE_ROWS)
    rows.head("service time, ms")
    rows.add_latencies([r.service_ms for r in repetitions], SERVICE_ROWS)
    if any(r.send_lag_ms for r in repetitions):
        rows.head("send lag, ms (sent - intended)")
        rows.add_latencies([r.send_lag_ms or Latency(count=0) for r in repetitions], LAG_ROWS)
    rows.head("cost")
    _add_costs(rows, result)
    return rows.table


def outcomes(result: Result, layout: Layout) -> Table:
    """Return the counts by outcome, with their totals."""
    rows = _Rows(result, layout, "inferences", "total", spread=False)
    counts = [r.counts for r in result.repetitions]
    total = total_counts(counts)
    for name in OUTCOMES:
        cells = [numbers.count(getattr(c, name)) for c in counts]
        rows.add_cells(name.replace("_", " "), cells, numbers.count(getattr(total, name)))
    return rows.table


def _add_costs(rows: _Rows, result: Result) -> None:
    clients = [r.client for r in result.repetitions]
    form = numbers.cost_format(median_of(c.cpu_us_per_inference for c in clients))
    rows.add("CPU us/inference", [c.cpu_us_per_inference for c in clients], form)
    rows.add("  user", [c.user_us_per_inference for c in clients], form)
    rows.add("  system", [c.system_us_per_inference for c in clients], form)
    busiest = [max((100 * t.busy for t in c.threads), default=None) for c in clients]
    rows.add("busiest thread, %", busiest, numbers.tenths)
    _add_process(rows, "client", [c.process for c in clients])
    _add_process(rows, "server", [r.server for r in result.repetitions])
    hosts = [c.host.cpu_percent_mean if c.host else None for c in clients]
    rows.add("host CPU, %", hosts, numbers.tenths)


def _add_process(rows: _Rows, name: str, usages: Sequence[ProcessUsage | None]) -> None:
    cpu = [usage.cpu_percent_mean if usage else None for usage in usages]
    rss = [usage.rss_max_bytes / 2**20 if usage else None for usage in usages]
    rows.add(f"{name} CPU, %", cpu, numbers.tenths)
    rows.add(f"{name} RSS, MiB", rss, numbers.tenths)


class _Rows:
    """A table in the making: rows are given in full and cut to the columns of the layout."""

    def __init__(
        self, result: Result, layout: Layout, title: str, summary: str, *, spread: bool
    ) -> None:
        self._layout = layout
        self._spread = spread
        self.table = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False, header_style="bold")
        self.table.add_column(title, min_width=LABEL_WIDTH - 1, no_wrap=True)
        names = [f"rep {r.index}" for r in result.repetitions] if layout.repetitions else []
        names += [summary] if layout.summary else []
        names += ["min .. max"] if spread else []
        for name in names:
            width = SPREAD_WIDTH if name == "min .. max" else CELL_WIDTH
            self.table.add_column(_padded(name), min_width=width, justify="right", no_wrap=True)

    def head(self, title: str) -> None:
        """Begin a section."""
        self.table.add_row("")
        self.table.add_row(Text(title, style="bold"))

    def add(
        self, label: str, values: Sequence[float | None], form: Callable[[float | None], str]
    ) -> None:
        """Add a row of plain numbers; nothing where no repetition has one."""
        known = [value for value in values if value is not None]
        if known:
            ends = f"{form(min(known))} .. {form(max(known))}"
            self.add_cells(label, [form(v) for v in values], form(statistics.median(known)), ends)

    def add_latencies(self, latencies: Sequence[Latency], names: Sequence[str]) -> None:
        """Add a row for each statistic in ``names``."""
        summary = summarize_latency(latencies)
        form = _latency_format(numbers.milliseconds_decimals(summary.p50))
        for name in names:
            ends = (form(latency, name).rstrip("~") for latency in _ends(latencies, name))
            cells = [form(latency, name) for latency in latencies]
            self.add_cells(
                QUANTILE_LABELS.get(name, name), cells, form(summary, name), " .. ".join(ends)
            )

    def add_cells(self, label: str, cells: list[str], summary: str, ends: str = "") -> None:
        """Add a row of texts."""
        row: list[RenderableType] = [f"  {label}"]
        row += [_padded(cell) for cell in cells] if self._layout.repetitions else []
        row += [Text(_padded(summary), style="bold")] if self._layout.summary else []
        row += [_padded(ends)] if self._spread else []
        self.table.add_row(*row)


def _ends(latencies: Sequence[Latency], name: str) -> list[Latency]:
    """Return the latencies with the smallest and the largest value; a bound is above a value."""
    ranked = [
        (name in latency.beyond, value, i)
        for i, latency in enumerate(latencies)
        if (value := getattr(latency, name)) is not None
    ]
    return [latencies[rank[2]] for rank in (min(ranked), max(ranked))] if ranked else []


def _latency_format(decimals: int) -> Callable[[Latency | LatencySummary, str], str]:
    def form(latency: Latency | LatencySummary, name: str) -> str:
        return numbers.milliseconds(
            getattr(latency, name),
            decimals,
            beyond=name in latency.beyond,
            few=name in latency.few_samples,
        )

    return form


def _padded(cell: str) -> str:
    """Keep the last character of a cell for the mark, so that digits stand under digits."""
    return cell if cell.endswith("~") else f"{cell} "
