"""`fastbench null-server` as a process: it answers everything at once, and ends when told."""

from __future__ import annotations

import http.client
import signal
import socket
from typing import TYPE_CHECKING

import grpc
import pytest
import redis
from support.cli import TIMEOUT_S, fastbench, running
from support.grpcserver import calls

import fastbench as api
from fastbench._nullserver import NullServer
from fastbench.calibrate import calibrate
from fastbench.null_servers import Kind, Replies, find_null_server
from fastbench.plan import PROTOCOL_GRPC, PROTOCOL_HTTP, NullAnswer, Plan, Tls

if TYPE_CHECKING:
    from pathlib import Path

READY = r"ready on ([^\s,]+)"


def test_run_against_it(sample: Path, tiny_model: Path) -> None:
    """A run takes it for what it is, and counts what it has answered."""
    with running("null-server", "--reply-bytes", 12) as server:
        address = server.wait_for(READY)[1]
        config = api.RunConfig(
            target=f"redisai://{address}",
            dataset=sample,
            model=str(tiny_model),
            threads=2,
            connections=4,
            pipeline=4,
            requests=400,
            warmup_s=0.0,
            repetitions=1,
        )
        result = api.run(config)
        server.signal_group(signal.SIGINT)
        done = server.end()

    assert result.repetitions[0].counts.ok == 400
    assert "null server" in result.target.server
    assert result.target.check_max_abs_difference is None
    assert done.code == 0
    assert "s CPU" in done.out
    assert done.err == ""


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_run_over_http(sample: Path, tls: bool) -> None:
    """The same over HTTP: every request is answered, and the ceiling of such a plan measured."""
    scheme, secured = ("rests", ("--tls",)) if tls else ("rest", ())
    with running("null-server", "--http", "--reply-bytes", 12, *secured) as server:
        address = server.wait_for(READY)[1]
        config = api.RunConfig(
            target=f"{scheme}://{address}/any/path",
            tls=api.TlsConfig(insecure=True) if tls else None,
            dataset=sample,
            connections=4,
            pipeline=4,
            requests=400,
            warmup_s=0.0,
            repetitions=1,
            null_server=f"{scheme}://{address}",
            calibrate="always",
        )
        result = api.run(config)
        server.signal_group(signal.SIGTERM)
        done = server.end()

    assert result.repetitions[0].counts.ok == 400
    assert result.target.server == "fastbench-null"
    assert result.target.details["reply_body_bytes"] == "12"
    assert result.calibration is not None
    assert result.calibration.server == config.null_server
    assert done.code == 0


def test_other_clients_over_http() -> None:
    """Python's own client gets the same answers, and is told that a connection closes.

    Where others are given for a path, they are what it gets there.
    """
    answer = NullAnswer("/own", b"named", ("X-Of: a null server",))
    with NullServer(protocol=PROTOCOL_HTTP, reply_bytes=5, answers=(answer,)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
        answers = []
        connection.request("GET", "/own")
        own = connection.getresponse()
        named = own.read(), own.getheader("X-Of")
        for method, fields in (("POST", {}), ("HEAD", {}), ("GET", {"Connection": "close"})):
            connection.request(method, "/x?y", body=b"z" * 100_000, headers=fields)
            reply = connection.getresponse()
            answers.append((reply.status, reply.read(), reply.getheader("Connection")))
        connection.close()
        requests = sum(count for _, count, _ in server.stats())

    body = bytes(5)
    assert answers == [(200, body, None), (200, b"", None), (200, body, "close")]
    assert named == (b"named", "a null server")
    assert requests == 4


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_other_clients_over_grpc(unix: bool, tmp_path: Path) -> None:
    """Grpcio gets the same answers at once, whatever it sends, and other ones by method."""
    answers = (NullAnswer("/a.B/C", b"named"), NullAnswer("/a.B/Empty", b""))
    path = str(tmp_path / "s") if unix else None
    with NullServer(
        unix_path=path, protocol=PROTOCOL_GRPC, reply_bytes=100_000, answers=answers
    ) as server:
        place = f"unix:{path}" if unix else f"127.0.0.1:{server.port}"
        with grpc.insecure_channel(place) as channel:
            sizes = [0, 64, 602_112, 9_000_000]
            usual = channel.unary_unary("/a.B/M")
            calls = [usual.future(b"x" * size, timeout=TIMEOUT_S) for size in sizes * 20]
            replies = {call.result() for call in calls}
            named = [
                channel.unary_unary(answer.path)(b"x", timeout=TIMEOUT_S) for answer in answers
            ]
        [(_, requests, received)] = server.stats()

    assert replies == {bytes(100_000)}
    assert named == [answer.body for answer in answers]
    assert requests == 82
    assert received > 20 * sum(sizes)


@pytest.mark.parametrize("suite", [None, "TLS_AES_128_GCM_SHA256"], ids=["plain", "tls"])
def test_run_over_grpc(suite: str | None) -> None:
    """The ceiling of a plan over gRPC is measured against a null server elsewhere."""
    scheme, secured = ("grpcs", ("--tls-suite", suite)) if suite else ("grpc", ())
    with running("null-server", "--grpc", "--reply-bytes", 12, *secured) as server:
        host, _, port = server.wait_for(READY)[1].rpartition(":")
        elsewhere = find_null_server(f"triton+{scheme}://{host}:{port}/any")
        tls = Tls(server_name="a", suite=suite) if suite else None
        call = calls(("127.0.0.1", 1), connections=2, pipeline=4, tls=tls)
        plan = Plan(streams=(call,), threads=1)
        found = calibrate(plan, Replies(12), fresh=True, elsewhere=elsewhere)
        server.signal_group(signal.SIGTERM)
        done = server.end()

    assert elsewhere == {Kind(PROTOCOL_GRPC, suite): (host, int(port))}
    assert found is not None
    assert found.ceiling_per_s > 0
    assert done.code == 0
    assert "thread 0: " in done.out


def test_unix_socket(tmp_path: Path) -> None:
    """On a unix socket a usual client is answered; SIGTERM ends it and the socket is gone."""
    path = tmp_path / "socket"
    with running("null-server", "--unix", path, "--threads", 2) as server:
        server.wait_for(READY)
        with redis.Redis(unix_socket_path=str(path)) as client:
            assert client.ping()
            assert "fastbench_null_server" in client.info()
        server.process.send_signal(signal.SIGTERM)
        done = server.end()

    assert done.code == 0
    assert not path.exists()


def test_address_in_use() -> None:
    """A port that is taken is named, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = fastbench("null-server", "--port", port)

    assert done.code == 1
    assert str(port) in done.line
    assert "in use" in done.line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--host", "localhost"), "--host"),
        (("--port", 65536), "--port"),
        (("--threads", 0), "--threads"),
        (("--reply-bytes", -1), "--reply-bytes"),
        (("--http", "--always-bulk"), "--always-bulk"),
        (("--grpc", "--always-bulk"), "--always-bulk"),
        (("--http", "--grpc"), "--grpc"),
        (("--unix", "/nowhere/s", "--tls"), "--unix"),
        (("--unix", "/nowhere/s", "--tls-suite", "TLS_AES_128_GCM_SHA256"), "--unix"),
    ],
)
def test_wrong_arguments(arguments: tuple[object, ...], word: str) -> None:
    """Wrong arguments are named, in one line."""
    done = fastbench("null-server", *arguments)

    assert done.code == 2
    assert word in done.line


def test_unknown_cipher() -> None:
    """A cipher that OpenSSL does not have is named, in one line."""
    done = fastbench("null-server", "--tls-suite", "TLS_NO_SUCH")

    assert done.code == 1
    assert "TLS_NO_SUCH" in done.line


def test_socket_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder that does not exist is an error of one line."""
    done = fastbench("null-server", "--unix", tmp_path / "no" / "socket")

    assert done.code == 1
    assert "No such file" in done.line
