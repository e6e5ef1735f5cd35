"""The report as GitHub-flavoured Markdown: for issues, pull requests and step summaries of CI.

The verdict comes first. Cells are those of the console report, so the figures are the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastbench.report import network, nodes, numbers, rows, servers, steps
from fastbench.report.console import early, headline, legend
from fastbench.report.facts import facts, workload_of
from fastbench.summary import total_counts
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.report.rows import Rows
    from fastbench.results import Result, StreamSummary, Verdict

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#+!|~&$])")


def render(result: Result) -> bytes:
    """Return the report of ``result``, UTF-8; texts of a server are escaped."""
    return ("\n".join(_lines(result)) + "\n").encode()


def escape(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(numbers.printable(text).split()))


def table(header: Sequence[str], body: Sequence[Sequence[str]], numeric_from: int = 1) -> list[str]:
    """Return a table; columns from ``numeric_from`` on are set to the right."""
    rule = ["---" if i < numeric_from else "--:" for i in range(len(header))]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *body)]


def _lines(result: Result) -> Iterator[str]:
    counts = total_counts([r.counts for r in result.repetitions])
    status = "" if result.status == "complete" else f", {result.status.upper()}"
    yield f"## fastbench {escape(result.fastbench_version)}: {escape(_workload(result))}{status}"
    yield ""
    yield from _verdict(result.verdict)
    yield f"**{escape(headline(result, counts))}**"
    if result.error:
        yield f"\n{early(result).capitalize()}: {escape(result.error)}"
    yield ""
    yield from table(("", ""), [(name, escape(text)) for name, text in _facts(result)], 2)
    if result.repetitions:
        yield from _tables(result)
        yield from _section(
            (nodes.TITLE, wording(result.config)("inferences")), nodes.node_lines(result)
        )
        yield from _section((servers.TITLE, "medians"), servers.server_lines(result))
        yield from _section(
            (wording(result.config)(steps.TITLE), "service time"), steps.step_lines(result)
        )
    yield from _errors(result)
    yield from _warnings(result)
    if result.network_share:
        text = network.share_text(result.network_share)
        yield f"\n**{network.TITLE.capitalize()}**: {escape(text)}"


def _section(header: tuple[str, str], lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    if lines:
        yield ""
        yield from table(header, [(escape(name), text) for name, text in lines], 2)


def _workload(result: Result) -> str:
    return workload_of(result)


def _facts(result: Result) -> list[tuple[str, str]]:
    return [*facts(result), ("started", f"{result.started_at[:19].replace('T', ' ')} UTC")]


def _verdict(verdict: Verdict | None) -> Iterator[str]:
    if verdict is None:
        yield "**Verdict: not judged**\n"
        return
    yield f"**Verdict: {escape(verdict.verdict)}**\n"
    evidence = [
        [escape(text) for text in (e.name, e.status, e.figure, e.threshold, e.advice)]
        for e in verdict.evidence
    ]
    yield from table(("evidence", "status", "figure", "threshold", "advice"), evidence, 5)
    yield ""


def _tables(result: Result) -> Iterator[str]:
    for part in _sections(rows.measurements(result)):
        yield from part
    yield from _streams(result)
    for part in _sections(rows.outcomes(result)):
        yield from part
    for mark, meaning in legend(result):
        yield f"\n`{mark}`: {escape(meaning)}"


def _sections(made: Rows) -> Iterator[list[str]]:
    """Return a table for each section, for Markdown has no heads within one."""
    several = len(made.repetitions) > 1
    header = [escape(name) for name in made.repetitions] + [made.summary] * several
    header += ["min .. max"] * (several and made.spread)
    title, body = made.title, list[list[str]]()
    for row in (*made.rows, None):
        if row is None or not row.cells:
            if body:
                yield ["", *table([escape(title), *header], body)]
            title, body = row.label if row else "", []
        else:
            ends = [escape(row.ends)] * (several and made.spread)
            cells = [escape(cell) for cell in row.cells]
            body.append([escape(row.label), *cells, *[_bold(row.summary)] * several, *ends])


def _bold(cell: str) -> str:
    return f"**{escape(cell)}**"


def _streams(result: Result) -> Iterator[str]:
    streams = result.summary.streams if result.summary else []
    if streams:
        yield ""
        header = (
            "stream, medians",
            wording(result.config)("inferences/s"),
            "p50, ms",
            "p95, ms",
            "p99, ms",
            "ok",
            "failed",
        )
        yield from table(header, [_stream(stream) for stream in streams])


def _stream(stream: StreamSummary) -> list[str]:
    latency, counts = stream.response_ms, stream.counts
    decimals = numbers.milliseconds_decimals(latency.p50)
    quantiles = (
        numbers.milliseconds(
            getattr(latency, name),
            decimals,
            beyond=name in latency.beyond,
            few=name in latency.few_samples,
        )
        for name in ("p50", "p95", "p99")
    )
    figures = (numbers.rate(stream.inferences_per_s), *quantiles, numbers.count(counts.ok))
    failed = numbers.count(counts.intended - counts.ok)
    return [escape(text) for text in (stream.name, *figures, failed)]


def _errors(result: Result) -> Iterator[str]:
    classes = total_counts([r.counts for r in result.repetitions]).errors_by_class
    if classes:
        yield ""
        ranked = sorted(classes.items(), key=lambda item: -item[1].count)
        body = [[escape(n), numbers.count(e.count), escape(e.first_text)] for n, e in ranked]
        yield from table(("errors by class", "count", "first text"), body, 3)


def _warnings(result: Result) -> Iterator[str]:
    yield ""
    if not result.warnings:
        yield "No warnings."
        return
    body = [[escape(text) for text in (w.code, w.message, w.advice)] for w in result.warnings]
    yield from table(("warning", "what was seen", "advice"), body, 3)
