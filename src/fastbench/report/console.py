"""The report that a person reads after a run, made from the result alone."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fastbench.report import network, nodes, numbers, rows, servers, steps, tables
from fastbench.report.facts import facts, workload_of
from fastbench.summary import total_counts
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from rich.console import ConsoleOptions, RenderableType

    from fastbench.results import Counts, Evidence, Repetition, Result, StreamResult, Verification

PLAIN_WIDTH = 100
ALWAYS_SHOWN = {"threads", "headroom"}  # evidence that speaks also when it is ok


def print_report(result: Result, file: TextIO | None = None) -> None:
    """Print the report of ``result`` to ``file`` (standard output).

    In a terminal it takes the terminal's width; elsewhere it is plain text, 100 columns wide.
    """
    console = Console(file=file, highlight=False)
    if console.is_terminal:
        console.print(ConsoleReport(result))
    else:
        (file or sys.stdout).write(render(result))


def render(result: Result, width: int = PLAIN_WIDTH) -> str:
    """Return the report as plain text of at most ``width`` columns."""
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, force_terminal=False)
    console.print(ConsoleReport(result))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


class ConsoleReport:
    """The report as a rich renderable, fitted to the width that it is printed in."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yield the parts: what was run, the result in a line, tables, errors, doubts."""
        del console
        result = self._result
        layout = tables.Layout.fit(len(result.repetitions), options.max_width)
        counts = total_counts([r.counts for r in result.repetitions])
        yield _heading(result)
        yield _grid(facts(result))
        yield Text(f"\n{headline(result, counts)}", style="bold")
        yield from _verdict(result)
        if result.error:
            yield Text(f"{early(result)}: {numbers.printable(result.error)}", style="bold")
        if result.repetitions:
            yield Text()
            yield tables.table(rows.measurements(result), layout)
            if result.streams:
                yield Text()
                yield tables.table(rows.streams(result), layout)
            yield from _legend(result)
            yield Text()
            yield tables.table(rows.outcomes(result), layout)
            yield from _section(nodes.TITLE, nodes.node_lines(result))
            yield from _section(servers.TITLE, servers.server_lines(result))
            yield from _section(wording(result.config)(steps.TITLE), steps.step_lines(result))
            yield from _errors(counts)
            yield from _verification(result)
            yield from _unavailable(result)
        yield from _warnings(result)
        if result.network_share:
            text = network.share_text(result.network_share)
            yield Text(f"\n{network.TITLE}: {numbers.printable(text)}")


def _verdict(result: Result) -> Iterator[RenderableType]:
    """Yield the verdict with what is not simply ok; the rest is named in one line."""
    if result.verdict is None:
        yield Text("\nverdict: not judged", style="bold")
        return
    yield Text(f"\nverdict: {result.verdict.verdict}", style="bold")
    shown = [e for e in result.verdict.evidence if e.status != "ok" or e.name in ALWAYS_SHOWN]
    lines = [(f"{e.name}: {e.status}", _weighed(e)) for e in shown]
    rest = [e.name for e in result.verdict.evidence if e not in shown]
    yield _grid([*lines, ("ok", ", ".join(rest))] if rest else lines)


def _weighed(evidence: Evidence) -> str:
    return _with_advice(f"{evidence.figure} (wanted: {evidence.threshold})", evidence.advice)


def _heading(result: Result) -> Text:
    workload = workload_of(result)
    status = "" if result.status == "complete" else f", {result.status.upper()}"
    head = Text(f"fastbench {result.fastbench_version}: {workload}{status}", style="bold")
    return head.append(f", {result.started_at[:19].replace('T', ' ')} UTC\n", style="not bold")


def early(result: Result) -> str:
    """Return the words before the reason why a result is not complete."""
    return "not yet over" if result.status == "running" else "ended early"


def headline(result: Result, counts: Counts) -> str:
    """Return the result in a line: rate, median and p99 of the response time, failures."""
    failed = _failures(result, counts)
    summary, of = result.summary, basis(result)
    if summary is None:
        where = " in a complete repetition" if counts.ok else ""
        return wording(result.config)(f"no inference succeeded{where}, {failed}")
    latency = summary.response_ms
    decimals = numbers.milliseconds_decimals(latency.p50)
    p50, p99 = (
        numbers.milliseconds(
            getattr(latency, name),
            decimals,
            beyond=name in latency.beyond,
            few=name in latency.few_samples,
        )
        for name in ("p50", "p99")
    )
    rate = numbers.rate(summary.inferences_per_s)
    note = f"   ({of})" if of else ""
    unit = wording(result.config)("inferences/s")
    return f"{rate} {unit}   response p50 {p50} ms, p99 {p99} ms   {failed}{note}"


def basis(result: Result) -> str:
    """Return which repetitions the medians are of, where not all are complete; else nothing."""
    whole = sum(r.status == "complete" for r in result.repetitions)
    if whole == len(result.repetitions):
        return ""
    if not whole:
        return "of incomplete repetitions"
    return f"of {whole:,} complete repetition{'s' * (whole > 1)}"


def in_flight(result: Result) -> int:
    """Return how many inferences had no outcome yet when the user interrupted the run."""
    cut = [r.counts for r in result.repetitions if r.status == "interrupted"]
    return sum(counts.unfinished + counts.never_sent for counts in cut)


def _failures(result: Result, counts: Counts) -> str:
    pending = in_flight(result)
    failed = f"{counts.intended - counts.ok - pending:,} failed"
    return f"{failed}, {pending:,} unfinished" if pending else failed


def legend(result: Result) -> list[tuple[str, str]]:
    """Return each mark that stands beside a latency, and what it means."""
    parts: list[Repetition | StreamResult] = []
    for repetition in result.repetitions:
        parts += [repetition, *repetition.streams]
    latencies = [latency for part in parts for latency in (part.response_ms, part.service_ms)]
    marks = []
    if any(latency.few_samples for latency in latencies):
        marks.append(("~", "fewer than 10 samples lie above this quantile: it may be far off"))
    if any(latency.beyond for latency in latencies):
        marks.append(
            (
                "> T",
                wording(result.config)(
                    "some inferences got no answer within T; they rank above all others "
                    "(min, mean and stddev are those of the successes)"
                ),
            )
        )
    of = basis(result)
    if of:
        marks.append(("*", f"not complete; the median and both ends are {of}"))
    return marks


def _legend(result: Result) -> Iterator[RenderableType]:
    marks = legend(result)
    if marks:
        yield Text()
        yield _grid(marks)


def _section(title: str, lines: list[tuple[str, str]]) -> Iterator[RenderableType]:
    if lines:
        yield Text(f"\n{title}", style="bold")
        yield _grid(lines)


def _errors(counts: Counts) -> Iterator[RenderableType]:
    if counts.errors_by_class:
        yield Text("\nerrors by class, with the first text of each", style="bold")
        classes = sorted(counts.errors_by_class.items(), key=lambda item: -item[1].count)
        yield _grid([(f"{e.count:,} x {name}", e.first_text or "-") for name, e in classes])


def _verification(result: Result) -> Iterator[RenderableType]:
    checks = [r.verification for r in result.repetitions if r.verification]
    if checks:
        differences = [c.max_abs_difference for c in checks if c.max_abs_difference is not None]
        worst = f", largest difference {max(differences):.1e}" if differences else ""
        yield Text(
            f"\nverified {sum(c.checked for c in checks):,} replies against onnxruntime: "
            f"{sum(c.mismatches for c in checks):,} wrong{_wrong_rows(checks)}{worst} "
            f"(allowed {checks[0].tolerance:.1e})"
        )


def _wrong_rows(checks: Sequence[Verification]) -> str:
    """Return which inputs were answered wrongly, as far as they are known."""
    rows = sorted({row for check in checks for row in check.mismatched_rows})
    return f" (dataset rows {', '.join(map(str, rows))})" if rows else ""


def _unavailable(result: Result) -> Iterator[RenderableType]:
    why = servers.unavailable(result)
    if why:
        text = numbers.printable("; ".join(why))
        yield Text(f"\nwhat servers say of themselves is incomplete: {text}")


def _warnings(result: Result) -> Iterator[RenderableType]:
    if not result.warnings:
        yield Text("\nno warnings", style="bold")
        return
    yield Text("\nwarnings", style="bold")
    yield _grid([(w.code, _with_advice(w.message, w.advice)) for w in result.warnings])


def _with_advice(message: str, advice: str) -> str:
    return f"{message}; {advice}" if advice else message


def _grid(lines: list[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, text in lines:
        grid.add_row(Text(numbers.printable(name)), Text(numbers.printable(text)))
    return Padding(grid, (0, 0, 0, 2), expand=False)
