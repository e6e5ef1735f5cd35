"""The live view in a terminal: a few lines that fit into its width, redrawn in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastbench.report import bars, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType

    from fastbench.report.progress import Progress

#: From this CPU use on a thread may have delayed the replies that it timed.
BUSY_PERCENT = 80.0
#: Narrower than this, figures stand on more lines.
WIDE = 72
#: So many threads have a bar with a number each; more have one character each.
FEW_THREADS = 4
INDENT = "  "


class Screen:
    """The state of now as a rich renderable.

    ``title``: e.g. ``rep 1/3``. ``rates``: of the last minute, one per second, oldest first.
    """

    def __init__(self, title: str, progress: Progress, rates: Sequence[float]) -> None:
        self._title = title
        self._now = progress
        self._rates = rates

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yield the lines: phase, figures, throughput, CPU use."""
        del console
        width, ascii_only = options.max_width, options.ascii_only
        yield _phase(self._title, self._now, width)
        lines = [
            *_figures(self._now, width),
            *_throughput([*self._rates, self._now.rate_per_s or 0.0], width, ascii_only),
        ]
        lines += _streams(self._now)
        lines += _threads(self._now, width, ascii_only)
        lines += _processes(self._now)
        yield Group(*(_fitted(line) for line in lines))


def _fitted(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line


def _phase(title: str, now: Progress, width: int) -> RenderableType:
    label, clock = f"{title} {now.phase:<7}", time_of(now)
    known = now.total_s is not None
    bar = ProgressBar(
        total=1.0 if known else None,
        completed=now.fraction,
        width=max(4, min(40, width - len(label) - len(clock) - 2)),
        pulse=not known,
    )
    grid = Table.grid(padding=(0, 1))
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="crop")
    grid.add_row(Text(label, style="bold"), bar, Text(clock))
    return grid


def _figures(now: Progress, width: int) -> Iterator[Text]:
    if not now.done and not now.errors:
        yield Text(f"{INDENT}no reply yet")
        return
    rate = Text(f"{INDENT}{numbers.rate(now.rate_per_s)} replies/s", style="bold")
    failed = Text(f"{numbers.count(now.errors)} failed", style="bold red" if now.errors else "")
    decimals = numbers.milliseconds_decimals(now.p50_ms)
    quantiles = (("p50", now.p50_ms), ("p95", now.p95_ms), ("p99", now.p99_ms))
    texts = [f"{name} {numbers.milliseconds(value, decimals)}" for name, value in quantiles]
    latency = Text("  ".join(texts) + " ms")
    if now.p50_ms is None:
        yield Text("   ").join([rate, failed])
    elif width >= WIDE:
        yield Text("   ").join([rate, latency, failed])
    else:
        yield Text("   ").join([rate, failed])
        yield Text(INDENT).append(latency)


def _streams(now: Progress) -> Iterator[Text]:
    """Yield a line for each of several streams: its last interval."""
    for name, last in now.streams:
        decimals = numbers.milliseconds_decimals(last.response_p50_ms)
        p50, p99 = (
            numbers.milliseconds(value, decimals)
            for value in (last.response_p50_ms, last.response_p99_ms)
        )
        failed = numbers.count(last.errors + last.timeouts + last.lost)
        rate = numbers.rate(last.inferences_per_s)
        yield Text(f"{INDENT}{name}: {rate}/s  p50 {p50}  p99 {p99} ms  {failed} failed")


def _throughput(rates: Sequence[float], width: int, ascii_only: bool) -> Iterator[Text]:
    if len(rates) < 2:  # noqa: PLR2004 - one value has no shape
        return
    top = max(rates)
    label = f"  up to {numbers.rate(top)}/s"
    shown = list(rates)[-max(1, width - len(INDENT) - len(label)) :]
    line = Text(INDENT).append(bars.spark(shown, top, ascii_only=ascii_only), style="cyan")
    yield line.append(label, style="dim")


def _threads(now: Progress, width: int, ascii_only: bool) -> Iterator[Text]:
    percents = now.thread_cpu_percents
    if not percents:
        return
    if len(percents) <= FEW_THREADS:
        for index, percent in enumerate(percents):
            text = bars.bar(percent / 100, min(20, width - 22), ascii_only=ascii_only)
            line = Text(f"{INDENT}thread {index:<2} ").append(text, style=_style(percent))
            yield line.append(f" {percent:3.0f} %")
        return
    busiest = max(percents)
    where = percents.index(busiest)
    yield Text(f"{INDENT}{len(percents)} threads, busiest {where}: {busiest:.0f} %")
    room = max(8, width - len(INDENT))
    for start in range(0, len(percents), room):
        line = Text(INDENT)
        for percent in percents[start : start + room]:
            line.append(bars.spark([percent], 100, ascii_only=ascii_only), style=_style(percent))
        yield line


def _processes(now: Progress) -> Iterator[Text]:
    known = [
        f"{name} CPU {percent:.0f} %"
        for name, percent in (
            ("client", now.client_cpu_percent),
            ("server", now.server_cpu_percent),
        )
        if percent is not None
    ]
    if known:
        yield Text(INDENT + "   ".join(known), style="dim")


def _style(percent: float) -> str:
    return "bold red" if percent >= BUSY_PERCENT else "green"


def time_of(now: Progress) -> str:
    """Return how long the phase has lasted, and of what."""
    if now.total_s is None:
        return f"{now.elapsed_s:.1f} s"
    return f"{now.elapsed_s:.1f}/{now.total_s:g} s"
