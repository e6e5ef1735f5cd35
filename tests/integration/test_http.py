"""The engine over HTTP/1.1 against Python's own server: framings, closing, errors, delays, TLS."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.certificates import OPENSSL, Authority
from support.driver import MS, S, drive
from support.restserver import BODY, Behaviour, HttpServer, http_stream

from fastbench.plan import ARRIVALS_CONSTANT, Data, Plan, Rate, Schedule, Tls

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS = 300


def _plan(server: HttpServer, requests: int = REQUESTS, **more: Any) -> Plan:
    return Plan(streams=(http_stream(server, **more),), threads=1, requests=requests)


def _rows(folder: Path, row_bytes: int, rows: int) -> tuple[Data, list[str]]:
    """Write random rows; return them, and their hashes."""
    raw = np.random.default_rng(7).bytes(row_bytes * rows)
    (folder / "rows").write_bytes(raw)
    each = [raw[i * row_bytes : (i + 1) * row_bytes] for i in range(rows)]
    return Data(str(folder / "rows"), 0, row_bytes, rows), [
        hashlib.sha256(row).hexdigest() for row in each
    ]


@pytest.mark.parametrize("pipeline", [1, 5])
@pytest.mark.parametrize("row_bytes", [1, 65_535, 65_536, 602_112])
def test_payload_arrives_unchanged(tmp_path: Path, row_bytes: int, pipeline: int) -> None:
    """Every row arrives whole and equally often, by one connection, short or by sendfile."""
    data, hashes = _rows(tmp_path, row_bytes, 4)

    with HttpServer() as server:
        ran = drive(_plan(server, 40, data=data, pipeline=pipeline))

    assert ran.error is None
    assert ran.totals.ok == 40
    assert server.seen.bodies == dict.fromkeys(hashes, 10)
    assert (server.seen.connections, ran.totals.reconnects) == (1, 0)


@pytest.mark.parametrize("framing", ["length", "chunked", "end"])
@pytest.mark.parametrize("pipeline", [1, 4])
def test_framings(framing: str, pipeline: int) -> None:
    """However a reply is framed, each inference is answered once and kept whole."""
    with HttpServer(Behaviour(framing=framing)) as server:
        plan = Plan(
            streams=(http_stream(server, pipeline=pipeline),),
            threads=1,
            requests=60,
            captures=5,
            capture_bytes=4096,
        )
        ran = drive(plan)

    assert (ran.totals.ok, ran.totals.lost, ran.totals.errors) == (60, 0, 0)
    assert (ran.totals.reconnects > 0) == (framing == "end")
    assert all(c.whole and c.data.startswith(b"HTTP/1.1 200") for c in ran.captures)
    assert all(BODY[4:] in c.data for c in ran.captures)


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize(("connections", "pipeline"), [(1, 1), (3, 1), (2, 4)])
def test_server_that_closes_as_it_says_loses_nothing(
    every: int, connections: int, pipeline: int
) -> None:
    """A reply with ``Connection: close`` makes a new connection, and no inference is lost by it."""
    with HttpServer(Behaviour(close_every=every)) as server:
        ran = drive(_plan(server, connections=connections, pipeline=pipeline))

    assert ran.error is None
    assert (ran.totals.ok, ran.totals.lost, ran.totals.breaks) == (REQUESTS, 0, 0)
    assert ran.totals.reconnects >= REQUESTS // every - connections
    assert server.seen.connections >= REQUESTS // every


def test_large_requests_in_flight_survive_a_close(tmp_path: Path) -> None:
    """What was half sent when the server closed, as it had said, goes out again whole."""
    data, hashes = _rows(tmp_path, 602_112, 4)

    with HttpServer(Behaviour(close_every=3)) as server:
        ran = drive(_plan(server, 40, data=data, pipeline=3))

    assert (ran.totals.ok, ran.totals.lost) == (40, 0)
    assert set(server.seen.bodies) <= set(hashes)


def test_open_loop_over_closing_connections() -> None:
    """On a schedule too every inference that is due is answered, and sent once in the books."""
    schedule = Schedule(ARRIVALS_CONSTANT, (Rate(400, 400),))

    with HttpServer(Behaviour(close_every=5)) as server:
        ran = drive(
            _plan(server, connections=3, pipeline=2, schedule=schedule, max_outstanding=1000)
        )

    assert (ran.totals.intended, ran.totals.sent, ran.totals.ok) == (REQUESTS,) * 3


def test_server_that_drops_connections_loses_inferences() -> None:
    """Without a word before, what was in flight is lost, exactly as often as it happened."""
    with HttpServer(Behaviour(drop_every=10)) as server:
        ran = drive(_plan(server, 100))

    assert (ran.totals.ok, ran.totals.lost) == (90, 10)
    assert ran.totals.breaks == 10


def test_errors_are_counted_by_status() -> None:
    """A status that is no success is an error of its class, with what the server says."""
    with HttpServer(Behaviour(fail_every=3)) as server:
        ran = drive(_plan(server))

    assert (ran.totals.ok, ran.totals.errors) == (200, 100)
    assert ran.classes == {"HTTP 503": (100, "503 Service Unavailable: too busy")}
    assert server.seen.connections == 1


def test_known_delay_is_measured() -> None:
    """A server that answers after 20 ms is measured to take at least that, and not much more."""
    with HttpServer(Behaviour(delay_s=0.02)) as server:
        ran = drive(_plan(server, 50, connections=2))

    assert 20 * MS <= ran.quantile_ns("service", 0.0) < ran.quantile_ns("service", 0.5) < S


@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
@pytest.mark.parametrize("framing", ["length", "end"])
def test_over_tls(tmp_path: Path, framing: str) -> None:
    """The same over TLS: rows unchanged, closing as announced loses nothing."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    data, hashes = _rows(tmp_path, 100_003, 4)
    tls = Tls(server_name="127.0.0.1", ca_file=str(authority.cert))

    with HttpServer(Behaviour(close_every=8, framing=framing), context) as server:
        ran = drive(_plan(server, 40, data=data, tls=tls))

    assert (ran.totals.ok, ran.totals.lost) == (40, 0)
    assert server.seen.bodies == dict.fromkeys(hashes, 10)


@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
def test_tls_that_was_cut_off_ends_no_reply(tmp_path: Path) -> None:
    """A body that ends with the connection is whole only when the server said so: RFC 9112, 9.8."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    tls = Tls(server_name="127.0.0.1", ca_file=str(authority.cert))

    with HttpServer(Behaviour(framing="end", farewell=False), context) as server:
        ran = drive(_plan(server, 5, tls=tls))

    assert (ran.totals.ok, ran.totals.lost) == (0, 5)
