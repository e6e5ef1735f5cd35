"""Ctrl-C where something must come to an orderly end: the first asks for it, the second breaks."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from fastbench.interrupts import SecondInterrupt, deferred, handled_by, orderly

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def raising() -> Iterator[None]:
    """Let both signals raise KeyboardInterrupt, as the command line does."""
    before = [signal.signal(number, signal.default_int_handler) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_first_calls_and_second_raises(number: int) -> None:
    """The first runs what stops the work and lets it go on; the next one is KeyboardInterrupt."""
    stopped: list[str] = []
    with orderly() as interrupts:
        interrupts.first_calls(lambda: stopped.append("a"), lambda: stopped.append("b"))
        assert not interrupts.came
        signal.raise_signal(number)
        assert (stopped, interrupts.came) == (["a", "b"], True)
        with pytest.raises(SecondInterrupt):
            signal.raise_signal(number)

    assert stopped == ["a", "b"]


def test_nothing_to_stop_yet() -> None:
    """Before there is anything to bring to an end, an interrupt raises as ever."""
    with pytest.raises(KeyboardInterrupt), orderly():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", NUMBERS)
def test_deferred(number: int) -> None:
    """The block is done whole, and not even one that loses KeyboardInterrupt loses the signal."""
    done: list[str] = []

    def losing() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
            done.append("within")
        done.append("after")

    with pytest.raises(KeyboardInterrupt), deferred():
        losing()

    assert done == ["within", "after"]
    with deferred():
        pass
    assert signal.getsignal(number) is signal.default_int_handler


def test_handlers_are_given_back() -> None:
    """Afterwards, also after an error, both signals do what they did before."""
    with pytest.raises(KeyError), orderly():
        {}["x"]

    assert [signal.getsignal(number) for number in NUMBERS] == [signal.default_int_handler] * 2


def test_what_others_handle_is_left_alone() -> None:
    """A signal that does not raise KeyboardInterrupt, e.g. is ignored, stays as it is."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    heard: list[int] = []
    with handled_by(lambda number, _: heard.append(number)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    assert heard == [signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_other_threads_have_no_signals() -> None:
    """Only the main thread may set handlers: elsewhere nothing is handled, and nothing breaks."""
    came: list[bool] = []

    def work() -> None:
        with orderly() as interrupts:
            interrupts.first_calls(list)
            came.append(interrupts.came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert came == [False]
