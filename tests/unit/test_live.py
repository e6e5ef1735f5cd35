"""The live view: plain lines outside a terminal, a view that fits inside one, never too often."""

from __future__ import annotations

import dataclasses
import io
import itertools
import re

import pytest
from rich.console import Console

from fastbench.report import bars, live
from fastbench.report.live import Live, Rates
from fastbench.report.progress import Progress
from fastbench.report.screen import Screen

NOW = Progress(
    phase="measure",
    elapsed_s=4.2,
    total_s=10.0,
    done=5185,
    rate_per_s=1234.0,
    p50_ms=3.2123,
    p95_ms=7.5,
    p99_ms=12.345,
    errors=3,
    client_cpu_percent=41.3,
    server_cpu_percent=80.4,
    thread_cpu_percents=(25.0, 97.0),
)
WARMING = Progress(phase="warm-up", elapsed_s=0.1, total_s=1.0, done=0, rate_per_s=0.0)


def shown(progress: Progress, width: int, rates: list[float], encoding: str = "utf-8") -> list[str]:
    """Return the lines that a terminal of this width shows."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    console.print(Screen("rep 1/3", progress, rates))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the live view goes by."""
    made = Clock()
    monkeypatch.setattr(live, "time", made)
    return made


def test_plain_lines_are_a_table_with_one_header(clock: Clock) -> None:
    """Outside a terminal there is a header once, then a row per phase and second, aligned."""
    file = io.StringIO()
    with Live(file=file) as display:
        for repetition in (1, 2):
            display.begin(f"rep {repetition}/2")
            for progress in (WARMING, WARMING, NOW, NOW):
                display.update(progress)
                clock.now_s += 0.1
        clock.now_s += 1.0
        display.update(NOW)

    header, *rows = file.getvalue().splitlines()
    assert header.split("  ")[-1].strip() == "CPU %"
    assert [re.split(r"\s{2,}", row)[0] for row in rows] == [
        *("rep 1/2 warm-up", "rep 1/2 measure"),
        *("rep 2/2 warm-up", "rep 2/2 measure", "rep 2/2 measure"),
    ]
    cells = re.split(r"\s{2,}", rows[1])[1:]
    assert cells == ["4.2/10 s", "1,234", "5,185", "3.212", "7.500", "12.345", "3", "41"]
    assert re.split(r"\s{2,}", rows[0])[1:] == ["0.1/1 s", "0.00", "0", "-", "-", "-", "0", "-"]
    assert {len(row) for row in (header, *rows)} == {len(header)}
    assert len(header) <= 100


def test_a_phase_that_has_just_begun_has_no_rate(clock: Clock) -> None:
    """No figure of the phase before stands beside its zero seconds."""
    del clock
    file = io.StringIO()
    with Live(file=file) as display:
        display.begin("rep 1/3")
        display.update(dataclasses.replace(NOW, elapsed_s=0.0, done=0, rate_per_s=None))

    assert re.split(r"\s{2,}", file.getvalue().splitlines()[1])[1:4] == ["0.0/10 s", "-", "0"]


def test_silent_when_quiet() -> None:
    """--quiet writes nothing at all."""
    file = io.StringIO()
    with Live(quiet=True, file=file) as display:
        display.begin("rep 1/3")
        display.update(NOW)

    assert file.getvalue() == ""


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_terminal_is_redrawn_at_most_four_times_a_second(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred updates within a second four are drawn, and in the end nothing is left."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    with Live(file=file) as display:
        display.begin("rep 1/3")
        for _ in range(100):
            display.update(NOW)
            clock.now_s += 0.0099
        drawn = file.getvalue()

    assert drawn.count("rep 1/3 measure") == 4
    assert file.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 140])
@pytest.mark.parametrize("threads", [0, 1, 4, 5, 128])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_view_fits_every_terminal(width: int, threads: int, encoding: str) -> None:
    """No line is wider than the terminal, and from 40 columns on no figure is cut."""
    busy = tuple(float(i % 101) for i in range(threads))
    now = dataclasses.replace(NOW, thread_cpu_percents=busy)
    lines = shown(now, width, [float(i) for i in range(60)], encoding)
    text = "\n".join(lines)

    assert max(len(line) for line in lines) <= width
    assert len(lines) <= 18
    if width >= 40:
        for figure in (
            "rep 1/3 measure",
            "4.2/10 s",
            "1,234 replies/s",
            "p99 12.345 ms",
            "3 failed",
        ):
            assert figure in text
        assert "client CPU 41 %" in text
        assert "server CPU 80 %" in text


def test_threads_have_a_bar_each() -> None:
    """A few threads have a bar with a number, many a character each, the busiest is named."""
    few = "\n".join(shown(NOW, 80, []))
    assert re.search(r"thread 0 +█████ +25 %", few)
    assert re.search(r"thread 1 +█{19}[▏▎▍▌▋▊▉] +97 %", few)

    many = dataclasses.replace(NOW, thread_cpu_percents=tuple(range(128)))
    lines = shown(many, 80, [])
    assert "128 threads, busiest 127: 127 %" in "\n".join(lines)
    drawn = [line.strip() for line in lines if re.search("[▁▂▃▄▅▆▇█]{3}", line)]
    assert sum(map(len, drawn)) == 127, "the first of them does nothing and is a blank"


def test_nothing_is_made_up_before_the_first_reply() -> None:
    """In warm-up there are no quantiles and, before a sample, no CPU."""
    text = "\n".join(shown(WARMING, 80, []))

    assert "no reply yet" in text
    assert "p50" not in text
    assert "CPU" not in text


def test_end_by_requests_has_no_known_length() -> None:
    """Where a phase ends by a count, the time that it will take is not pretended."""
    text = "\n".join(shown(dataclasses.replace(NOW, total_s=None), 80, []))

    assert "4.2 s" in text
    assert "/10" not in text


def test_rates_are_kept_for_a_minute() -> None:
    """One rate per second, the oldest go."""
    rates = Rates()
    for tick in range(10 * 100):
        rates.add(tick / 10, float(tick // 10))

    assert len(rates.last) == 59
    assert rates.last[-1] == pytest.approx(99.0, abs=1)
    assert all(b - a == pytest.approx(1, abs=1) for a, b in itertools.pairwise(rates.last))


def test_throughput_has_a_shape_and_a_scale() -> None:
    """The line ends with the rate of now, and its top is the highest of all."""
    text = "\n".join(shown(dataclasses.replace(NOW, rate_per_s=800.0), 80, [100.0, 400.0]))

    assert "▁▄█  up to 800.0/s" in text


@pytest.mark.parametrize(("ascii_only", "drawn"), [(False, " ▁▄█"), (True, " .=@")])
def test_sparkline(ascii_only: bool, drawn: str) -> None:
    """Zero is a blank, anything more is visible, the top is full."""
    assert bars.spark([0.0, 0.01, 4.0, 8.0], 8.0, ascii_only=ascii_only) == drawn
    assert bars.spark([1.0], 0.0, ascii_only=ascii_only) == " "


@pytest.mark.parametrize(
    ("fraction", "drawn"), [(0, "    "), (0.5, "██  "), (0.54, "██▏ "), (1, "████"), (7, "████")]
)
def test_bar(fraction: float, drawn: str) -> None:
    """A bar is filled to an eighth of a character and never longer than its width."""
    assert bars.bar(fraction, 4) == drawn
    assert len(bars.bar(fraction, 4, ascii_only=True)) == 4
