"""What is shown while a run goes on: a view in a terminal, a line a second elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from rich import live
from rich.console import Console

from fastbench.report import numbers
from fastbench.report.screen import Screen, time_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TextIO

    from fastbench.report.progress import Progress
    from fastbench.results import Interval

PLAIN_PERIOD_S = 1.0
SCREEN_PERIOD_S = 0.25
HISTORY_S = 59  # and the second of now
COLUMNS = (
    ("test time", 12),
    ("replies/s", 13),
    ("replies", 14),
    ("p50 ms", 10),
    ("p95 ms", 10),
    ("p99 ms", 10),
    ("failed", 8),
    ("CPU %", 7),
)


class Live:
    """Shows the progress of a run on standard error inside a ``with`` block.

    ``quiet``: nothing is shown. In a terminal a few lines are redrawn in place, at most four times
    a second, and removed at the end; elsewhere there is a header and then a line a second.
    """

    def __init__(self, *, quiet: bool = False, file: TextIO | None = None) -> None:
        self._quiet = quiet
        self._file = file or sys.stderr
        console = Console(file=self._file, highlight=False)
        self._screen = (
            live.Live(console=console, transient=True, auto_refresh=False)
            if console.is_terminal and not quiet
            else None
        )
        self._title = ""
        self._phase = ""
        self._next_s = 0.0
        self._has_header = False
        self._rates = Rates()

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

    def begin(self, title: str) -> None:
        """Say what is shown from now on, e.g. ``rep 1/3``."""
        self._title, self._phase = title, ""

    def update(self, progress: Progress) -> None:
        """Show the state of now; may be called as often as one likes."""
        if self._quiet:
            return
        now_s = time.monotonic()
        self._rates.add(now_s, progress.rate_per_s)
        if not self._is_due(progress.phase, now_s):
            return
        if self._screen is not None:
            self._screen.update(Screen(self._title, progress, self._rates.last), refresh=True)
        else:
            self._print(progress)

    def _is_due(self, phase: str, now_s: float) -> bool:
        if phase == self._phase and now_s < self._next_s:
            return False
        period_s = PLAIN_PERIOD_S if self._screen is None else SCREEN_PERIOD_S
        self._phase, self._next_s = phase, now_s + period_s
        return True

    def _print(self, progress: Progress) -> None:
        if not self._has_header:
            self._file.write(header() + "\n")
            self._has_header = True
        self._file.write(line(self._title, progress) + "\n")
        self._file.writelines(stream_line(*stream) + "\n" for stream in progress.streams)
        self._file.flush()


class Rates:
    """The throughput of the last minute, seen once a second; ``last``: oldest first."""

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=HISTORY_S)
        self._next_s: float | None = None

    def add(self, now_s: float, rate_per_s: float | None) -> None:
        """Look at the mean rate of the last second; kept is one per second."""
        if self._next_s is None:
            self._next_s = now_s + 1
        if now_s >= self._next_s and rate_per_s is not None:
            self.last.append(rate_per_s)
            self._next_s = now_s + 1


def header() -> str:
    """Return the names of the columns of :func:`line`."""
    return _row("", [name for name, _ in COLUMNS])


def line(title: str, progress: Progress) -> str:
    """Return the state of now as a row of at most 100 columns; ``-`` where there is no value."""
    decimals = numbers.milliseconds_decimals(progress.p50_ms)
    quantiles = (progress.p50_ms, progress.p95_ms, progress.p99_ms)
    cpu = progress.client_cpu_percent
    cells = [
        time_of(progress),
        numbers.rate(progress.rate_per_s),
        numbers.count(progress.done),
        *(numbers.milliseconds(value, decimals) for value in quantiles),
        numbers.count(progress.errors),
        "-" if cpu is None else f"{cpu:.0f}",
    ]
    return _row(f"{title} {progress.phase}", cells)


def stream_line(name: str, last: Interval) -> str:
    """Return the last interval of one of several streams in the columns of :func:`line`."""
    decimals = numbers.milliseconds_decimals(last.response_p50_ms)
    quantiles = (last.response_p50_ms, last.response_p95_ms, last.response_p99_ms)
    cells = [
        "",
        numbers.rate(last.inferences_per_s),
        numbers.count(last.completed),
        *(numbers.milliseconds(value, decimals) for value in quantiles),
        numbers.count(last.errors + last.timeouts + last.lost),
        "",
    ]
    return _row(f"  {name[:13]}", cells)


def _row(label: str, cells: list[str]) -> str:
    padded = (cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    return f"{label:<16}{''.join(padded)}"
