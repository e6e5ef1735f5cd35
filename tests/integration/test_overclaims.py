"""Ways in which a result once said too much; each with a server that provokes it."""

from __future__ import annotations

import itertools

from support.driver import MS, S, drive
from support.fakeserver import SILENCE, FakeServer, Reply, Request, Welcome, always
from support.streams import PING, stream_of

from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import ServerError
from fastbench.plan import ARRIVALS_CONSTANT, Message, Plan, Rate, Schedule, Text
from fastbench.runner import run

HELLO = Message((Text(b"*1\r\n$5\r\nHELLO\r\n"),), replies=1)


def _config(server: FakeServer, command: str, **more: object) -> RunConfig:
    host, port = server.address
    return RunConfig(
        target=f"redis://{host}:{port}",
        workload="command",
        command=CommandConfig(commands=(tuple(command.split()),)),
        repetitions=1,
        warmup_s=0.0,
        **more,
    )


def down_for_good() -> FakeServer:
    """Return a server that resets one of its two connections at the tenth PING, and takes no third.

    What connects must send HELLO first.
    """
    pings = itertools.count(1)

    def script(request: Request) -> Reply:
        broken = request.words[0] == b"PING" and next(pings) == 10
        return Reply(then="reset") if broken else Reply()

    def welcome(connection: int) -> Welcome:
        return Welcome() if connection < 2 else Welcome(then="close")

    return FakeServer(script, welcome=welcome)


def test_overloaded_open_loop_shows_what_the_server_did() -> None:
    """Twice the rate that the server can do: the throughput is the server's, not the schedule's."""
    with FakeServer(always(Reply(after_s=0.02))) as server:
        schedule = Schedule(ARRIVALS_CONSTANT, (Rate(100, 100),))
        load = stream_of(server.address, 1, 1, PING, schedule=schedule, max_outstanding=1000)
        ran = drive(Plan(streams=(load,), threads=1, duration_ns=2 * S, interval_ns=100 * MS))

    totals = ran.totals
    assert totals.intended == totals.ok == 200
    # 20 ms for each reply: at most 50/s, whatever was due.
    assert totals.completed <= 101
    assert totals.completed == sum(i.completed for i in ran.intervals)
    assert totals.answered == totals.completed


def test_inferences_in_flight_at_both_ends_cancel() -> None:
    """Closed loop with many slots: without warm-up the rate is not C x P over the duration."""
    with FakeServer(always(Reply(after_s=1.0))) as server:
        load = stream_of(server.address, 20, 1, PING)
        plan = Plan(streams=(load,), threads=1, duration_ns=3_900 * MS, interval_ns=100 * MS)
        ran = drive(plan)

    # Intended at 0, 1, 2 and 3 s; the last 20 come back after measure.
    assert ran.totals.ok == 80
    assert ran.totals.completed == 60


def test_count_ends_although_one_connection_stays_down() -> None:
    """By number: what a dead connection holds is never sent, and the run ends all the same."""
    with down_for_good() as server:
        load = stream_of(server.address, 2, 1, PING, opening=(HELLO,))
        ran = drive(Plan(streams=(load,), threads=1, requests=500, timeout_ns=5 * S))

    totals = ran.totals
    assert totals.intended == 500
    assert totals.never_sent == 1
    assert totals.ok + totals.lost == 499


def test_open_loop_moves_on_when_a_connection_stays_down() -> None:
    """What a broken connection had not sent goes out by one that stands."""
    with down_for_good() as server:
        schedule = Schedule(ARRIVALS_CONSTANT, (Rate(200, 200),))
        load = stream_of(
            server.address, 2, 4, PING, opening=(HELLO,), schedule=schedule, max_outstanding=1000
        )
        ran = drive(Plan(streams=(load,), threads=1, duration_ns=S, timeout_ns=5 * S))

    totals = ran.totals
    assert totals.intended == 200
    assert totals.never_sent == 0
    assert totals.ok + totals.lost == 200
    assert totals.lost <= 4


def test_full_queue_counts_as_failed() -> None:
    """An open loop whose queue overflows trips --max-errors: it cannot go unnoticed."""
    with FakeServer(always(SILENCE)) as server:
        schedule = Schedule(ARRIVALS_CONSTANT, (Rate(1000, 1000),))
        load = stream_of(server.address, 1, 1, PING, schedule=schedule, max_outstanding=10)
        ran = drive(Plan(streams=(load,), threads=1, duration_ns=60 * S, max_errors=20))

    assert isinstance(ran.error, ServerError)
    assert ran.totals.never_sent > 20


def test_server_side_timeout_is_no_success_and_claims_no_bound() -> None:
    """RedisAI's +TIMEDOUT counts as a time-out for AI commands, without our time-out as bound."""
    with FakeServer(always(Reply(b"+TIMEDOUT\r\n"))) as server:
        result = run(_config(server, "AI.MODELEXECUTE m INPUTS 1 a OUTPUTS 1 b", requests=50))

    repetition = result.repetitions[0]
    assert repetition.counts.timeouts == 50
    assert repetition.counts.ok == 0
    assert repetition.response_ms.p50 in {None, 0.0}


def test_a_word_that_is_no_timeout_elsewhere() -> None:
    """For commands that are not RedisAI's, a simple string is a simple string."""
    with FakeServer(always(Reply(b"+TIMEDOUT\r\n"))) as server:
        result = run(_config(server, "ECHO x", requests=50))

    assert result.repetitions[0].counts.ok == 50


def test_reconnects_are_connections_that_stood_again() -> None:
    """Tries that failed are not reconnects."""
    pings = itertools.count(1)

    def script(request: Request) -> Reply:
        broken = request.words[0] == b"PING" and next(pings) == 10
        return Reply(then="reset") if broken else Reply()

    def welcome(connection: int) -> Welcome:
        return Welcome(then="close") if connection in {1, 2} else Welcome()

    with FakeServer(script, welcome=welcome) as server:
        load = stream_of(server.address, 1, 1, PING, opening=(HELLO,))
        ran = drive(Plan(streams=(load,), threads=1, requests=100))

    assert ran.totals.ok + ran.totals.lost == 100
    assert ran.totals.reconnects == 1
