"""How CPUs are given, and how many files may be open."""

from __future__ import annotations

import resource

import pytest

from fastbench import load
from fastbench.cli.options import parse_cpus
from fastbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", (0,)),
        ("2-5,8", (2, 3, 4, 5, 8)),
        ("7,1", (7, 1)),
        ("3-3", (3,)),
        ("0,0", (0, 0)),
    ],
)
def test_lists(text: str, cpus: tuple[int, ...]) -> None:
    """Lists are read as the kernel writes them; the order is kept."""
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize(
    "text", ["", "a", "1,", ",1", "-1", "1-", "1--2", "1-2-3", "5-2", "0-99999999999", "1 2", "²"]
)
def test_wrong_lists(text: str) -> None:
    """Anything else is refused in one line, and at once however large the numbers are."""
    with pytest.raises(UsageError, match=r"^--cpus "):
        parse_cpus(text)


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit of open files is raised as far as needed; the hard one is respected."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))

    load.allow_connections(100, 2)
    assert raised == []

    load.allow_connections(2000, 100)
    assert raised[0][0] >= 2400
    assert raised[0][1] == 4096

    with pytest.raises(UsageError, match=r"--connections 4096: .*4096 files"):
        load.allow_connections(4096, 1)


@pytest.mark.parametrize(
    ("duration_s", "interval_s"),
    [(0, 1), (0.05, 0.1), (2, 0.1), (5, 0.2), (25, 1), (1800, 1), (3600, 2), (86400, 48)],
)
def test_intervals_are_short_enough_to_show_a_trend(duration_s: float, interval_s: float) -> None:
    """Measure has 25 to 1,800 intervals, none below 0.1 s, usually of 1 s; 0 = not known."""
    assert load.interval_ns(round(duration_s * 1e9)) == round(interval_s * 1e9)
