"""Replies are compared while the run goes on: all of them, bounded, and never silently not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from fastbench import checker
from fastbench.checker import Checker
from fastbench.errors import ModelError
from fastbench.measured import Capture
from fastbench.results import Verification

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 60.0


class Source:
    """What an engine has kept: ``count`` replies, whose rows are their numbers."""

    def __init__(self, count: int, size: int = 10) -> None:
        self.left = [Capture(row, b"x" * size, whole=True) for row in range(count)]
        self.hands: list[int] = []

    def take(self, most: int) -> list[Capture]:
        """Give up to ``most`` of them."""
        taken, self.left = self.left[:most], self.left[most:]
        self.hands.append(len(taken))
        return taken


def judge(captures: list[Capture]) -> Verification:
    """Find every tenth row wrong, by a difference of its number."""
    rows = [c.row for c in captures]
    return Verification(
        requested=None,
        checked=len(rows),
        mismatches=sum(row % 10 == 9 for row in rows),
        max_abs_difference=max(map(float, rows), default=None),
        tolerance=0.5,
        mismatched_rows=[row for row in rows if row % 10 == 9],
    )


def finished(one: Checker, source: Source) -> Verification:
    """Return what was found in the end; fails where it was given up."""
    found = one.finish(source.take)
    assert found is not None
    return found


def test_every_reply_is_compared() -> None:
    """What was fed in many hands, and what was left, is one finding of all replies."""
    source = Source(12_345)
    one = Checker(judge)

    one.feed(source.take)
    found = finished(one, source)

    assert source.left == []
    assert (found.checked, found.mismatches) == (12_345, 1234)
    assert found.max_abs_difference == 12_344.0
    assert found.mismatched_rows == list(range(9, 200, 10))  # the first twenty


def test_nothing_to_compare() -> None:
    """No reply at all is a finding of none, not of right ones."""
    found = finished(Checker(judge), Source(0))

    assert (found.checked, found.mismatches, found.max_abs_difference) == (0, 0, None)


def blocked(gate: threading.Event) -> Callable[[list[Capture]], Verification]:
    """Return what compares only once the gate is open."""

    def compare(captures: list[Capture]) -> Verification:
        if captures:
            assert gate.wait(LIMIT_S)
        return judge(captures)

    return compare


def test_slow_comparison_holds_nothing_up() -> None:
    """Feeding returns at once where the thread is busy, and takes no more than has room."""
    source, gate = Source(1_000_000), threading.Event()
    one = Checker(blocked(gate))

    for _ in range(5):
        one.feed(source.take)

    taken = 1_000_000 - len(source.left)
    assert 0 < taken <= (checker.WAITING + 2) * checker.MOST
    source.left = source.left[:100]
    gate.set()
    assert finished(one, source).checked == taken + 100


def test_large_replies_are_few_at_a_time() -> None:
    """What is handed over together is bounded in bytes: after the first, whose size is learnt."""
    source = Source(40, size=checker.MOST_BYTES // 3)
    one = Checker(judge)

    assert finished(one, source).checked == 40
    assert max(source.hands) == 3


def test_giving_up() -> None:
    """Whoever gives up waits for the few that are being compared, not for the queue."""
    source, gate = Source(100_000), threading.Event()
    compared: list[int] = []

    def compare(captures: list[Capture]) -> Verification:
        if captures:
            compared.append(len(captures))
            assert gate.wait(LIMIT_S)
        return judge(captures)

    one = Checker(compare)
    one.feed(source.take)
    ending = threading.Thread(target=one.close)
    ending.start()
    gate.set()
    ending.join(LIMIT_S)

    assert not ending.is_alive()


def test_giving_up_while_it_is_finished() -> None:
    """A signal handler may give up in the midst of it: that returns at once, and so does it."""
    source, compared = Source(100_000), 0

    def compare(captures: list[Capture]) -> Verification:
        nonlocal compared
        compared += len(captures)
        if captures:
            one.give_up()
        return judge(captures)

    one = Checker(compare)

    assert one.finish(source.take) is None
    assert compared <= checker.TOGETHER
    assert source.left


def test_error_is_raised_where_it_is_waited_for() -> None:
    """What the comparison raises ends the run with its line, not a thread in silence."""

    def broken(captures: list[Capture]) -> Verification:
        if captures:
            msg = "onnxruntime cannot run the model"
            raise ModelError(msg)
        return judge(captures)

    with pytest.raises(ModelError, match="cannot run the model"):
        Checker(broken).finish(Source(5000).take)
