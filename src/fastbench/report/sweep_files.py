"""A sweep as a table for people, as CSV for programs, and its curves in words."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from fastbench import sweeps
from fastbench.report import numbers, study_head
from fastbench.report.facts import targets_of
from fastbench.report.grid import text_table, wrapped
from fastbench.report.markdown import escape, table
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.sweeps import Cell, Curve, Figures, SweepResult

HEADS = ("inferences/s", "p50 ms", "p95 ms", "p99 ms", "failed", "CPU us", "in flight", "client")
QUANTILES = ("p50", "p95", "p99")
NOT_JUDGED = "not judged"
CSV_FIELDS = (
    "status",
    "inferences_per_s",
    "inferences_per_s_min",
    "inferences_per_s_max",
    "samples_per_s",
    "offered_per_s",
    "mean_response_ms",
    "response_p50_ms",
    "response_p95_ms",
    "response_p99_ms",
    "beyond",
    "few_samples",
    "intended",
    "ok",
    "cpu_us_per_inference",
    "in_flight",
    "littles_law",
    "verdict",
    "error",
)
BAR = 30


def console(sweep: SweepResult) -> str:
    """Return the sweep as plain text: head, table, curves, what failed."""
    heads, rows = cells_table(sweep)
    left = 0 if sweeps.text_settings(sweep.cells) else -1
    parts = [wrapped(head(sweep)), study_head.text(study_head.sweep_lines(sweep))]
    parts += [text_table(heads, rows, left=left, width=study_head.WIDTH)]
    parts += [_curve_text(sweep, curve) for curve in sweep.curves]
    parts += ["\n".join(map(wrapped, remarks_on(sweep)))]
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown(sweep: SweepResult) -> bytes:
    """Return the sweep as a markdown table with the findings below; ``sweep.md``."""
    heads, rows = cells_table(sweep)
    found = [curve_name(curve) + curve.finding for curve in sweep.curves]
    remarks = [f"* {escape(text)}" for text in (*found, *remarks_on(sweep))]
    words = len(sweeps.text_settings(sweep.cells))
    lines = [[name, escape(text)] for name, text in study_head.sweep_lines(sweep)]
    parts = [escape(head(sweep)), "\n".join(table(("", ""), lines, 2))]
    parts += [_markdown_table(heads, rows, words), "\n".join(remarks)]
    return ("\n\n".join(filter(None, parts)) + "\n").encode()


def csv_file(sweep: SweepResult) -> bytes:
    """Return one row per cell, numbers as in ``sweep.json``; ``sweep.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    settings = _setting_names(sweep)
    writer.writerow(("cell", *settings, *CSV_FIELDS))
    for cell in sweep.cells:
        values = [cell.settings.get(name) for name in settings]
        writer.writerow((cell.name, *values, *_csv_row(cell)))
    return text.getvalue().encode()


def _csv_row(cell: Cell) -> list[object]:
    f = cell.figures
    if f is None:
        return [cell.status, *[None] * (len(CSV_FIELDS) - 2), cell.error]
    spread, latency = f.inferences_per_s_spread, f.response_ms
    return [
        cell.status,
        *(f.inferences_per_s, spread.min, spread.max, f.samples_per_s, f.offered_per_s),
        *(f.mean_response_ms, latency.p50, latency.p95, latency.p99),
        *(" ".join(latency.beyond), " ".join(latency.few_samples)),
        *(f.counts.intended, f.counts.ok, f.cpu_us_per_inference),
        *(f.littles_law.in_flight, f.littles_law.status, f.verdict, cell.error),
    ]


def head(sweep: SweepResult) -> str:
    """Return what was swept and how far it came, in one line."""
    done = sum(cell.status == "complete" for cell in sweep.cells)
    status = "" if sweep.status == "complete" else f", {sweep.status.upper()}"
    return (
        f"fastbench {sweep.fastbench_version}: {title(sweep)}{status}, "
        f"{done} of {len(sweep.cells)} cells complete, in an order shuffled by seed "
        f"{sweep.order_seed}"
    )


def title(sweep: SweepResult) -> str:
    """Return what it is: a sweep of a target, or a matrix of several of them."""
    targets = {cell.settings["target"] for cell in sweep.cells if "target" in cell.settings}
    if targets:
        return f"matrix of {len(targets)} target{'s' if len(targets) > 1 else ''}"
    return f"sweep of {targets_of(sweep.config)}"


def settings_text(cell: Cell) -> str:
    """Return what makes a cell differ from the others, on one line."""
    return numbers.printable(", ".join(map(sweeps.shown, cell.settings.values())))


def _setting_names(sweep: SweepResult) -> list[str]:
    return list(sweep.cells[0].settings) if sweep.cells else []


def cells_table(sweep: SweepResult) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows: the settings and figures of each cell."""
    names = _setting_names(sweep)
    rows = [
        [numbers.printable(sweeps.shown(c.settings[n])) for n in names] + _cells(c)
        for c in sweep.cells
    ]
    return [*names, *map(wording(sweep.config), HEADS)], rows


def _cells(cell: Cell) -> list[str]:
    f = cell.figures
    if f is None:
        return ["-"] * (len(HEADS) - 1) + [cell.status.upper()]
    decimals = numbers.milliseconds_decimals(f.response_ms.p50)
    remark = f.verdict or NOT_JUDGED
    return [
        numbers.rate(f.inferences_per_s),
        *(_quantile(f, name, decimals) for name in QUANTILES),
        _failed(f),
        numbers.tenths(f.cpu_us_per_inference),
        _in_flight(f),
        remark if cell.status == "complete" else cell.status.upper(),
    ]


def _quantile(figures: Figures, name: str, decimals: int) -> str:
    latency = figures.response_ms
    return numbers.milliseconds(
        getattr(latency, name),
        decimals,
        beyond=name in latency.beyond,
        few=name in latency.few_samples,
    )


def _failed(figures: Figures) -> str:
    counts = figures.counts
    failed = counts.intended - counts.ok
    return "0" if not failed else f"{failed / counts.intended:.2%}".replace("%", " %")


def _in_flight(figures: Figures) -> str:
    law = figures.littles_law
    mark = {"ok": "", "off": "!", "not available": "?"}[law.status]
    of = f"/{law.slots:,}" if law.slots else ""
    return f"{numbers.tenths(law.in_flight)}{of}{mark}"


def curve_name(curve: Curve) -> str:
    """Return the settings that a curve holds fixed, as ``threads 2: ``; empty for none."""
    fixed = ", ".join(f"{name} {sweeps.shown(value)}" for name, value in curve.fixed.items())
    return numbers.printable(f"{fixed}: ") if fixed else ""


def _curve_text(sweep: SweepResult, curve: Curve) -> str:
    """Return the curve, power as bars, so that the knee is seen."""
    figures = {cell.name: cell.figures for cell in sweep.cells}
    greatest = max((p.power for p in curve.points if p.power), default=0.0)
    rows = []
    for point in curve.points:
        f = figures[point.cell]
        share = point.power / greatest if point.power and greatest else 0.0
        knee = " <- knee" if curve.knee and curve.knee.cell == point.cell else ""
        rows.append(
            [
                f"{point.load:g}",
                numbers.rate(f.inferences_per_s if f else None),
                _mean(f) if f else "-",
                "#" * round(BAR * share) + knee,
            ]
        )
    say = wording(sweep.config)
    heads = [curve.axis, say("inferences/s"), "mean ms", say("inferences/s per mean s, to scale")]
    table = text_table(heads, rows, left=3)
    return f"{wrapped(curve_name(curve) + curve.finding)}\n{table}"


def _mean(figures: Figures) -> str:
    """Return the mean; where some had no answer, theirs are bounds, and so is it."""
    return numbers.milliseconds(
        figures.mean_response_ms, 3, beyond="max" in figures.response_ms.beyond
    )


def remarks_on(sweep: SweepResult) -> list[str]:
    """Return what failed, and what each mark in the table means."""
    cells = [cell for cell in sweep.cells if cell.error]
    remarks = [f"{cell.name}: {cell.status}: {numbers.printable(cell.error)}" for cell in cells]
    figures = [cell.figures for cell in sweep.cells if cell.figures]
    if any(f.littles_law.status == "off" for f in figures):
        remarks.append("! in flight: rate x time is more than 5 % off connections x pipeline")
    if any(f.littles_law.status == "not available" for f in figures):
        remarks.append("? in flight: too few succeeded for Little's law to tell anything")
    if any(set(QUANTILES) & set(f.response_ms.few_samples) for f in figures):
        remarks.append("~ fewer than 10 samples lie above this quantile: it may be far off")
    return remarks


def _markdown_table(heads: list[str], rows: list[list[str]], words: int) -> str:
    cells = [[escape(cell) for cell in row] for row in rows]
    return "\n".join(table([escape(head) for head in heads], cells, numeric_from=words))


FORMATS: dict[str, Callable[[SweepResult], bytes]] = {
    "console": lambda sweep: console(sweep).encode(),
    "json": sweeps.to_json,
    "markdown": markdown,
    "csv": csv_file,
}
