"""Ctrl-C and SIGTERM, where something must first come to an orderly end."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOPPING = (signal.SIGINT, signal.SIGTERM)


class SecondInterrupt(KeyboardInterrupt):
    """Whoever interrupts again does not want to wait for what the first one began."""


class Interrupts:
    """What interrupts do within :func:`orderly`.

    Before :meth:`first_calls` each raises KeyboardInterrupt as ever, from the second one on
    :class:`SecondInterrupt`.
    ``came``: whether there was one that did not.
    """

    def __init__(self) -> None:
        self.came = False
        self._stops: tuple[Callable[[], object], ...] = ()

    def first_calls(self, *stops: Callable[[], object]) -> None:
        """Let the first interrupt only call ``stops``: between any two steps of the main thread."""
        self._stops = stops

    def interrupt(self, *_: object) -> None:
        """Be interrupted."""
        if self.came:
            raise SecondInterrupt
        if not self._stops:
            raise KeyboardInterrupt
        self.came = True
        for stop in self._stops:
            stop()


@contextlib.contextmanager
def orderly() -> Iterator[Interrupts]:
    """Let what is yielded decide what Ctrl-C and SIGTERM do; afterwards they do what they did."""
    interrupts = Interrupts()
    with handled_by(interrupts.interrupt):
        yield interrupts


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block, and raise KeyboardInterrupt there.

    For what must not be left half-done, and for imports of extension modules: some turn an
    interrupt that comes meanwhile into an ImportError, others lose it.
    """
    waiting: list[object] = []
    with handled_by(lambda *signal: waiting.append(signal)):
        yield
    if waiting:
        raise KeyboardInterrupt


@contextlib.contextmanager
def handled_by(handler: Callable[..., object]) -> Iterator[None]:
    """Call ``handler`` for Ctrl-C and SIGTERM, where they would raise KeyboardInterrupt."""
    ours = threading.current_thread() is threading.main_thread()
    raising = [s for s in STOPPING if ours and signal.getsignal(s) is signal.default_int_handler]
    try:
        for number in raising:
            signal.signal(number, handler)
        yield
    finally:
        for number in raising:
            signal.signal(number, signal.default_int_handler)
