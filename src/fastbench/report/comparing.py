"""A comparison for people: in the terminal, and as Markdown; both from the same cells."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fastbench.comparison import FAILED
from fastbench.report import markdown, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from fastbench.comparison import Candidate, Change, Comparison, Side

HEADER = ("", "base", "other", "change", "95 % interval", "")
MOST_DIFFERENCES = 40
PLAIN_WIDTH = 100
MANYFOLD = 10.0  # of a change, from which tenths of a percent say nothing
LEGEND = (
    "base and other: geometric means over repetitions, latencies in ms; each line is judged for "
    "itself: with no real difference about one line in twenty shows one"
)


def print_console(comparison: Comparison) -> None:
    """Print the comparison, fitted to the terminal where standard output is one."""
    console = Console(highlight=False)
    if console.is_terminal:
        _print(comparison, console)
    else:
        sys.stdout.write(render_console(comparison).decode())


def render_console(comparison: Comparison) -> bytes:
    """Return what the terminal shows as plain text of at most 100 columns, UTF-8."""
    text = io.StringIO()
    console = Console(file=text, width=PLAIN_WIDTH, color_system=None, force_terminal=False)
    _print(comparison, console)
    return ("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n").encode()


def render_markdown(comparison: Comparison) -> bytes:
    """Return the comparison as GitHub-flavoured Markdown, UTF-8."""
    return ("\n".join(_markdown(comparison)) + "\n").encode()


def _print(comparison: Comparison, console: Console) -> None:
    for part in _parts(comparison):
        console.print(part)


def row(change: Change) -> tuple[str, str, str, str, str, str]:
    """Return the cells of one metric, in the order of ``HEADER``."""
    verdict = change.verdict + (f" ({change.reason})" if change.reason else "")
    return (
        label(change),
        _value(change, change.base, beyond=change.base_beyond),
        _value(change, change.other, beyond=change.other_beyond),
        _bound(change) + _percent(change, change.change),
        _interval(change),
        verdict,
    )


def label(change: Change) -> str:
    """Return the metric with its unit, and the stream that it is of."""
    stream = f"{numbers.printable(change.stream)}: " if change.stream else ""
    name = "inferences/s" if change.metric == "rate" else change.metric
    return f"{stream}{name}, ms" if change.unit == "ms" else f"{stream}{name}"


def _value(change: Change, value: float | None, *, beyond: bool) -> str:
    if value is None:
        return "-"
    if change.unit == "share":
        return f"{value:.3%}"
    if change.unit == "/s":
        return numbers.rate(value)
    decimals = numbers.milliseconds_decimals(change.base or value)
    return numbers.milliseconds(value, decimals, beyond=beyond, few=change.few)


def _bound(change: Change) -> str:
    """Return the sign before a change between a value and a lower bound."""
    if change.change is None or change.base_beyond == change.other_beyond:
        return ""
    return "> " if change.other_beyond else "< "


def _percent(change: Change, value: float | None) -> str:
    if value is None:
        return "-"
    if change.unit == "share":
        return f"{100 * value:+,.3f} pp"
    return f"{100 * value:+,.{1 if value < MANYFOLD else 0}f} %"


def _interval(change: Change) -> str:
    if change.low is None and change.high is None:
        return "-"
    ends = (_percent(change, change.low), _percent(change, change.high))
    return " .. ".join("?" if end == "-" else end for end in ends)


def _side(side: Side) -> str:
    parts = (
        numbers.printable(side.name),
        "" if side.status == "complete" else side.status.upper(),
        f"{side.repetitions} repetition{'' if side.repetitions == 1 else 's'}",
        f"{side.started_at[:19].replace('T', ' ')} UTC",
        side.client,
    )
    return ", ".join(part for part in parts if part)


def _differences(candidate: Candidate) -> list[tuple[str, str]]:
    """Return what differs, base and other; of a great many the first."""
    lines = [
        (numbers.printable(d.what), numbers.printable(f"{d.base} -> {d.other}"))
        for d in candidate.differences
    ]
    more = len(lines) - MOST_DIFFERENCES
    return [*lines[:MOST_DIFFERENCES], ("...", f"and {more} more")] if more > 0 else lines


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    for candidate in comparison.candidates:
        yield _grid([("base", _side(comparison.base)), ("other", _side(candidate.side))])
        if candidate.differences:
            yield Text("\nwhat differs (base -> other)", style="bold")
            yield _grid(_differences(candidate))
        if candidate.notes:
            yield Text("\nbefore you believe it", style="bold")
            yield _grid([("!", note) for note in candidate.notes])
        yield Text()
        yield _table(candidate.changes)
        if candidate.limits:
            yield Text("\nlimits", style="bold")
            yield _grid([(f"{li.text}  {li.status}", li.message) for li in candidate.limits])
        yield Text()
    yield Text(_legend(comparison))


def _legend(comparison: Comparison) -> str:
    """Return how to read the tables, with the mark that stands in them."""
    few = any(change.few for candidate in comparison.candidates for change in candidate.changes)
    return f"{LEGEND}; ~: fewer than 10 samples lie above it" if few else LEGEND


def _table(changes: Sequence[Change]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 1), pad_edge=False, header_style="bold")
    for index, name in enumerate(HEADER):
        right = 0 < index < len(HEADER) - 1
        table.add_column(name, justify="right" if right else "left", no_wrap=right)
    for change in changes:
        table.add_row(*(Text(cell) for cell in row(change)))
    return table


def _grid(lines: Sequence[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in lines:
        grid.add_row(Text(numbers.printable(name)), Text(numbers.printable(text)))
    return Padding(grid, (0, 0, 0, 2), expand=False)


def _markdown(comparison: Comparison) -> Iterator[str]:
    escape = markdown.escape
    for candidate in comparison.candidates:
        yield f"## {escape(candidate.side.name)} against {escape(comparison.base.name)}\n"
        yield f"- base: {escape(_side(comparison.base))}"
        yield f"- other: {escape(_side(candidate.side))}"
        yield from (f"- **{escape(note)}**" for note in candidate.notes)
        yield ""
        yield from markdown.table(
            HEADER, [[escape(cell) for cell in row(change)] for change in candidate.changes]
        )
        yield ""
        for limit in candidate.limits:
            mark = "**FAILED**" if limit.status == FAILED else limit.status
            yield f"- `{limit.text}`: {mark}: {escape(limit.message)}"
        if candidate.differences:
            yield "\nWhat differs:\n"
            lines = [[escape(cell) for cell in line] for line in _differences(candidate)]
            yield from markdown.table(("", "base -> other"), lines, 2)
        yield ""
    yield escape(_legend(comparison))
