"""Ctrl-C at the worst moments: what was measured is kept, and the books balance."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.fakeserver import FakeServer, Reply, Request, always
from support.streams import stream_of

from fastbench.books import Books
from fastbench.collector import Collector
from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import ConnectError
from fastbench.interrupts import SecondInterrupt
from fastbench.job import Job
from fastbench.journal import FILENAME, Journal
from fastbench.monitor.sampler import Usage
from fastbench.plan import Plan
from fastbench.repetition import Outcome, run_repetition
from fastbench.report.folder import ResultFolder
from fastbench.report.live import Live
from fastbench.results import Repetition, TargetInfo, Verification
from fastbench.runner import run
from fastbench.together import run_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fastbench._engine import Engine
    from fastbench.measured import Capture, RawInterval
    from fastbench.monitor.sampler import Monitor
    from fastbench.plan import Stream

LIMIT_S = 60.0
MS = 1_000_000
S = 1_000_000_000
REPLIES = 40
FOR_EVER = 10**9


@pytest.fixture(autouse=True)
def raising() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, whoever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def job_of(stream: Stream, **fields: Any) -> Job:
    """Return the job that sends ``stream``."""
    return Job(stream=stream, target=TargetInfo(url="redis://h", kind="redis"), **fields)


class Watcher:
    """A monitor that sees nothing; ``at_end``: done when it is first stopped."""

    client_cpu_percent = server_cpu_percent = None
    thread_cpu_percents = ()

    def __init__(self, at_end: Callable[[], object]) -> None:
        self._at_end = at_end

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._at_end()

    def stop(self) -> Usage:
        """Return what was seen."""
        return Usage()


def repeat(
    at_end: Callable[[], object], verify: Callable[[list[Capture]], Verification] | None = None
) -> tuple[Repetition, Outcome]:
    """Measure and, with ``verify``, compare a few replies; ``at_end``: see :class:`Watcher`."""
    with FakeServer(always(Reply(b"+PONG\r\n"))) as server:
        stream = stream_of(server.address, connections=2)
        kept = {"captures": REPLIES, "capture_bytes": 100} if verify else {}
        plan = Plan(streams=(stream,), threads=1, requests=REPLIES, interval_ns=100 * MS, **kept)
        return run_repetition(
            plan,
            1,
            [job_of(stream, verify=verify)],
            make_monitor=lambda _: cast("Monitor", Watcher(at_end)),
            display=Live(quiet=True),
        )


def found(captures: list[Capture]) -> Verification:
    """Find all of them right."""
    return Verification(
        requested=None,
        checked=len(captures),
        mismatches=0,
        max_abs_difference=0.0,
        tolerance=1.0,
    )


def ctrl_c() -> None:
    """Press it, for the main thread."""
    signal.pthread_kill(cast("int", threading.main_thread().ident), signal.SIGINT)


def test_while_the_monitor_ends() -> None:
    """All is measured and the server's metrics are waited for: the repetition is kept."""
    repetition, outcome = repeat(ctrl_c, found)

    assert outcome.status == repetition.status == "interrupted"
    assert (repetition.counts.ok, repetition.counts.intended) == (REPLIES, REPLIES)
    assert repetition.verification is None


def test_while_replies_are_compared() -> None:
    """All is measured and replies are still compared: that is given up, the repetition is kept."""
    measured = threading.Event()
    pressed: list[bool] = []

    def verify(captures: list[Capture]) -> Verification:
        if captures:
            assert measured.wait(LIMIT_S)
            if not pressed:
                pressed.append(True)
                ctrl_c()
        return found(captures)

    repetition, outcome = repeat(measured.set, verify)

    assert pressed
    assert outcome.status == repetition.status == "interrupted"
    assert repetition.counts.ok == REPLIES
    assert repetition.verification is None


def test_for_the_second_time() -> None:
    """Who presses it twice does not want to wait for anything."""

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(SecondInterrupt):
        repeat(twice)


def test_for_the_second_time_in_a_later_repetition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No result takes the place of the journal, which has both repetitions."""
    take = Books.take
    ended: list[int] = []

    def interrupted_take(books: Books, engine: Engine) -> None:
        take(books, engine)
        if ended and books.intervals:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    whole = Journal.whole

    def noted(journal: Journal, repetition: Repetition) -> None:
        whole(journal, repetition)
        ended.append(repetition.index)

    monkeypatch.setattr(Books, "take", interrupted_take)
    monkeypatch.setattr(Journal, "whole", noted)
    out = tmp_path / "out"
    with FakeServer() as server:
        assert isinstance(server.address, tuple)
        config = RunConfig(
            target=f"redis://127.0.0.1:{server.address[1]}",
            workload="command",
            command=CommandConfig(commands=(("PING",),)),
            duration_s=2.0,
            warmup_s=0.0,
            pin=False,
            calibrate="never",
            out=out,
        )
        with pytest.raises(SecondInterrupt):
            run(config)

    assert [path.name for path in out.iterdir()] == [FILENAME]
    found = ResultFolder.read(out)
    assert (found.status, [r.status for r in found.repetitions]) == (
        "killed",
        ["complete", "killed"],
    )
    assert all(r.counts.ok for r in found.repetitions)


def test_uninterrupted() -> None:
    """The same without Ctrl-C is complete, with all replies compared."""
    repetition, outcome = repeat(list, found)

    assert outcome.status == repetition.status == "complete"
    assert repetition.verification is not None
    assert repetition.verification.checked == REPLIES


def test_between_taking_an_interval_and_adding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that run together lose no interval by Ctrl-C either: histograms and counts agree."""
    add = Collector.add
    pressed: list[int] = []

    def interrupted_add(collector: Collector, intervals: Iterable[RawInterval]) -> None:
        taken = list(intervals)
        if not pressed and any(raw.ok for raw in taken):
            pressed.append(sum(raw.ok for raw in taken))
            signal.raise_signal(signal.SIGINT)
        add(collector, taken)

    monkeypatch.setattr(Collector, "add", interrupted_add)
    with FakeServer() as server:
        stream = stream_of(server.address)
        plan = Plan(streams=(stream,), threads=1, requests=FOR_EVER, interval_ns=20 * MS)
        ended, outcome = run_together([(plan, job_of(stream))] * 2)

    assert outcome.status == "interrupted"
    counts = [end.measured.fields["counts"] for end in ended]
    assert max(c.ok for c in counts) >= pressed[0] > 0
    assert all(c.intended < FOR_EVER for c in counts)


def test_one_plan_breaks() -> None:
    """Where one of the plans loses its server all are stopped at once, with what they measured."""

    def script(request: Request) -> Reply:
        return Reply(then="die" if request.total >= REPLIES and good.requests else "keep")

    good, bad = FakeServer(), FakeServer(script)
    with contextlib.ExitStack() as stack:
        streams = [stream_of(stack.enter_context(server).address) for server in (good, bad)]
        plans = [Plan(streams=(s,), threads=1, requests=FOR_EVER, give_up_ns=S) for s in streams]
        jobs = [job_of(s) for s in streams]
        ended, outcome = run_together(list(zip(plans, jobs, strict=True)))

    assert outcome.status == "partial"
    assert isinstance(outcome.error, ConnectError)
    whole, broken = (end.measured.fields["counts"] for end in ended)
    assert 0 < whole.intended < FOR_EVER
    assert REPLIES <= broken.ok < FOR_EVER


def test_nothing_was_measured() -> None:
    """A server that is not there is an error, not an empty result."""
    with FakeServer() as server:
        stream = stream_of(server.address)
    plan = Plan(streams=(stream,), threads=1, requests=5, connect_timeout_ns=S, give_up_ns=S)

    with pytest.raises(ConnectError):
        run_together([(plan, job_of(stream))])
