"""What is shown while a repetition runs: one line in a terminal, a line a second elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import live
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastbench.report import numbers

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TextIO

    from rich.console import RenderableType

PLAIN_PERIOD_S = 1.0
BAR_WIDTH = (6, 30)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a repetition has come; rates, latencies and CPU are those of the last moments."""

    phase: str
    elapsed_s: float  # since the phase began
    total_s: float | None  # None = it ends by a count or an event, not by time
    done: int  # inferences in this phase
    rate_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    errors: int  # everything that did not succeed
    cpu_percent: float | None  # of the client, 100 = one core

    @property
    def fraction(self) -> float:
        """How much of the phase is over, 0 to 1; 0 where that is not known."""
        return min(1.0, self.elapsed_s / self.total_s) if self.total_s else 0.0


class Live:
    """Shows the progress of one repetition on standard error inside a ``with`` block.

    ``title``: e.g. ``rep 1/3``. ``quiet``: nothing is shown. In a terminal the line is redrawn in
    place and removed at the end; elsewhere a plain line is written once a second.
    """

    def __init__(self, title: str, *, quiet: bool = False, file: TextIO | None = None) -> None:
        self._title = title
        self._quiet = quiet
        self._file = file or sys.stderr
        console = Console(file=self._file, highlight=False)
        self._screen = (
            live.Live(console=console, transient=True, auto_refresh=False)
            if console.is_terminal and not quiet
            else None
        )
        self._phase = ""
        self._next_s = 0.0

    def __enter__(self) -> Self:
        if self._screen is not None:
            self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen is not None:
            self._screen.stop()

    def update(  # noqa: PLR0913, PLR0917 - the fields of Progress
        self,
        phase: str,
        elapsed_s: float,
        total_s: float | None,
        done: int,
        rate_per_s: float,
        p50_ms: float | None,
        p99_ms: float | None,
        errors: int,
        cpu_percent: float | None,
    ) -> None:
        """Show the state of now; may be called as often as one likes."""
        if self._quiet:
            return
        progress = Progress(
            phase, elapsed_s, total_s, done, rate_per_s, p50_ms, p99_ms, errors, cpu_percent
        )
        if self._screen is not None:
            width = self._screen.console.width
            self._screen.update(_line(self._title, progress, width), refresh=True)
        elif self._is_due(phase):
            self._file.write(f"{self._title} {phase} {_time(progress)}: {_figures(progress)}\n")
            self._file.flush()

    def _is_due(self, phase: str) -> bool:
        now_s = time.monotonic()
        if phase == self._phase and now_s < self._next_s:
            return False
        self._phase, self._next_s = phase, now_s + PLAIN_PERIOD_S
        return True


def _line(title: str, progress: Progress, width: int) -> RenderableType:
    """Return the line with a bar in the middle, where there is room for one."""
    label, figures = f"{title} {progress.phase:<7}", f"{_time(progress)}  {_figures(progress)}"
    room = width - len(label) - len(figures) - 2
    if room < BAR_WIDTH[0]:
        return Text(f"{label} {figures}", no_wrap=True, overflow="ellipsis")
    known = progress.total_s is not None
    bar = ProgressBar(
        total=1.0 if known else None,
        completed=progress.fraction,
        width=min(room, BAR_WIDTH[1]),
        pulse=not known,
    )
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(label, style="bold"), bar, Text(figures))
    return grid


def _time(progress: Progress) -> str:
    if progress.total_s is None:
        return f"{progress.elapsed_s:.1f} s"
    return f"{progress.elapsed_s:.1f}/{progress.total_s:g} s"


def _figures(progress: Progress) -> str:
    if not progress.done and not progress.errors:
        return "no reply yet"
    decimals = 3 if (progress.p50_ms or 1.0) < 1 else 2
    p50, p99 = (numbers.milliseconds(v, decimals) for v in (progress.p50_ms, progress.p99_ms))
    cpu = "" if progress.cpu_percent is None else f"  CPU {progress.cpu_percent:.0f}%"
    return (
        f"{numbers.rate(progress.rate_per_s)}/s  p50/p99 {p50}/{p99} ms  "
        f"{numbers.count(progress.errors)} err{cpu}"
    )
