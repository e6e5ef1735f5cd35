"""Several plans at once, each with an engine of its own that ends after its own inferences."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench._engine import Engine
from fastbench.books import Books
from fastbench.interrupts import orderly
from fastbench.repetition import Outcome, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastbench.books import Measured
    from fastbench.errors import FastbenchError
    from fastbench.job import Job
    from fastbench.measured import RawThread
    from fastbench.plan import Plan

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """What one of the plans measured, and what its threads cost."""

    measured: Measured
    threads: list[RawThread]


def run_together(plans: Sequence[tuple[Plan, Job]]) -> tuple[list[Ended], Outcome]:
    """Run plans of one stream each at the same time, all to their end.

    Returns what each measured, in order, and how they ended: Ctrl-C ends them all, and so does an
    error of one.
    Raises :class:`FastbenchError` or KeyboardInterrupt when that was before anything was measured,
    and :class:`fastbench.interrupts.SecondInterrupt` when they are interrupted again.
    """
    with orderly() as interrupts, contextlib.ExitStack() as stack:
        engines = [stack.enter_context(Engine(plan)) for plan, _ in plans]
        books = [Books(plan, [job]) for plan, job in plans]
        interrupts.first_calls(*(engine.stop for engine in engines))
        error = _drive(engines, books)
        if (error or interrupts.came) and not any(e.totals().intended for e in engines):
            raise error or KeyboardInterrupt
        ended = [
            Ended(book.finish(engine, [None]), list(engine.threads()))
            for engine, book in zip(engines, books, strict=True)
        ]
    return ended, Outcome.of(error, interrupted=interrupts.came)


def _drive(engines: Sequence[Engine], books: Sequence[Books]) -> FastbenchError | None:
    """Start all and wait for all; what ends one of them early ends the others, and is returned."""
    running = dict(zip(engines, books, strict=True))
    first: FastbenchError | None = None
    for engine in engines:
        engine.start()
    while running:
        for engine, book in list(running.items()):
            book.take(engine)
            if engine.wait(POLL_S):
                del running[engine]
                error = _ended(engine, running)
                first = first or error
    return first


def _ended(engine: Engine, running: Iterable[Engine]) -> FastbenchError | None:
    error = joined(engine)
    if error is not None:
        for other in running:
            other.stop()
    return error
