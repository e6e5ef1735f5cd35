"""The engine over gRPC against grpcio's server: payloads, order, errors, limits, restarts."""

from __future__ import annotations

import itertools
import socket
import threading
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from support.driver import MS, S, drive
from support.grpcserver import Seen, calls, serving

from fastbench.errors import ConnectError, ProtocolError, ServerError
from fastbench.plan import (
    ARRIVALS_CONSTANT,
    FIELD_ROW,
    Data,
    Field,
    Payload,
    Plan,
    Rate,
    Schedule,
    Text,
)
from fastbench.servers.grpc_messages import message_in

if TYPE_CHECKING:
    from pathlib import Path

    from support.driver import Ran

REQUESTS = 200


def run(stream: object, requests: int = REQUESTS, **settings: int) -> Ran:
    """Run a small plan."""
    settings = {"interval_ns": 50 * MS, "timeout_ns": 60 * S, **settings}
    return drive(Plan(streams=(stream,), threads=1, requests=requests, **settings))


@pytest.mark.parametrize("pipeline", [1, 5])
@pytest.mark.parametrize("row_bytes", [1, 65_535, 602_112])
def test_payload_arrives_unchanged(tmp_path: Path, row_bytes: int, pipeline: int) -> None:
    """Every row arrives whole and equally often between its texts, whatever the frames are."""
    raw = np.random.default_rng(7).bytes(row_bytes * 4)
    (tmp_path / "rows").write_bytes(raw)
    rows = [raw[i * row_bytes : (i + 1) * row_bytes] for i in range(4)]
    data = Data(str(tmp_path / "rows"), 0, row_bytes, 4)
    parts = (Text(b"<"), Payload(1), Text(b">"))
    seen = Seen()

    with serving(seen) as address:
        ran = run(calls(address, parts, row_bytes + 2, pipeline=pipeline, data=data), 40)

    assert ran.error is None
    assert (ran.totals.ok, ran.totals.reconnects) == (40, 0)
    assert seen.bodies == {b"<" + row + b">": 10 for row in rows}


@pytest.mark.parametrize(("connections", "pipeline"), [(1, 1), (1, 16), (4, 4)])
def test_every_call_is_counted_once(connections: int, pipeline: int) -> None:
    """However many streams and connections there are, each inference is one call."""
    seen = Seen()
    with serving(seen) as address:
        ran = run(calls(address, connections=connections, pipeline=pipeline))

    assert (ran.totals.ok, ran.totals.sent) == (REQUESTS, REQUESTS)
    assert seen.bodies == {b"ping": REQUESTS}


def test_replies_in_any_order(tmp_path: Path) -> None:
    """A call that waits holds up no other; each kept reply is that of its own call."""
    (tmp_path / "rows").write_bytes(bytes(REQUESTS))
    data = Data(str(tmp_path / "rows"), 0, 1, REQUESTS)
    answered = itertools.count(1)
    enough = threading.Event()

    def answer(_path: str, request: bytes, _context: grpc.ServicerContext) -> bytes:
        if request.startswith(b"000"):  # the very first: it waits for all the others
            assert enough.wait(60)
        elif next(answered) == REQUESTS - 1:
            enough.set()
        return request

    with serving(answer) as address:
        stream = calls(address, (Field(FIELD_ROW, 3), Payload(1)), 4, pipeline=4, data=data)
        ran = run(stream, captures=REQUESTS, capture_bytes=64)

    assert ran.totals.ok == REQUESTS
    assert sorted(c.row for c in ran.captures) == list(range(REQUESTS))
    assert all(message_in(c.data) == b"%03d\0" % c.row for c in ran.captures)


@pytest.mark.parametrize("pipeline", [1, 6])
def test_errors_are_counted_by_name(pipeline: int) -> None:
    """Each status but OK is an error with its name, its first text beside it."""
    turn = itertools.count()

    def answer(_path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        kind = next(turn) % 4
        if kind == 0:
            context.abort(grpc.StatusCode.NOT_FOUND, 'no model "größe",\nsorry 100%')
        if kind == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "")
        return request

    with serving(answer) as address:
        ran = run(calls(address, pipeline=pipeline))

    assert (ran.totals.ok, ran.totals.errors) == (REQUESTS // 2, REQUESTS // 2)
    assert ran.classes["GRPC 5 NOT_FOUND"] == (REQUESTS // 4, 'no model "größe", sorry 100%')
    assert ran.classes["GRPC 14 UNAVAILABLE"][0] == REQUESTS // 4
    assert ran.totals.breaks == 0


def test_message_larger_than_the_server_takes(tmp_path: Path) -> None:
    """The server refuses a message before it is whole: an error each time, no break, no stall."""
    (tmp_path / "row").write_bytes(bytes(3_000_000))
    data = Data(str(tmp_path / "row"), 0, 3_000_000, 1)
    with serving(Seen(), max_receive_message_length=1_000_000) as address:
        ran = run(calls(address, (Text(b"x"), Payload(1)), 3_000_001, data=data, pipeline=2), 20)

    [(name, (count, text))] = ran.classes.items()
    assert (name, count) == ("GRPC 8 RESOURCE_EXHAUSTED", 20)
    assert "larger than max" in text
    assert ran.totals.errors == 20


def test_server_that_takes_fewer_calls_at_once() -> None:
    """Fewer streams than the pipeline would be another load: that ends in one line.

    grpcio counts a call for a moment longer than its reply takes, and may refuse the next one.
    """
    with serving(Seen(), max_concurrent_streams=3) as address:
        refused = run(calls(address, pipeline=4), 10)
        fits = run(calls(address, pipeline=3))

    assert isinstance(refused.error, ServerError)
    assert "takes 3 calls at once" in str(refused.error)
    assert refused.totals.sent == 0
    assert fits.totals.ok + fits.totals.errors == REQUESTS
    assert set(fits.classes) <= {"RST REFUSED_STREAM"}


def test_connections_of_a_limited_age_lose_nothing() -> None:
    """GOAWAY, again and again: what was not taken up goes out over the next connection."""
    with serving(Seen(), max_connection_age_ms=40, max_connection_age_grace_ms=60_000) as address:
        stream = calls(address, pipeline=4, connections=2)
        ran = run(stream, 0, duration_ns=1 * S)

    assert ran.error is None
    assert ran.totals.ok == ran.totals.sent > 0
    assert (ran.totals.lost, ran.totals.errors) == (0, 0)
    assert ran.totals.reconnects > 0


def test_server_that_is_started_again() -> None:
    """What was under way when the server stopped is lost or an error; the rest succeeds."""
    stuck, answered = threading.Event(), itertools.count(1)

    def answer(_path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        cut_off = threading.Event()  # grpcio waits for its threads when it stops
        if next(answered) > 50 and context.add_callback(cut_off.set):
            stuck.set()
            cut_off.wait(60)
        return request

    ended: list[Ran] = []
    with serving(answer) as address:
        stream = calls(address, pipeline=4, connections=2)
        thread = threading.Thread(target=lambda: ended.append(run(stream)))
        thread.start()
        assert stuck.wait(60)
    with serving(Seen(), port=int(address[1])):
        thread.join(100)

    [ran] = ended
    assert ran.error is None
    assert ran.totals.sent == REQUESTS
    assert 0 < ran.totals.errors + ran.totals.lost <= 8
    assert ran.totals.ok == REQUESTS - ran.totals.errors - ran.totals.lost
    assert ran.totals.reconnects >= 1


def test_time_out_is_not_the_end_of_the_connection() -> None:
    """A call that is never answered times out; the others on its connection go on."""
    first, over = threading.Lock(), threading.Event()

    def answer(_path: str, request: bytes, _context: grpc.ServicerContext) -> bytes:
        if first.acquire(blocking=False):
            over.wait(60)
        return request

    with serving(answer) as address:
        ran = run(calls(address, pipeline=2), 0, duration_ns=2 * S, timeout_ns=200 * MS)
        over.set()

    assert ran.totals.timeouts >= 1
    assert ran.totals.ok > 0
    assert (ran.totals.breaks, ran.totals.lost) == (0, 0)


def test_open_loop() -> None:
    """Calls begin by the clock, over several connections, and all end."""
    with serving(Seen()) as address:
        schedule = Schedule(ARRIVALS_CONSTANT, (Rate(200.0, 200.0),))
        stream = calls(address, pipeline=8, connections=2, schedule=schedule, max_outstanding=1000)
        ran = run(stream, 100)

    assert (ran.totals.intended, ran.totals.ok) == (100, 100)


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown 'PRI'\r\n"])
def test_what_does_not_speak_grpc(says: bytes) -> None:
    """A server of another protocol is named as such before the load; so is one that is absent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(says)
                while peer.recv(4096):  # until the other side hangs up
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        address = listener.getsockname()
        ran = run(calls(address), 1)
        thread.join()

    assert isinstance(ran.error, ProtocolError)
    assert "not HTTP/2" in str(ran.error)
    assert isinstance(run(calls(address), 1).error, ConnectError)
