"""The engine's counts, held against what the server counted: no inference is lost or invented."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from support.driver import MS, S, drive
from support.fakeserver import FakeServer, Reply, Request, always
from support.streams import PING, stream_of

from fastbench._engine import Engine
from fastbench._nullserver import NullServer
from fastbench.plan import Message, Plan, Text

if TYPE_CHECKING:
    from pathlib import Path

    from support.fakeserver import Seen

FINE = 20 * MS  # an interval: short, so that many are handed over
HELLO = Message((Text(b"*1\r\n$5\r\nHELLO\r\n"),), replies=1)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("connections", "pipeline", "requests"),
    [(4, 1, 1000), (5, 3, 997), (4, 16, 5000), (7, 8, 3), (4, 4, 1)],
)
def test_exactly_the_requests_asked_for(
    threads: int, connections: int, pipeline: int, requests: int
) -> None:
    """The server receives N inferences, no more and no fewer, however they are dealt out."""
    with FakeServer() as server:
        load = stream_of(server.address, connections, pipeline, PING, opening=(HELLO,))
        ran = drive(Plan(streams=(load,), threads=threads, requests=requests, interval_ns=FINE))

    assert ran.error is None
    assert ran.totals.ok == ran.totals.intended == requests
    assert len(server.answered(b"PING")) == requests
    assert len(server.answered(b"HELLO")) == connections
    assert sum(s.name == b"PING" for s in server.requests) == requests


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("pipeline", [1, 32])
def test_exactly_many_requests_at_full_speed(threads: int, pipeline: int) -> None:
    """At full speed, over several intervals, the native null server counts the same."""
    requests = 60_001
    with NullServer() as server:
        load = stream_of(("127.0.0.1", server.port), 8, pipeline, PING)
        ran = drive(Plan(streams=(load,), threads=threads, requests=requests, interval_ns=FINE))
        served = sum(count for _, count, _ in server.stats())

    assert ran.error is None
    assert ran.totals.ok == served == requests


@pytest.mark.parametrize("connections", [1, 3])
def test_warm_up_is_sent_and_not_counted(connections: int) -> None:
    """With warm-up, the server sees more than N; exactly N are counted, all sent after it."""
    with FakeServer() as server:
        load = stream_of(server.address, connections, 2, PING)
        ran = drive(
            Plan(streams=(load,), threads=1, warmup_ns=100 * MS, requests=500, interval_ns=FINE)
        )

    assert ran.totals.ok == ran.totals.intended == 500
    late = [s for s in server.requests if s.arrived_ns >= ran.totals.begin_ns]
    assert len(server.requests) > 500
    assert len(late) >= 500


def of_connection(server: FakeServer, connection: int) -> list[Seen]:
    """Return the requests of one connection, in order of arrival."""
    return [s for s in server.requests if s.connection == connection]


def test_slow_warm_up_leaves_no_trace() -> None:
    """A server that is slow at first only: the slow replies are in no histogram and no count."""
    slow_s = 1.0

    def script(request: Request) -> Reply:
        return Reply(after_s=slow_s if request.number < 2 else 0.0)

    with FakeServer(script) as server:
        load = stream_of(server.address, 4, 1, PING)
        ran = drive(
            Plan(streams=(load,), threads=2, warmup_ns=4 * S, requests=100, interval_ns=FINE)
        )

    t = ran.totals
    slow = [s for c in range(4) for s in of_connection(server, c)[:2]]
    assert len(slow) == 8
    assert all(s.answered_ns - s.arrived_ns >= slow_s * S for s in slow)
    assert t.begin_ns > max(s.answered_ns for s in slow)
    assert t.ok == 100
    # Each connection has one in flight, so what was recorded fits into measure; the slow replies
    # alone would not.
    assert ran.sum_ns("response") <= 4 * (t.end_ns - t.begin_ns) < len(slow) * slow_s * S


def test_load_is_kept_up_until_the_last_measured_reply() -> None:
    """In drain the other connections go on sending, unrecorded, so the tail meets a busy server."""
    held_s = 4.0
    holding: list[float] = []

    def script(request: Request) -> Reply:
        # One reply, well inside measure, is held back beyond its end.
        if request.connection == 0 and not holding and time.monotonic_ns() > begin[0] + 100 * MS:
            holding.append(time.monotonic_ns())
            return Reply(after_s=held_s)
        return Reply(after_s=0.001)

    begin = [1 << 62]

    def learn_begin(engine: Engine) -> None:
        begin[0] = engine.snapshot().begin_ns or begin[0]

    with FakeServer(script) as server:
        load = stream_of(server.address, 4, 1, PING)
        plan = Plan(
            streams=(load,), threads=1, warmup_ns=100 * MS, duration_ns=2 * S, interval_ns=FINE
        )
        ran = drive(plan, watch=learn_begin)

    t = ran.totals
    assert holding, "the held reply must lie in measure"
    answer = max(s.answered_ns for s in server.requests if s.connection == 0)
    assert answer > t.end_ns
    assert t.unfinished == t.never_sent == 0
    # The drain lasted for a second or two, and load went on all the while.
    others = [s.arrived_ns for s in server.requests if s.connection != 0]
    for part in range(1, 8):
        at = t.end_ns + (answer - t.end_ns) * part // 8
        assert any(abs(a - at) < 500 * MS for a in others), f"no load {part}/8 into drain"
    in_drain = [s for s in server.requests if s.arrived_ns >= t.end_ns]
    assert len(in_drain) > 0
    assert t.ok < len(server.answered())
    assert t.ok + len(in_drain) <= len(server.requests)
    assert max(i.response.max_ns for i in ran.intervals) >= 0.9 * held_s * S


def test_duration_counts_what_was_intended_within_it() -> None:
    """By duration, begin and end lie that far apart, and the books agree with the server's."""
    with FakeServer(always(Reply(after_s=0.002))) as server:
        load = stream_of(server.address, 6, 2, PING)
        plan = Plan(
            streams=(load,), threads=3, warmup_ns=100 * MS, duration_ns=500 * MS, interval_ns=FINE
        )
        ran = drive(plan)

    t = ran.totals
    assert t.end_ns - t.begin_ns == 500 * MS
    sure = [s for s in server.answered() if t.begin_ns + 50 * MS < s.arrived_ns < t.end_ns]
    possible = [s for s in server.answered() if s.answered_ns > t.begin_ns]
    assert len(sure) - 12 <= t.ok <= len(possible)


@pytest.mark.parametrize("after_s", [0.0, 0.2])
def test_stop_from_another_thread_ends_the_run(after_s: float) -> None:
    """As on Ctrl-C: whatever is going on, the threads end soon and the books still balance."""
    with FakeServer(always(Reply(after_s=after_s))) as server:
        load = stream_of(server.address, 4, 2, PING)
        with Engine(Plan(streams=(load,), threads=2, duration_ns=3600 * S)) as engine:
            engine.start()
            while engine.snapshot().completed < 4:
                assert not engine.wait(0.01)
            stopper = threading.Thread(target=engine.stop)
            began = time.monotonic()
            stopper.start()
            assert engine.wait(10)
            engine.join()
            took_s = time.monotonic() - began
            stopper.join()
            t = engine.totals()
            ended_ns = time.monotonic_ns()
            intervals = engine.take_intervals()

    assert took_s < 2
    assert t.intended == t.sent + t.never_sent
    assert t.sent == t.ok + t.errors + t.timeouts + t.lost + t.unfinished
    assert t.unfinished + t.never_sent <= 4 * 2
    assert sum(i.ok for i in intervals) == t.ok
    assert t.begin_ns < t.end_ns <= ended_ns


def test_end_of_a_stopped_run_does_not_move() -> None:
    """Measure ended when the threads did: asking for the totals later gives the same duration."""
    with FakeServer() as server:
        load = stream_of(server.address, 1, 1, PING)
        with Engine(Plan(streams=(load,), threads=1, duration_ns=3600 * S)) as engine:
            engine.start()
            while engine.snapshot().completed < 1:
                assert not engine.wait(0.01)
            engine.stop()
            engine.join()
            joined_ns = time.monotonic_ns()
            first = engine.totals()
            second = engine.totals()

    assert first.end_ns == second.end_ns <= joined_ns


def test_stop_while_connecting() -> None:
    """A server that takes connections and says nothing: stop ends the run before load began."""
    with FakeServer(always(Reply(b""))) as server:
        load = stream_of(server.address, 3, 1, PING, opening=(HELLO,))
        with Engine(Plan(streams=(load,), threads=2, requests=10)) as engine:
            engine.start()
            while len(server.requests) < 3:
                assert not engine.wait(0.01)
            assert engine.snapshot().phase == "connect"
            began = time.monotonic()
            engine.stop()
            assert engine.wait(10)
            engine.join()
            assert time.monotonic() - began < 2
            t = engine.totals()

    assert (t.intended, t.sent, t.begin_ns) == (0, 0, 0)


def test_phases_follow_one_another() -> None:
    """The snapshot walks through connect, warm-up, measure, drain and ended, never back."""
    order = ["connect", "warm-up", "measure", "drain", "ended"]
    seen: list[str] = []

    def note(engine: Engine) -> None:
        seen.append(engine.snapshot().phase)

    with FakeServer(always(Reply(after_s=0.2))) as server:
        load = stream_of(server.address, 2, 1, PING, opening=(HELLO,))
        plan = Plan(streams=(load,), threads=1, warmup_ns=2 * S, duration_ns=2 * S)
        drive(plan, watch=note)

    assert seen == sorted(seen, key=order.index)
    assert {"warm-up", "measure"} <= set(seen)


def test_a_reader_that_comes_late_loses_nothing() -> None:
    """Intervals that nobody took for a while grow; their sums still equal the totals."""
    with NullServer() as server:
        load = stream_of(("127.0.0.1", server.port), 4, 4, PING)
        with Engine(
            Plan(streams=(load,), threads=2, duration_ns=400 * MS, interval_ns=10 * MS)
        ) as engine:
            engine.start()
            engine.wait(0.15)
            some = engine.take_intervals()
            assert engine.wait(60)
            engine.join()
            intervals = some + engine.take_intervals()
            t = engine.totals()

    assert sum(i.ok for i in intervals) == t.ok
    assert sum(int(i.response.counts.sum()) for i in intervals) == t.ok
    assert [i.index for i in intervals] == list(range(len(intervals)))


def test_two_streams_keep_two_books(tmp_path: Path) -> None:
    """Streams of one run share threads but not connections, counts or histograms."""
    with FakeServer(unix=tmp_path / "a") as a, FakeServer(unix=tmp_path / "b") as b:
        streams = (stream_of(a.address, 2, 1, PING), stream_of(b.address, 4, 3, PING))
        with Engine(Plan(streams=streams, threads=2, requests=300)) as engine:
            engine.start()
            while not engine.wait(0.02):
                pass
            engine.join()
            totals = [engine.totals(i) for i in (0, 1)]
            intervals = [engine.take_intervals(i) for i in (0, 1)]

    assert [t.ok for t in totals] == [300, 300]
    assert (len(a.requests), len(b.requests)) == (300, 300)
    assert [sum(i.ok for i in taken) for taken in intervals] == [300, 300]


def test_memory_does_not_grow_with_the_run() -> None:
    """Six seconds need no more memory than two: nothing is kept per inference."""
    own = psutil.Process()
    rss = []
    with NullServer() as server:
        load = stream_of(("127.0.0.1", server.port), 4, 16, PING)
        with Engine(
            Plan(streams=(load,), threads=1, duration_ns=6 * S, interval_ns=100 * MS)
        ) as engine:
            engine.start()
            counted = 0
            while not engine.wait(0.1):
                counted += sum(i.ok for i in engine.take_intervals())
                rss.append((engine.snapshot().now_ns, own.memory_info().rss))
            engine.join()
            counted += sum(i.ok for i in engine.take_intervals())
            assert counted == engine.totals().ok

    begin = rss[0][0]
    early = max(r for at, r in rss if at - begin < 2 * S)
    late = max(r for at, r in rss)
    assert late - early < 4 << 20


def test_closed_engine_says_so() -> None:
    """After close nothing is left to ask: an exception, not a crash; stop stays harmless."""
    with NullServer() as server:
        load = stream_of(("127.0.0.1", server.port), 1, 1)
        engine = Engine(Plan(streams=(load,), threads=1, requests=1))
        engine.close()
        engine.close()
        engine.stop()
        for method in (
            engine.start,
            engine.wait,
            engine.join,
            engine.snapshot,
            engine.take_intervals,
            engine.totals,
            engine.error_classes,
            engine.threads,
            engine.take_captures,
        ):
            with pytest.raises(ValueError, match="closed"):
                method()


def test_threads_without_a_cpu() -> None:
    """CPUs are one for each thread, or none: the engine and the null server take no fewer."""
    plan = Plan(streams=(stream_of(("127.0.0.1", 1), 1, 1, PING),), threads=2, cpus=(0,))

    with pytest.raises(ValueError, match="2 threads need a CPU each, not 1 in all"):
        Engine(plan)
    with pytest.raises(ValueError, match="3 threads need a CPU each, not 2 in all"):
        NullServer(threads=3, cpus=(0, 0))
