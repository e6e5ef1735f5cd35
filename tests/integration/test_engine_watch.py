"""What the engine says about itself: where its time went, and for how long replies waited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastbench._engine import Engine
from fastbench.plan import ARRIVALS_CONSTANT, Message, Plan, Rate, Schedule, Text
from tests.support.driver import MS, S, drive
from tests.support.fakeserver import FakeServer, Reply, Welcome, always
from tests.support.streams import stream_of

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.plan import Address


def open_loop(address: Address, rate_per_s: float, spin_ns: int = 0) -> Plan:
    """Return a plan of half a second of constant arrivals over one connection, depth 1."""
    schedule = Schedule(ARRIVALS_CONSTANT, (Rate(rate_per_s, rate_per_s),))
    stream = stream_of(address, schedule=schedule, max_outstanding=100_000)
    return Plan(streams=(stream,), threads=1, duration_ns=500 * MS, spin_ns=spin_ns)


def test_spinning_is_told_apart() -> None:
    """Idle polling is counted as such; without being asked to, a thread mostly sleeps."""
    with FakeServer() as server:
        spun = drive(open_loop(server.address, 500, spin_ns=2_000_000))  # all the time
        slept = drive(open_loop(server.address, 500))

    assert spun.totals.ok == slept.totals.ok == 250
    assert 0 < spun.threads[0].spin_ns <= spun.threads[0].elapsed_ns
    assert slept.threads[0].spin_ns < spun.threads[0].spin_ns / 2


def test_full_window_is_timed() -> None:
    """A server of 5 ms per request and 1,000 due per second: something waits all the time."""
    with FakeServer(always(Reply(after_s=0.005))) as server:
        busy = drive(open_loop(server.address, 1000))
    with FakeServer() as server:
        idle = drive(open_loop(server.address, 20))

    thread = busy.threads[0]
    assert 0.7 * thread.elapsed_ns < thread.window_full_ns <= thread.elapsed_ns
    assert idle.threads[0].window_full_ns < 0.5 * idle.threads[0].elapsed_ns


def test_blocked_output_is_timed() -> None:
    """A peer that reads nothing: output waits for room from the first full buffer on."""
    text = Text(b"*2\r\n$4\r\nECHO\r\n$16777216\r\n" + bytes(16_777_216) + b"\r\n")
    with FakeServer(welcome=lambda _: Welcome(then="deaf")) as server:
        stream = stream_of(server.address, message=Message((text,), replies=1))
        ran = drive(Plan(streams=(stream,), threads=1, duration_ns=S // 2, timeout_ns=S // 4))

    assert ran.totals.ok == 0
    assert ran.totals.blocked_ns > 0.3 * S


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_reply_lag(tmp_path: Path, unix: bool) -> None:
    """On TCP some replies tell how long they lay in the kernel; a unix socket has no stamps."""
    with FakeServer(unix=tmp_path / "s" if unix else None) as server:
        plan = Plan(streams=(stream_of(server.address),), threads=1, requests=2000)
        with Engine(plan) as engine:
            engine.start()
            while not engine.wait(0.05):
                engine.take_intervals()
            engine.join()
            lag = engine.reply_lag()

    if unix:
        assert lag.total == 0
    else:
        assert lag.total > 100
        assert lag.min_ns is not None
        assert 0 < lag.min_ns <= lag.max_ns < 60 * S


def test_waiting_for_a_cpu_is_known() -> None:
    """The kernel tells how long a thread was ready to run without a CPU, or that it does not."""
    with FakeServer() as server:
        ran = drive(Plan(streams=(stream_of(server.address),), threads=1, duration_ns=200 * MS))

    delay_ns = ran.threads[0].run_delay_ns
    assert delay_ns is None or 0 <= delay_ns <= ran.threads[0].elapsed_ns
    assert ran.threads[0].longest_turn_ns > 0
    assert ran.threads[0].stalled_ns >= ran.threads[0].stalls * MS
