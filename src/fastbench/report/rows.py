"""The rows of a report's tables as text, whatever they are drawn with afterwards.

One cell per repetition, then the median (or total) and both ends: of the complete repetitions, or
of all where none is complete; totals are of all. A cell that ends in ``~`` has few samples behind
it, one that begins with ``>`` is a lower bound; a repetition that ended early has a ``*``.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from fastbench.report import numbers, selfreport
from fastbench.results import QUANTILE_LABELS, QUANTILES, Latency
from fastbench.summary import (
    counted,
    median_of,
    spread_of,
    streams_of,
    summarize_latency,
    total_counts,
)
from fastbench.verdict import blocked, window_full
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.results import LatencySummary, ProcessUsage, Repetition, Result, Spread

T = TypeVar("T")

RESPONSE_ROWS = ("min", "mean", *QUANTILES, "max", "stddev")
SERVICE_ROWS = ("p50", "p99")
STREAM_ROWS = ("p50", "p95", "p99", "p999", "max")
LAG_ROWS = ("p50", "p99", "max")
OUTCOMES = ("intended", "sent", "ok", "errors", "timeouts", "lost", "unfinished", "never_sent")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table; one without cells is the head of the rows that follow."""

    label: str
    cells: tuple[str, ...] = ()  # one per repetition
    summary: str = ""
    ends: str = ""  # ``smallest .. largest``; empty where that says nothing
    interval: str = ""  # ``low .. high`` around the median, from 6 repetitions on


@dataclass(slots=True)
class Rows:
    """A table in the making. ``summary``: what the column after the repetitions is called."""

    title: str
    summary: str
    spread: bool  # whether there is a column for both ends
    repetitions: tuple[str, ...]  # the heads of their columns
    counted: tuple[bool, ...]  # which of them the summary is of
    rows: list[Row] = field(default_factory=list)

    def head(self, title: str) -> None:
        """Begin a section."""
        self.rows.append(Row(title))

    def add(
        self, label: str, values: Sequence[float | None], form: Callable[[float | None], str]
    ) -> None:
        """Add a row of plain numbers; nothing where no repetition has one."""
        if all(value is None for value in values):
            return
        cells = tuple(form(v) for v in values)
        known = [value for value in self._counted(values) if value is not None]
        if not known:
            self.rows.append(Row(label, cells, form(None)))
            return
        ends = f"{form(min(known))} .. {form(max(known))}"
        inside = _interval(spread_of([(False, value) for value in known]), form)
        self.rows.append(Row(label, cells, form(statistics.median(known)), ends, inside))

    def add_latencies(self, latencies: Sequence[Latency], names: Sequence[str]) -> None:
        """Add a row for each statistic in ``names``."""
        summary = summarize_latency(self._counted(latencies))
        decimals = numbers.milliseconds_decimals(summary.p50)
        form = _latency_format(decimals)
        for name in names:
            cells = tuple(form(latency, name) for latency in latencies)
            label = QUANTILE_LABELS.get(name, name)
            spread = summary.spread.get(name)
            inside = _interval(spread, lambda v: numbers.milliseconds(v, decimals))
            ends = _ends(spread, decimals)
            self.rows.append(Row(label, cells, form(summary, name), ends, inside))

    def _counted(self, values: Sequence[T]) -> list[T]:
        return [v for v, counts in zip(values, self.counted, strict=True) if counts]


def measurements(result: Result) -> Rows:
    """Return rates, latencies and what the client cost."""
    repetitions = result.repetitions
    rows = _rows(result, "", "median", spread=True)
    say = wording(result.config)
    rows.add(say("inferences/s"), [r.inferences_per_s for r in repetitions], numbers.rate)
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
    if not rows.rows[-1].cells:
        rows.rows.pop()  # nothing is known of it
    _add_server(rows, result)
    return rows


def streams(result: Result) -> Rows:
    """Return the main figures of each of several streams."""
    rows = _rows(result, "streams", "median", spread=True)
    say = wording(result.config)
    for each in streams_of(result.repetitions):
        if len(each) != len(result.repetitions):
            continue  # a repetition that broke may lack it
        rows.head(f"stream {each[0].name}")
        rows.add(say("inferences/s"), [s.inferences_per_s for s in each], numbers.rate)
        if any(s.target_per_s for s in each):
            rows.add("  due/s", [s.offered_per_s for s in each], numbers.rate)
        rows.add_latencies([s.response_ms for s in each], STREAM_ROWS)
        rows.add("ok", [s.counts.ok for s in each], numbers.whole)
        rows.add("failed", [s.counts.intended - s.counts.ok for s in each], numbers.whole)
    return rows


def outcomes(result: Result) -> Rows:
    """Return the counts by outcome, with their totals."""
    rows = _rows(result, wording(result.config)("inferences"), "total", spread=False)
    counts = [r.counts for r in result.repetitions]
    total = total_counts(counts)
    for name in OUTCOMES:
        cells = tuple(numbers.count(getattr(c, name)) for c in counts)
        rows.rows.append(Row(name.replace("_", " "), cells, numbers.count(getattr(total, name))))
    return rows


def _interval(spread: Spread | None, form: Callable[[float | None], str]) -> str:
    """Return the median's interval; one without an upper end is ``> low``."""
    if spread is None or spread.low is None:
        return ""
    return (
        f"> {form(spread.low)}"
        if spread.high is None
        else (f"{form(spread.low)} .. {form(spread.high)}")
    )


def name_of(repetition: Repetition) -> str:
    """Return what a repetition is called, ``*`` after one that ended early."""
    return f"rep {repetition.index}{'' if repetition.status == 'complete' else '*'}"


def _ends(spread: Spread | None, decimals: int) -> str:
    """Return ``smallest .. largest``, each marked where it is a lower bound."""
    if spread is None:
        return ""
    least = numbers.milliseconds(spread.min, decimals, beyond=spread.min_beyond)
    return f"{least} .. {numbers.milliseconds(spread.max, decimals, beyond=spread.max_beyond)}"


def _rows(result: Result, title: str, summary: str, *, spread: bool) -> Rows:
    whole = {r.index for r in counted(result.repetitions)}
    return Rows(
        title,
        summary,
        spread,
        repetitions=tuple(name_of(r) for r in result.repetitions),
        counted=tuple(r.index in whole for r in result.repetitions),
    )


def _add_costs(rows: Rows, result: Result) -> None:
    clients = [r.client for r in result.repetitions]
    form = numbers.cost_format(median_of(c.cpu_us_per_inference for c in clients))
    each = wording(result.config)("CPU us/inference")
    rows.add(each, [c.cpu_us_per_inference for c in clients], form)
    rows.add("  user", [c.user_us_per_inference for c in clients], form)
    rows.add("  system", [c.system_us_per_inference for c in clients], form)
    busiest = [max((100 * t.busy for t in c.threads), default=None) for c in clients]
    rows.add("busiest thread, %", busiest, numbers.tenths)
    _add_waits(rows, result)
    _add_process(rows, "client", [c.process for c in clients])
    _add_process(rows, "server", [r.server for r in result.repetitions])
    hosts = [c.host.cpu_percent_mean if c.host else None for c in clients]
    rows.add("host, % of all CPUs", hosts, numbers.tenths)
    for gpu in range(max((len(r.gpus) for r in result.repetitions), default=0)):
        used = [
            r.gpus[gpu].utilisation_percent_mean if gpu < len(r.gpus) else None
            for r in result.repetitions
        ]
        rows.add(f"GPU {gpu}, %", used, numbers.tenths)


def _add_waits(rows: Rows, result: Result) -> None:
    """Add where the client itself waited or was late; what never happened has no row."""
    repetitions = result.repetitions
    threads = [[t for t in r.client.threads if t.elapsed_s] for r in repetitions]
    delays = [
        [t.run_delay_s / t.elapsed_s for t in each if t.run_delay_s is not None] for each in threads
    ]
    stalls = [[t.stalled_s / t.elapsed_s for t in each] for each in threads]
    rows.add("  waiting for CPU, %", [_worst_percent(shares) for shares in delays], numbers.tenths)
    _add_share(rows, "  stalled > 1 ms, %", [_worst_percent(shares) for shares in stalls])
    lags = [r.client.reply_lag_ms for r in repetitions]
    rows.add("reply lag p99, ms", [lag.p99 if lag else None for lag in lags], _lag)
    _add_share(rows, "no free slot, %", [100 * window_full(r) for r in repetitions])
    _add_share(rows, "output blocked, %", [100 * blocked(result, r) for r in repetitions])


def _add_share(rows: Rows, label: str, percents: Sequence[float | None]) -> None:
    if any(percents):
        rows.add(label, percents, numbers.tenths)


def _worst_percent(shares: Sequence[float]) -> float | None:
    return 100 * max(shares) if shares else None


def _lag(value_ms: float | None) -> str:
    return numbers.milliseconds(value_ms, numbers.milliseconds_decimals(value_ms))


def _add_server(rows: Rows, result: Result) -> None:
    """Add what the server says, the model's execution time beside what the client saw of it."""
    metrics = [r.server_metrics for r in result.repetitions]
    if all(selfreport.elapsed_s(m) is None for m in metrics):
        return
    rows.head("server, by its own account")
    rows.add("CPU, % of a core", [selfreport.cpu_percent(m) for m in metrics], numbers.tenths)
    rows.add("commands/s", [selfreport.commands_per_s(m) for m in metrics], numbers.rate)
    gathered = [selfreport.samples_per_execution(m) for m in metrics]
    rows.add("samples/execution", gathered, numbers.tenths)
    execution = [selfreport.execution_ms(m) for m in metrics]
    if any(value is not None for value in execution):
        form = numbers.cost_format(median_of(execution))
        rows.add("queue mean, ms", [selfreport.queue_ms(m) for m in metrics], form)
        rows.add("execution mean, ms", execution, form)
        rows.add("service mean, ms", [r.service_ms.mean for r in result.repetitions], form)


def _add_process(rows: Rows, name: str, usages: Sequence[ProcessUsage | None]) -> None:
    cpu = [usage.cpu_percent_mean if usage else None for usage in usages]
    rss = [usage.rss_max_bytes / 2**20 if usage else None for usage in usages]
    rows.add(f"{name}, % of a core", cpu, numbers.tenths)
    rows.add(f"{name} RSS, MiB", rss, numbers.tenths)


def _latency_format(decimals: int) -> Callable[[Latency | LatencySummary, str], str]:
    def form(latency: Latency | LatencySummary, name: str) -> str:
        return numbers.milliseconds(
            getattr(latency, name),
            decimals,
            beyond=name in latency.beyond,
            few=name in latency.few_samples,
        )

    return form
