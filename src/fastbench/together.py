"""Several plans at once, each with an engine of its own that ends after its own inferences."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench._engine import Engine
from fastbench.books import Books

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.books import Measured
    from fastbench.job import Job
    from fastbench.measured import RawThread
    from fastbench.plan import Plan

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """What one of the plans measured, and what its threads cost."""

    measured: Measured
    threads: list[RawThread]


def run_together(plans: Sequence[tuple[Plan, Job]]) -> tuple[list[Ended], bool]:
    """Run plans of one stream each at the same time, all to their end.

    Returns what each measured, in order, and whether Ctrl-C ended them early.
    Raises :class:`FastbenchError` where one of them breaks; the others are stopped.
    """
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(Engine(plan)) for plan, _ in plans]
        books = [Books(plan, [job]) for plan, job in plans]
        interrupted = _drive(engines, books)
        ended = []
        for engine, book in zip(engines, books, strict=True):
            engine.join()
            ended.append(Ended(book.finish(engine, [None]), list(engine.threads())))
    return ended, interrupted


def _drive(engines: Sequence[Engine], books: Sequence[Books]) -> bool:
    """Start all and wait for all; True = interrupted."""
    try:
        for engine in engines:
            engine.start()
        for engine in engines:
            while not engine.wait(POLL_S):
                for each, book in zip(engines, books, strict=True):
                    book.take(each)
    except KeyboardInterrupt:
        for engine in engines:
            engine.stop()
        return True
    return False
