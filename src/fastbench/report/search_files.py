"""A search as a table for people, as CSV for programs, and its answer in words."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import msgspec

from fastbench import searches
from fastbench.report import numbers, study_head
from fastbench.report.facts import targets_of
from fastbench.report.grid import text_table, wrapped
from fastbench.report.limits import shown
from fastbench.report.markdown import escape, table
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.searches import Limit, Probe, SearchResult
    from fastbench.sweeps import Figures

CSV_FIELDS = (
    "probe",
    "rate_per_s",
    "repetitions",
    "outcome",
    "inferences_per_s",
    "offered_per_s",
    "response_p50_ms",
    "response_p99_ms",
    "beyond",
    "few_samples",
    "verdict",
    "reasons",
)


def console(search: SearchResult) -> str:
    """Return the search as plain text: head, probes in order, answer, doubts."""
    heads, rows = probes_table(search)
    end = "\n".join(map(wrapped, [answer(search), *search.notes]))
    about = study_head.text(study_head.search_lines(search))
    probes = text_table(heads, rows, width=study_head.WIDTH)
    return "\n\n".join([wrapped(head(search)), about, probes, end]) + "\n"


def markdown(search: SearchResult) -> bytes:
    """Return the search as markdown; ``search.md``."""
    heads, rows = probes_table(search)
    end = "\n".join([f"**{escape(answer(search))}**", *(f"* {escape(n)}" for n in search.notes)])
    lines = [[name, escape(text)] for name, text in study_head.search_lines(search)]
    about = "\n".join(table(("", ""), lines, 2))
    parts = [escape(head(search)), about, _markdown_table(heads, rows), end]
    return ("\n\n".join(parts) + "\n").encode()


def csv_file(search: SearchResult) -> bytes:
    """Return one row per probe, numbers as in ``search.json``; ``search.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    limits = [f"{text} {part}" for text in search.objectives for part in ("median", "min", "max")]
    writer.writerow((*CSV_FIELDS, *limits))
    for probe in search.probes:
        values = [value for limit in probe.limits for value in (limit.value, limit.low, limit.high)]
        writer.writerow((*_csv_row(probe), *values))
    return text.getvalue().encode()


def answer(search: SearchResult) -> str:
    """Return what was found in one line."""
    goal = " and ".join(search.objectives)
    held, failed = search.highest_held_per_s, search.lowest_failed_per_s
    if held is None:
        return {
            "none-holds": f"no rate holds {goal}: {failed or 0:,.6g}/s and above all failed",
            "client-limited": f"no rate held {goal}, and the client was the limit: nothing is "
            "known of the server",
        }.get(search.finding, f"not ended: no rate is known to hold {goal}")
    if search.finding == "client-limited":
        return f"at least {held:,.6g}/s hold {goal}; above, the client was the limit"
    if failed is None:
        return f"at least {held:,.6g}/s hold {goal}: no rate failed"
    found = "" if search.finding == "found" else "not decided, so far: "
    again = ", ".join(f"{rate:,.6g}" for rate in search.held_above_failed_per_s)
    if again:
        return (
            f"{found}every rate tried up to {held:,.6g}/s held {goal}; {failed:,.6g}/s did not "
            f"({failed / held - 1:.1%} above), but {again}/s did again"
        )
    return (
        f"{found}{held:,.6g}/s is the highest rate found to hold {goal}; {failed:,.6g}/s is the "
        f"lowest that did not ({failed / held - 1:.1%} above)"
    )


def head(search: SearchResult) -> str:
    """Return what was searched and how far it came, in one line."""
    status = "" if search.status == "complete" else f", {search.status.upper()}"
    target = targets_of(search.config)
    return (
        f"fastbench {search.fastbench_version}: search of {target}{status}, open loop, "
        f"{search.config.get('arrivals', '')} arrivals"
    )


def probes_table(search: SearchResult) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows: each probe with its objectives."""
    rate = wording(search.config)("inferences/s")
    heads = ["probe", "due/s", rate, *search.objectives, "client", "outcome"]
    return heads, [_row(probe, search.objectives) for probe in search.probes]


def _row(probe: Probe, objectives: list[str]) -> list[str]:
    f = probe.figures
    limits = {limit.objective: limit for limit in probe.limits}
    return [
        probe.name,
        "closed loop" if probe.rate_per_s is None else numbers.rate(probe.rate_per_s),
        numbers.rate(f.inferences_per_s if f else None),
        *(_limit(limits.get(text), probe.repetitions) for text in objectives),
        (f.verdict if f else "") or "not judged",
        probe.outcome,
    ]


def _limit(limit: Limit | None, repetitions: int) -> str:
    """Return median and spread."""
    if limit is None:
        return "-"
    if repetitions == 1 or limit.low is None or limit.high is None:
        return shown(limit)
    low = shown(_at(limit, limit.low, beyond=limit.low_beyond))
    high = shown(_at(limit, limit.high, beyond=limit.high_beyond))
    return f"{shown(limit)} ({low.split()[0]}..{high.split()[0]})"


def _at(limit: Limit, value: float, *, beyond: bool) -> Limit:
    return msgspec.structs.replace(limit, value=value, beyond=beyond, few_samples=False)


def _csv_row(probe: Probe) -> list[object]:
    f = probe.figures
    fields = (probe.name, probe.rate_per_s, probe.repetitions, probe.outcome)
    return [*fields, *(_figures(f) if f else (None,) * 7), "; ".join(probe.reasons)]


def _figures(f: Figures) -> tuple[object, ...]:
    latency = f.response_ms
    return (
        *(f.inferences_per_s, f.offered_per_s, latency.p50, latency.p99),
        *(" ".join(latency.beyond), " ".join(latency.few_samples), f.verdict),
    )


def _markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    cells = [[escape(cell) for cell in row] for row in rows]
    return "\n".join(table([escape(head) for head in heads], cells, numeric_from=0))


FORMATS: dict[str, Callable[[SearchResult], bytes]] = {
    "console": lambda search: console(search).encode(),
    "json": searches.to_json,
    "markdown": markdown,
    "csv": csv_file,
}
