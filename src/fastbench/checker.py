"""Kept replies are compared while the engine goes on: in a thread of its own, never in its way."""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

from fastbench.verification import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench._engine import Engine
    from fastbench.job import Job
    from fastbench.measured import Capture
    from fastbench.results import Verification

#: Replies that are handed over together, at most and in bytes, and how many such hands wait.
#: Where the thread does not keep up, the engine keeps the next, and passes by what has no room.
MOST = 2000
MOST_BYTES = 8 * 1024 * 1024
WAITING = 8
#: Replies that are compared before the thread looks whether it is to give up.
TOGETHER = 50


class Checker:
    """Compares the replies of one stream; ``verify`` and :func:`merge` make one finding of all."""

    def __init__(self, verify: Callable[[list[Capture]], Verification]) -> None:
        """Start the thread."""
        self._verify = verify
        self._found = verify([])
        self._queue: queue.Queue[list[Capture] | None] = queue.Queue(WAITING)
        self._most = 1  # until the size of a reply is known
        self._given_up = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="fastbench-verify", daemon=True)
        self._thread.start()

    def feed(self, take: Callable[[int], list[Capture]]) -> None:
        """Take as many replies as the thread has room for; ``take``: given the most at once."""
        while not self._queue.full() and self._hand_over(take):
            pass

    def finish(self, take: Callable[[int], list[Capture]]) -> Verification | None:
        """Compare all that are left and return what was found; None where that was given up.

        Raises what the thread raised.
        """
        while not self._given_up and self._hand_over(take):
            pass
        self._end()
        if self._given_up:
            return None
        if self._error is not None:
            raise self._error
        return self._found

    def give_up(self) -> None:
        """Compare no more; returns at once, so that a signal handler may call it."""
        self._given_up = True

    def close(self) -> None:
        """Give up what was not compared, and end the thread."""
        self.give_up()
        self._end()

    def _hand_over(self, take: Callable[[int], list[Capture]]) -> bool:
        """Take replies and queue them, waiting for room; False when there are none."""
        captures = take(self._most)
        if captures:
            size = max(len(capture.data) for capture in captures)
            self._most = max(min(MOST_BYTES // max(size, 1), MOST), 1)
            self._queue.put(captures)
        return bool(captures)

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (captures := self._queue.get()) is not None:
            for at in range(0, len(captures), TOGETHER):
                self._compare(captures[at : at + TOGETHER])

    def _compare(self, captures: list[Capture]) -> None:
        if self._given_up or self._error is not None:
            return
        try:
            self._found = merge(self._found, self._verify(captures))
        except Exception as error:  # noqa: BLE001 - finish raises it, in the thread that waits
            self._error = error


class Checkers:
    """One checker for each stream that is verified; use as a context manager."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._each = [Checker(job.verify) if job.verify else None for job in jobs]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for checker in self._each:
            if checker is not None:
                checker.close()

    def give_up(self) -> None:
        """Compare no more; returns at once, so that a signal handler may call it."""
        for checker in self._each:
            if checker is not None:
                checker.give_up()

    def feed(self, engine: Engine) -> None:
        """Hand over what the engine has kept, as far as there is room."""
        for stream, checker in enumerate(self._each):
            if checker is not None:
                checker.feed(partial(engine.take_captures, stream))

    def finish(self, engine: Engine) -> list[Verification | None]:
        """Compare the rest and return what was found of each stream. After join.

        None where nothing was to be compared, or it was given up.
        """
        return [
            None if checker is None else checker.finish(partial(engine.take_captures, stream))
            for stream, checker in enumerate(self._each)
        ]
