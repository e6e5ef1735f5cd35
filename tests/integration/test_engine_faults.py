"""Servers that fail in every way: each inference still ends in exactly one column of the books."""

from __future__ import annotations

import itertools
import socket
import time
from typing import TYPE_CHECKING

import pytest
from support.driver import MS, Ran, S, drive
from support.fakeserver import (
    OK,
    SILENCE,
    FakeServer,
    Reply,
    Request,
    Script,
    Welcome,
    always,
    in_turn,
)
from support.streams import PING, stream_of

from fastbench.errors import ConnectError, FastbenchError, ProtocolError, ServerError
from fastbench.plan import Expect, Message, Plan, Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELLO = Message((Text(b"*1\r\n$5\r\nHELLO\r\n"),), replies=1)


def refused_port() -> int:
    """Return a port that nobody listens on: it was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(
    server: FakeServer,
    requests: int = 300,
    *,
    message: Message = PING,
    pipeline: int = 1,
    connections: int = 2,
    threads: int = 1,
    redisai: bool = False,
    **settings: int,
) -> Ran:
    """Run a small plan against the server."""
    load = stream_of(
        server.address, connections, pipeline, message, opening=(HELLO,), redisai=redisai
    )
    settings = {"interval_ns": 50 * MS, "timeout_ns": 20 * S, **settings}
    return drive(Plan(streams=(load,), threads=threads, requests=requests, **settings))


def sometimes(odd: Reply, every: int) -> Script:
    """Return a script in which every n-th inference gets the odd reply; openings never do."""
    pings = itertools.count(1)

    def script(request: Request) -> Reply:
        if request.words[0] == b"HELLO" or next(pings) % every:
            return Reply()
        return odd

    return script


# ---- error replies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "name", "text"),
    [
        (b"-ERR no such model\r\n", "ERR", "ERR no such model"),
        (b"-OOM command not allowed\r\n", "OOM", "OOM command not allowed"),
        (b"*2\r\n+OK\r\n-ERR inside\r\n", "ERR", "ERR inside"),
        (b"*1\r\n*1\r\n-LOADING deep\r\n", "LOADING", "LOADING deep"),
        (b"*2\r\n-ERR died\r\n+NA\r\n", "ERR", "ERR died"),
        (b"*2\r\n+OK\r\n+NA\r\n", "NA", None),
        (b"!7\r\nERR big\r\n", "ERR", None),
    ],
)
def test_error_replies_are_errors_of_their_class(reply: bytes, name: str, text: str | None) -> None:
    """An error reply, nested or not, is counted under its class with its text, never as ok."""
    with FakeServer(sometimes(Reply(reply), 3)) as server:
        ran = run(server, 300, redisai=True, pipeline=3)

    assert ran.error is None
    assert (ran.totals.ok, ran.totals.errors) == (200, 100)
    assert ran.classes.keys() == {name}
    assert ran.classes[name][0] == 100
    assert text is None or ran.classes[name][1].startswith(text)


def test_several_classes_are_kept_apart() -> None:
    """Each class has its own count, over all threads, and the first text that came."""
    replies = [Reply(b"-A one\r\n"), Reply(b"-B two\r\n"), Reply(b"-A three\r\n"), Reply()]
    pings = itertools.cycle(replies)

    def script(request: Request) -> Reply:
        return Reply() if request.words[0] == b"HELLO" else next(pings)

    with FakeServer(script) as server:
        ran = run(server, 400, connections=4, threads=2)

    assert {name: count for name, (count, _) in ran.classes.items()} == {"A": 200, "B": 100}
    assert ran.classes["B"][1] == "B two"


def test_more_classes_than_there_is_room_for() -> None:
    """A server that makes up a class per reply: the counts still add up to all errors."""
    numbers = itertools.count()

    def script(request: Request) -> Reply:
        return (
            Reply()
            if request.words[0] == b"HELLO"
            else Reply(b"-C%d x\r\n" % (next(numbers) % 200))
        )

    with FakeServer(script) as server:
        ran = run(server, 400, connections=4, threads=4)

    assert ran.totals.errors == sum(count for count, _ in ran.classes.values()) == 400
    assert len(ran.classes) <= 64


def test_timedout_reply_is_a_timeout() -> None:
    """+TIMEDOUT is how RedisAI says that it gave up: a time-out, neither ok nor error."""
    with FakeServer(sometimes(Reply(b"+TIMEDOUT\r\n"), 2)) as server:
        ran = run(server, 200, redisai=True)

    assert (ran.totals.ok, ran.totals.timeouts, ran.totals.errors) == (100, 100, 0)


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",  # another type
        b"$3\r\nabc\r\n",  # too short
        b"$5\r\nabcde\r\n",  # too long
        b"$-1\r\n",  # null
        b"*1\r\n$4\r\nabcd\r\n",  # wrapped
        b":4\r\n",
    ],
)
def test_reply_of_another_shape_is_unexpected(reply: bytes) -> None:
    """A reply of the wrong type or length is an error, however polite it is."""
    expected = Message(PING.parts, replies=1, expect=(Expect(b"$", 4),))

    def script(request: Request) -> Reply:
        right = Reply(b"$4\r\nabcd\r\n")
        if request.words[0] == b"HELLO":
            return Reply()
        return Reply(reply) if request.number % 2 else right

    with FakeServer(script) as server:
        ran = run(server, 100, message=expected, connections=1)

    assert (ran.totals.ok, ran.totals.errors) == (50, 50)
    assert ran.classes.keys() == {"UNEXPECTED"}


def test_error_in_one_of_several_replies() -> None:
    """An inference of three replies fails when one of them is an error, and counts once."""
    three = Message((Text(b"*1\r\n$4\r\nPING\r\n" * 3),), replies=3)

    def script(request: Request) -> Reply:
        bad = request.words[0] == b"PING" and request.number % 6 == 2
        return Reply(b"-ERR second\r\n") if bad else Reply()

    with FakeServer(script) as server:
        ran = run(server, 100, message=three, connections=1, pipeline=4)
        pings = sum(s.name == b"PING" for s in server.requests)

    assert pings == 300
    assert (ran.totals.ok, ran.totals.errors) == (50, 50)


def test_max_errors_ends_the_run() -> None:
    """Once more inferences failed than allowed, the run ends with the number in its error."""
    with FakeServer(sometimes(Reply(b"-ERR no\r\n"), 1)) as server:
        ran = run(server, 1_000_000, max_errors=50)

    assert isinstance(ran.error, ServerError)
    assert "50" in str(ran.error)
    assert 51 <= ran.totals.errors < 1_000_000


# ---- connections that break ---------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", [1, 4])
@pytest.mark.parametrize(
    "odd",
    [
        Reply(b"", then="reset"),
        Reply(b"", then="close"),
        Reply(b"$10\r\nhal", then="close"),
        Reply(b"$10\r\nhal", then="reset"),
        Reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Reply(b"\x00\xff\x17garbage"),
        Reply(OK + OK + OK + OK + OK + OK + OK + OK),  # more than was asked for
    ],
    ids=["reset", "close", "half-close", "half-reset", "http", "garbage", "too-many"],
)
def test_broken_connections_cost_what_was_in_flight(odd: Reply, pipeline: int) -> None:
    """A break is counted, the connection reopened, and the run goes on to its full number."""
    with FakeServer(sometimes(odd, 20)) as server:
        ran = run(server, 200, pipeline=pipeline, connections=3, threads=2)
        opened = sum(s.name == b"HELLO" for s in server.requests)

    t = ran.totals
    assert ran.error is None
    assert t.intended == 200
    assert t.breaks > 0
    assert t.ok > 0
    assert t.errors == t.timeouts == t.unfinished == t.never_sent == 0
    assert t.lost <= t.breaks * pipeline
    assert opened > 3
    assert opened <= 3 + t.breaks


def test_error_and_break_are_told_apart() -> None:
    """An error reply just before the connection closes is an error; only the rest is lost."""
    with FakeServer(sometimes(Reply(b"-ERR bye\r\n", then="close"), 10)) as server:
        ran = run(server, 100, connections=1)
        pings = sum(s.name == b"PING" for s in server.requests)

    t = ran.totals
    assert ran.error is None
    assert t.errors == pings // 10 > 5
    assert t.ok == pings - t.errors
    assert t.lost == 100 - pings


def test_server_that_dies_ends_the_run() -> None:
    """When nobody listens any more, the run ends with what was measured until then."""
    with FakeServer(sometimes(Reply(b"", then="die"), 100)) as server:
        ran = run(server, 1_000_000, connections=4, threads=2, give_up_ns=300 * MS)

    t = ran.totals
    assert isinstance(ran.error, ConnectError)
    assert "gone" in str(ran.error)
    assert 0 < t.ok <= 100
    assert t.lost + t.unfinished + t.never_sent > 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_connection_accepted_and_dropped_again_and_again(kind: str, tmp_path: Path) -> None:
    """A server that only ever hangs up is given up, although each connect succeeds."""

    def welcome(index: int) -> Welcome:
        return Welcome(then="close") if index >= 1 else Welcome()

    unix = tmp_path / "s" if kind == "unix" else None
    script = sometimes(Reply(b"", then="reset"), 10)
    with FakeServer(script, unix=unix, welcome=welcome) as server:
        load = stream_of(server.address, 1, 1, PING)
        plan = Plan(streams=(load,), threads=1, requests=100_000, give_up_ns=500 * MS)
        ran = drive(plan)

    assert isinstance(ran.error, ConnectError)
    assert ran.totals.ok == 9


def test_reconnects_back_off() -> None:
    """Tries to reconnect come ever more slowly: a dead server is not hammered."""
    with FakeServer(sometimes(Reply(b"", then="die"), 10)) as server:
        ran = run(server, 1_000_000, connections=1, give_up_ns=1000 * MS)

    # 10 + 20 + 40 + ... ms: seven pauses reach one second, each slower than a machine's hiccup.
    assert isinstance(ran.error, ConnectError)
    assert 2 <= ran.totals.breaks <= 9


def test_refused_while_it_reconnects_goes_on_when_it_is_let_in() -> None:
    """A server that refuses the opening for a while is tried again until it accepts."""
    hellos = itertools.count()
    broken = sometimes(Reply(b"", then="reset"), 50)

    def script(request: Request) -> Reply:
        if request.words[0] == b"HELLO":
            return Reply(b"-LOADING wait\r\n") if 1 <= next(hellos) <= 3 else Reply()
        return broken(request)

    with FakeServer(script) as server:
        ran = run(server, 120, connections=1)

    assert ran.error is None
    assert ran.totals.ok + ran.totals.lost == 120
    assert ran.totals.lost == 2
    assert ran.totals.breaks == 5


def test_connection_reset_in_the_middle_of_its_opening() -> None:
    """A break between two steps of opening starts the opening over and loses no inference."""
    second = Message((Text(b"*1\r\n$6\r\nSELECT\r\n"),), replies=1)
    hellos = itertools.count()
    broken = sometimes(Reply(b"", then="reset"), 50)

    def script(request: Request) -> Reply:
        if request.words[0] == b"HELLO" and 1 <= next(hellos) <= 2:
            return Reply(then="reset")
        return Reply() if request.words[0] in {b"HELLO", b"SELECT"} else broken(request)

    with FakeServer(script) as server:
        load = stream_of(server.address, 1, 2, PING, opening=(HELLO, second))
        ran = drive(Plan(streams=(load,), threads=1, requests=120))
        names = [s.name for s in server.requests if s.name != b"PING"]

    assert ran.error is None
    assert ran.totals.ok + ran.totals.lost == 120
    assert ran.totals.lost <= 4
    # Each opening begins at the first step.
    assert all(
        before == b"HELLO" for before, name in itertools.pairwise(names) if name == b"SELECT"
    )
    assert names.count(b"HELLO") >= names.count(b"SELECT") + 1


# ---- time-outs ----------------------------------------------------------------------------------


def test_late_replies_are_not_ok() -> None:
    """A reply after its time-out is late; the replies behind it go to their own inferences."""
    slow = Reply(b"+OK\r\n", after_s=1.5)
    expected = Message(PING.parts, replies=1, expect=(Expect(b"+"),))
    with FakeServer(sometimes(slow, 15)) as server:
        ran = run(server, 50, message=expected, connections=1, timeout_ns=1 * S)

    t = ran.totals
    assert ran.error is None
    assert t.timeouts >= 3
    assert t.ok + t.timeouts == 50
    assert t.late == t.timeouts
    assert (t.errors, t.lost, t.breaks) == (0, 0, 0)
    assert max(i.service.max_ns for i in ran.intervals) < 1.5 * S


def test_connection_stays_in_step_after_a_timeout() -> None:
    """Replies are told apart by their order: after a time-out, each still meets its request."""
    ask = Message((Text(b"*1\r\n$4\r\nASKS\r\n*1\r\n$4\r\nASKB\r\n"),), replies=2)
    expected = Message(ask.parts, replies=2, expect=(Expect(b"+"), Expect(b"$", 2)))

    def script(request: Request) -> Reply:
        delay = 1.5 if request.number in {11, 31} else 0.0
        return Reply(b"$2\r\nhi\r\n" if request.words[0] == b"ASKB" else OK, after_s=delay)

    with FakeServer(script) as server:
        ran = run(server, 100, message=expected, connections=1, pipeline=5, timeout_ns=1 * S)

    t = ran.totals
    assert t.timeouts >= 2
    assert t.late == t.timeouts
    assert t.ok + t.timeouts == 100
    assert (t.errors, t.lost, t.breaks) == (0, 0, 0)


def test_silent_server_is_given_up() -> None:
    """Inferences that are never answered time out; then their connection is taken for dead."""
    with FakeServer(sometimes(SILENCE, 1)) as server:
        ran = run(server, 6, connections=1, pipeline=2, timeout_ns=100 * MS)

    t = ran.totals
    assert ran.error is None
    assert (t.timeouts, t.ok, t.late) == (6, 0, 0)
    assert t.breaks >= 2
    assert ran.classes == {}


def test_server_that_stops_reading(tmp_path: Path) -> None:
    """When the socket takes no more, what left in part times out and what never left is kept."""
    big = Message((Text(b"*2\r\n$3\r\nSET\r\n$8000000\r\n" + b"x" * 8_000_000 + b"\r\n"),), 1)

    def welcome(index: int) -> Welcome:
        return Welcome(then="deaf") if index < 2 else Welcome()

    with FakeServer(unix=tmp_path / "s", welcome=welcome) as server:
        load = stream_of(server.address, 1, 3, big)
        plan = Plan(streams=(load,), threads=1, requests=6, timeout_ns=1 * S)
        ran = drive(plan)

    t = ran.totals
    assert ran.error is None
    assert t.intended == t.sent == 6
    assert t.timeouts >= 2
    assert t.breaks >= 2
    assert t.ok >= 1


# ---- at the start -------------------------------------------------------------------------------


def begin(address: tuple[str, int] | str, *opening: Message, **settings: int) -> Ran:
    """Run a plan that must fail before load begins."""
    load = stream_of(address, 4, 1, PING, opening=opening)
    return drive(Plan(streams=(load,), threads=2, requests=10, **settings))


def assert_failed(ran: Ran, kind: type[FastbenchError], *words: str) -> None:
    """Assert that the run ended by that error, soon, with nothing counted."""
    assert isinstance(ran.error, kind), ran.error
    for word in words:
        assert word in str(ran.error)
    assert "\n" not in str(ran.error)
    assert ran.totals.intended == 0


@pytest.mark.parametrize("opening", [(), (HELLO,)])
def test_nobody_listens(opening: tuple[Message, ...]) -> None:
    """A refused connection ends the run at once."""
    began = time.monotonic()
    ran = begin(("127.0.0.1", refused_port()), *opening)

    assert_failed(ran, ConnectError, "refused")
    assert time.monotonic() - began < 5


def test_unix_socket_that_does_not_exist(tmp_path: Path) -> None:
    """A missing socket file ends the run at once."""
    assert_failed(begin(str(tmp_path / "none")), ConnectError, "No such file")


def test_opening_that_is_refused() -> None:
    """An error reply to AUTH ends the run with the server's words."""
    refuse = always(Reply(b"-WRONGPASS invalid username-password pair\r\n"))
    with FakeServer(refuse) as server:
        ran = begin(server.address, HELLO)

    assert_failed(ran, ServerError, "WRONGPASS invalid username-password pair")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_server_that_is_full_says_so(kind: str, tmp_path: Path) -> None:
    """Redis greets with an error and hangs up when it is full: its words reach the user."""
    full = Welcome(b"-ERR max number of clients reached\r\n")
    unix = tmp_path / "s" if kind == "unix" else None
    with FakeServer(always(SILENCE), unix=unix, welcome=lambda _: full) as server:
        ran = begin(server.address, HELLO, connect_timeout_ns=5 * S)

    assert_failed(ran, ServerError, "max number of clients reached")


@pytest.mark.parametrize("then", ["close", "reset"])
def test_server_that_hangs_up_at_once(then: str) -> None:
    """A server that accepts and hangs up ends the run with a connection error."""
    with FakeServer(welcome=lambda _: Welcome(then=then)) as server:
        ran = begin(server.address, HELLO, connect_timeout_ns=10 * S)

    assert_failed(ran, ConnectError)
    assert ran.elapsed_s < 8


def test_server_that_never_answers_the_opening() -> None:
    """Connecting has a time limit of its own."""
    with FakeServer(always(SILENCE)) as server:
        ran = begin(server.address, HELLO, connect_timeout_ns=300 * MS)

    assert_failed(ran, ConnectError, "no answer")


def test_unix_server_that_never_accepts(tmp_path: Path) -> None:
    """A full backlog is waited for, but not beyond the limit for connecting."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        ran = begin(str(tmp_path / "s"), connect_timeout_ns=300 * MS)

    assert_failed(ran, ConnectError)


@pytest.mark.parametrize(
    "greeting",
    [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02"],
)
def test_peer_that_is_not_resp(greeting: bytes) -> None:
    """A mail, web or TLS server is named for what it is not, with the place in its bytes."""
    with FakeServer(always(Reply(greeting))) as server:
        ran = begin(server.address, HELLO)

    assert_failed(ran, ProtocolError, "not RESP", "byte 0")


def test_every_fault_at_once() -> None:
    """A server that does all of it, over four threads: whatever happens, the books balance."""
    odd: list[Callable[[], Reply]] = [
        lambda: Reply(b"-ERR x\r\n"),
        lambda: Reply(then="reset"),
        lambda: Reply(b"$4\r\nab", then="close"),
        lambda: Reply(b"", then="reset"),
        lambda: Reply(b"garbage"),
        lambda: Reply(OK, after_s=0.4),
        lambda: Reply(OK * 3),
        lambda: Reply(OK, pieces=4),
        lambda: SILENCE,
    ]
    pings = itertools.count()

    def script(request: Request) -> Reply:
        if request.words[0] == b"HELLO":
            return Reply()
        n = next(pings)
        return odd[n // 25 % len(odd)]() if n % 25 == 24 else Reply()

    with FakeServer(script) as server:
        ran = run(server, 1500, connections=8, pipeline=3, threads=4, timeout_ns=200 * MS)

    t = ran.totals
    assert ran.error is None
    assert t.intended == 1500
    assert min(t.ok, t.errors, t.timeouts, t.lost, t.breaks) > 0
    assert t.unfinished == t.never_sent == 0


def test_script_in_turn_is_what_the_server_does() -> None:
    """The fake server itself: replies come in the order of the script, in pieces where asked."""
    with FakeServer(in_turn([Reply(b"+a\r\n"), Reply(b"+bcd\r\n", pieces=3)])) as server:
        assert isinstance(server.address, tuple)
        with socket.create_connection(server.address) as s:
            s.settimeout(60)
            s.sendall(PING.parts[0].data * 4)
            got = b""
            while len(got) < 20:
                got += s.recv(100)

    assert got == b"+a\r\n+bcd\r\n" * 2
