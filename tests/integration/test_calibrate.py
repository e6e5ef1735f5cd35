"""The client's ceiling: measured with the plan's own sizes, kept per plan, never with a login."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.fakeserver import FakeServer, Reply, always
from support.grpcserver import calls, serving
from support.restserver import HttpServer
from support.streams import PING, stream_of

from fastbench import calibrate as module
from fastbench._engine import Engine
from fastbench._nullserver import NullServer
from fastbench.calibrate import MEASURE_S, against, calibrate
from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import EngineError, UsageError
from fastbench.null_servers import Kind, Replies, kind_of, null_servers, replies_like
from fastbench.plan import (
    CLOSED_LOOP,
    PROTOCOL_GRPC,
    PROTOCOL_HTTP,
    PROTOCOL_RESP,
    Data,
    Expect,
    Message,
    Payload,
    Plan,
    Rate,
    Schedule,
    Step,
    Text,
    Tls,
)
from fastbench.report.folder import ResultFolder
from fastbench.runner import run

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.plan import Address
    from fastbench.results import Calibration

S = 1_000_000_000
GET = Message((Text(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),), replies=1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep calibrations in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fastbench" / "calibrations"


def plan_of(*messages: Message, address: tuple[str, int] | str = ("192.0.2.1", 1)) -> Plan:
    """Return a plan of one thread to an address where nobody is."""
    stream = stream_of(address, connections=4, pipeline=8, message=messages[0])
    return Plan(streams=(dataclasses.replace(stream, messages=messages),), threads=1)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_the_ceiling_is_cpu_time(unix: bool) -> None:
    """Threads over CPU seconds per inference, and the rate that was reached is not above it."""
    plan = plan_of(PING, address="/nowhere" if unix else ("192.0.2.1", 1))

    found = calibrate(plan, Replies(0))

    assert found is not None
    assert found.ceiling_per_s == pytest.approx(1e6 / found.cpu_us_per_inference)
    # Accounting by the kernel is not exact to the last tick.
    assert 0 < found.raw_per_s < 1.2 * found.ceiling_per_s
    assert found.measured_s == pytest.approx(MEASURE_S)
    assert not found.cached


def test_it_is_kept_per_plan(cache: Path) -> None:
    """The same plan is not measured twice, another is; fresh always is."""
    first = calibrate(plan_of(PING), Replies(0))
    again = calibrate(plan_of(PING, address=("198.51.100.9", 7)), Replies(0))
    other = calibrate(dataclasses.replace(plan_of(PING), timeout_ns=S), Replies(0))
    fresh = calibrate(plan_of(PING), Replies(0), fresh=True)

    assert first is not None
    assert again == dataclasses_replaced(first)
    assert other is not None
    assert not other.cached
    assert fresh is not None
    assert not fresh.cached
    assert len(list(cache.iterdir())) == 2


def dataclasses_replaced(calibration: object) -> object:
    """Return the calibration as it is when it comes from the cache."""
    return msgspec.structs.replace(calibration, cached=True)


def test_a_damaged_cache_is_measured_again(cache: Path) -> None:
    """What cannot be read is as good as not there."""
    calibrate(plan_of(PING), Replies(0))
    (file,) = cache.iterdir()
    file.write_bytes(b'{"ceiling_per_s": ')

    again = calibrate(plan_of(PING), Replies(0))

    assert again is not None
    assert not again.cached


def test_the_schedule_and_the_login_are_left_out() -> None:
    """Against the null server the loop is closed, any answer will do, and no password goes out."""
    stream = dataclasses.replace(
        stream_of(("192.0.2.1", 1), message=dataclasses.replace(PING, expect=(Expect(b"+"),))),
        opening=(Message((Text(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"),), 1),),
        schedule=Schedule(1, (Rate(10.0, 10.0),)),
        max_outstanding=5,
    )
    address = ("127.0.0.1", 2)
    plan = against(
        Plan(streams=(stream,), threads=1, requests=7, spin_ns=9), {Kind(PROTOCOL_RESP): address}
    )

    (changed,) = plan.streams
    assert changed.addresses == (address,)
    assert changed.schedule == CLOSED_LOOP
    assert changed.opening == ()
    assert changed.messages == (PING,)
    assert plan.requests == 0
    assert plan.spin_ns == 0


@pytest.mark.parametrize(
    ("messages", "received", "replies"),
    [
        ((PING,), 7.0, Replies(0)),
        ((PING,), 5.0, Replies(0)),
        ((GET,), 1_007.0, Replies(997, always_bulk=True)),
        ((GET,), 1_070.0, Replies(1_060, always_bulk=True)),
        ((dataclasses.replace(GET, replies=2),), 2_000.0, Replies(990, always_bulk=True)),
        ((dataclasses.replace(GET, expect=(Expect(b"$", 4004),)),), 1.0, Replies(4004)),
    ],
)
def test_replies_are_as_those_seen(
    messages: tuple[Message, ...], received: float, replies: Replies
) -> None:
    """The plan's own sizes count; without them the mean reply is made of the same length."""
    found = replies_like(plan_of(*messages), received)

    assert found.always_bulk == replies.always_bulk
    assert found.value_bytes == pytest.approx(replies.value_bytes, abs=4)


def test_unknown_protocols_cannot_be_calibrated() -> None:
    """The null server speaks no protocol beside its own: nothing is claimed."""
    (stream,) = plan_of(PING).streams
    plan = Plan(streams=(dataclasses.replace(stream, protocol=99),), threads=1)

    assert calibrate(plan, replies_like(plan, 100)) is None


def secured(plan: Plan, suite: str) -> Plan:
    """Return the plan over TLS, with the cipher that was agreed on."""
    (stream,) = plan.streams
    tls = Tls(server_name="nobody.test", suite=suite, ca_file="/missing/ca.pem")
    return dataclasses.replace(plan, streams=(dataclasses.replace(stream, tls=tls),))


def agreed_with(address: Address) -> str:
    """Return the cipher that a usual client and what listens there agree on."""
    assert isinstance(address, tuple)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, 60) as plain, context.wrap_socket(plain) as client:
        cipher = client.cipher()
    assert cipher is not None
    return cipher[0]


@pytest.mark.parametrize(
    ("suite", "offered"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("DHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ],
)
def test_the_null_server_has_the_cipher_of_the_target(suite: str, offered: str) -> None:
    """It takes no other, whichever a client would rather have; TLS 1.2's with its own key."""
    with null_servers(secured(plan_of(PING), suite), Replies(0)) as (_, addresses):
        (address,) = addresses.values()

        assert agreed_with(address) == offered


@pytest.mark.parametrize("protocol", [PROTOCOL_RESP, PROTOCOL_HTTP, PROTOCOL_GRPC])
def test_tls_has_a_ceiling_too(protocol: int) -> None:
    """By every protocol; whom the target's certificate names, and who signed it, is no matter."""
    call = Plan(streams=(calls(("192.0.2.1", 1), connections=2, pipeline=8),), threads=1)
    plain = {PROTOCOL_RESP: plan_of(PING), PROTOCOL_HTTP: http_plan(), PROTOCOL_GRPC: call}
    plan = secured(plain[protocol], "TLS_AES_256_GCM_SHA384")

    with NullServer(protocol=protocol, tls_suite="TLS_AES_256_GCM_SHA384") as server:
        elsewhere: dict[Kind, Address] = {kind_of(plan.streams[0]): ("127.0.0.1", server.port)}
        there = calibrate(plan, Replies(100), fresh=True, elsewhere=elsewhere)
        [(_, requests, _)] = server.stats()
    here = calibrate(plan, Replies(100), fresh=True)

    for found in (there, here):
        assert found is not None
        assert found.ceiling_per_s == pytest.approx(1e6 / found.cpu_us_per_inference)
    assert there is not None
    assert requests >= there.raw_per_s * there.measured_s


def test_encryption_costs_the_client(tmp_path: Path) -> None:
    """The ceiling for rows of 602,112 bytes is lower over TLS than in plain text."""
    row_bytes = 602_112
    (tmp_path / "rows").write_bytes(bytes(2 * row_bytes))
    data = Data(str(tmp_path / "rows"), 0, row_bytes, 2)
    head = Text(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % row_bytes)
    message = Message((head, Payload(1), Text(b"\r\n")), replies=1)
    stream = stream_of(("192.0.2.1", 1), 4, 1, message, data=data)
    plain = Plan(streams=(stream,), threads=1)

    plans = (secured(plain, "TLS_AES_256_GCM_SHA384"), plain)
    over_tls, without = (calibrate(p, Replies(0), enough_per_s=1e9) for p in plans)

    assert over_tls is not None
    assert without is not None
    assert over_tls.ceiling_per_s < without.ceiling_per_s


def test_ceilings_over_tls_are_kept_by_cipher(cache: Path) -> None:
    """Plain text, and each cipher, have ceilings of their own; the target's name has none."""
    plain = plan_of(PING)
    ciphers = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256")
    first = [calibrate(p, Replies(0)) for p in (plain, *(secured(plain, c) for c in ciphers))]
    (stream,) = plain.streams
    named = dataclasses.replace(stream, tls=Tls(server_name="other.test", suite=ciphers[0]))
    again = calibrate(Plan(streams=(named,), threads=1), Replies(0))

    assert [found.cached for found in first if found] == [False] * 3
    assert again == dataclasses_replaced(first[1])
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("suite", ["TLS_NO_SUCH", "DHE-RSA-AES256-SHA256"])
def test_a_cipher_that_the_null_server_has_not(suite: str) -> None:
    """Then there is no ceiling, and not that of another cipher; the reason names it."""
    with pytest.raises(EngineError, match=f"no cipher .*{suite.removeprefix('DHE-RSA')}"):
        calibrate(secured(plan_of(PING), suite), Replies(0))


def http_plan(*fields: str, before: tuple[Step, ...] = ()) -> Plan:
    """Return a plan that posts two bytes, with these fields, to where nobody is."""
    head = "\r\n".join(["POST / HTTP/1.1", "Content-Length: 2", *fields, "", ""])
    message = Message((Text(head.encode()), Text(b"hi")), replies=1)
    stream = stream_of(("192.0.2.1", 1), 4, 2, message, protocol=PROTOCOL_HTTP, before=before)
    return Plan(streams=(stream,), threads=1)


def test_http_has_a_ceiling_too() -> None:
    """Requests of HTTP are answered by a null server that speaks it."""
    found = calibrate(http_plan(), Replies(100))

    assert found is not None
    assert found.ceiling_per_s == pytest.approx(1e6 / found.cpu_us_per_inference)
    assert 0 < found.raw_per_s < 1.2 * found.ceiling_per_s


def test_grpc_has_a_ceiling_too() -> None:
    """Calls are answered by a null server that speaks gRPC, several at once on a connection."""
    plan = Plan(streams=(calls(("192.0.2.1", 1), connections=2, pipeline=8),), threads=1)

    found = calibrate(plan, Replies(100))

    assert found is not None
    assert found.ceiling_per_s == pytest.approx(1e6 / found.cpu_us_per_inference)
    assert 0 < found.raw_per_s < 1.2 * found.ceiling_per_s


@pytest.mark.parametrize("reply_bytes", [50, 4_000, 100_000])
def test_replies_of_grpc_are_as_long_as_those_seen(reply_bytes: int) -> None:
    """From the bytes that came for a call follows how long its message was, nearly."""
    with NullServer(protocol=PROTOCOL_GRPC, reply_bytes=reply_bytes) as server:
        plan = Plan(streams=(calls(("127.0.0.1", server.port)),), threads=1, requests=500)
        with Engine(plan) as engine:
            engine.start()
            while not engine.wait(0.05):
                pass
            engine.join()
            totals = engine.totals()
    assert totals.ok == 500

    found = replies_like(plan, totals.bytes_answered / totals.answered)

    # Frames of 16 KiB have heads, too, and the first reply has fields that later ones refer to.
    assert found.value_bytes == pytest.approx(reply_bytes, rel=0.01, abs=1)


def test_secrets_of_grpc_are_left_out() -> None:
    """No login goes to a null server, which may be elsewhere; the bytes are as many."""
    (stream,) = (calls(("192.0.2.1", 1)),)
    metadata = (("authorization", "Bearer s3cret"), ("x-other", "shown"))
    (message,) = stream.messages
    message = dataclasses.replace(message, head=(*message.head, *metadata))
    plan = Plan(streams=(dataclasses.replace(stream, messages=(message,)),), threads=1)

    (changed,) = against(plan, {Kind(PROTOCOL_GRPC): ("192.0.2.1", 1)}).streams

    assert changed.messages[0].head[-2:] == (("authorization", "x" * 13), ("x-other", "shown"))
    assert changed.messages[0].head[:-2] == message.head[:-2]


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_a_chain_of_two_protocols_has_a_ceiling(grpc: bool, over_tls: bool) -> None:
    """A value fetched by RESP and a request, maybe over TLS: each step gets its null server."""
    step = Step(
        name="fetch",
        target="",
        addresses=(("192.0.2.1", 1),),
        connections=4,
        pipeline=2,
        message=GET,
        fetch_bytes=100,
    )

    call = calls(("192.0.2.1", 1), connections=4, pipeline=2, before=(step,))
    plan = Plan(streams=(call,), threads=1) if grpc else http_plan(before=(step,))
    plan = secured(plan, "TLS_AES_256_GCM_SHA384") if over_tls else plan

    found = calibrate(plan, Replies(50, always_bulk=True))

    assert found is not None
    assert found.cpu_us_per_inference > 0


def test_replies_of_http_are_as_long_as_those_seen() -> None:
    """What the null server sends for an inference is what the real one sent, head and all."""
    value_bytes = replies_like(http_plan(), 500).value_bytes
    field = b"Connection: close\r\n"
    with (
        NullServer(protocol=PROTOCOL_HTTP, reply_bytes=value_bytes) as server,
        socket.create_connection(("127.0.0.1", server.port), 60) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\n" + field + b"\r\n")
        received = b"".join(iter(lambda: client.recv(65_536), b""))

    assert field in received
    assert len(received) - len(field) == 500


def test_secrets_of_http_are_left_out() -> None:
    """No login goes to a null server, which may be elsewhere; the bytes are as many."""
    plan = http_plan("Authorization: Bearer s3cret", "X-Api-Key:s3cret2", "X-Other: shown")

    (stream,) = against(plan, {Kind(PROTOCOL_HTTP): ("192.0.2.1", 1)}).streams

    (head, _), (before, _) = stream.messages[0].parts, plan.streams[0].messages[0].parts
    assert isinstance(head, Text)
    assert isinstance(before, Text)
    assert len(head.data) == len(before.data)
    assert b"Authorization: xxxxxxxxxxxxx\r\nX-Api-Key:xxxxxxx\r\nX-Other: shown" in head.data


def config_for(server: FakeServer, **fields: object) -> RunConfig:
    """Return a short run of PINGs."""
    assert isinstance(server.address, tuple)
    return RunConfig(
        target=f"redis://127.0.0.1:{server.address[1]}",
        workload="command",
        command=CommandConfig(commands=(("PING",),)),
        requests=50,
        warmup_s=0.0,
        repetitions=1,
        **fields,
    )


def test_a_run_is_calibrated_once(cache: Path) -> None:
    """The first run measures, the second finds it, a third may leave it out."""
    slow = always(Reply(b"+PONG\r\n", after_s=0.005))  # any client could do more than twice that
    with FakeServer(slow) as server:
        first, second = (run(config_for(server)) for _ in range(2))
        never = run(config_for(server, calibrate="never"))

    assert first.calibration is not None
    assert not first.calibration.cached
    assert second.calibration is not None
    assert second.calibration.cached
    assert never.calibration is None
    assert never.verdict is not None
    assert {e.status for e in never.verdict.evidence if e.name == "headroom"} == {"not available"}
    assert len(list(cache.iterdir())) == 1


def test_a_null_server_elsewhere() -> None:
    """It may run on the server's host; anything else there is refused by name before the run."""
    with NullServer() as null_server, FakeServer() as server:
        assert isinstance(server.address, tuple)
        url = f"redis://127.0.0.1:{null_server.port}"
        other = f"redis://127.0.0.1:{server.address[1]}"
        result = run(config_for(server, null_server=url))
        asked = len(server.requests)
        with pytest.raises(UsageError, match=r"--null-server .*: a Redis .* answers there"):
            run(config_for(server, null_server=other))
        with NullServer(protocol=PROTOCOL_HTTP) as http_server:
            spoken = f"rest://127.0.0.1:{http_server.port}"
            with pytest.raises(UsageError, match="does not speak the protocol of the target"):
                run(config_for(server, null_server=spoken))
        with NullServer(tls_suite="") as secure:
            spoken = f"rediss://127.0.0.1:{secure.port}"
            with pytest.raises(UsageError, match="speaks TLS, and the target does not; start 'f"):
                run(config_for(server, null_server=spoken))
        with serving(lambda _path, request, _context: request) as (_, port):
            wrong = f"triton+grpc://127.0.0.1:{port}/m"
            with pytest.raises(UsageError, match="answers there, not 'fastbench null-server --g"):
                run(config_for(server, null_server=wrong))
        with HttpServer() as stranger:
            wrong = f"rest://127.0.0.1:{stranger.address[1]}"
            with pytest.raises(UsageError, match="answers there, not 'fastbench null-server --h"):
                run(config_for(server, null_server=wrong))

    assert result.calibration is not None
    assert result.calibration.server == url
    assert len(server.requests) < asked + 50


def test_a_null_server_that_is_gone_after_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result stands, and its verdict says why it has no headroom."""
    with NullServer() as null_server:
        url = f"redis://127.0.0.1:{null_server.port}"
        find = module.find_null_server

        def gone(asked: str) -> Address:
            null_server.stop()
            return find(asked)

        monkeypatch.setattr(module, "find_null_server", gone)
        with FakeServer() as server:
            result = run(config_for(server, null_server=url))

    assert (result.status, result.calibration) == ("complete", None)
    assert str(null_server.port) in result.calibration_error
    assert result.verdict is not None
    (headroom,) = [e for e in result.verdict.evidence if e.name == "headroom"]
    assert headroom.status == "not available"
    assert result.calibration_error in headroom.figure


def test_replies_of_measure_alone_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run after a long warm-up is calibrated with replies as long as they were."""
    reply = b"$1000\r\n" + b"x" * 1000 + b"\r\n"
    asked: list[Replies] = []

    def seen(_: object, replies: Replies, **__: object) -> None:
        asked.append(replies)

    monkeypatch.setattr(module, "calibrate", seen)
    with FakeServer(always(Reply(reply, after_s=0.002))) as server:
        config = dataclasses.replace(config_for(server), requests=20, warmup_s=0.5)
        result = run(config)

    (repetition,) = result.repetitions
    assert repetition.client.bytes_received > 2 * 20 * len(reply)
    assert repetition.client.received_bytes_per_inference == pytest.approx(len(reply), rel=0.1)
    (replies,) = asked
    assert replies.always_bulk
    assert replies.value_bytes == pytest.approx(1000, rel=0.1)


def test_errors_are_no_ceiling() -> None:
    """What a null server refuses is no inference that the client has carried out."""
    with FakeServer(always(Reply(b"-ERR no\r\n"))) as server:
        assert isinstance(server.address, tuple)
        found = calibrate(
            plan_of(PING), Replies(0), elsewhere={Kind(PROTOCOL_RESP): server.address}
        )

    assert server.requests
    assert found is None


def test_a_ceiling_that_is_not_enough_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disturbed figure, also a kept one, gives way to the highest of three; a good one stays."""
    seen: list[float] = []

    def measured(*_: object) -> list[Calibration]:
        seen.append([100.0, 300.0, 200.0][len(seen) % 3])
        return [msgspec.structs.replace(first, ceiling_per_s=seen[-1])]

    first = calibrate(plan_of(PING), Replies(0))
    assert first is not None
    monkeypatch.setattr(module, "_measure", measured)

    better = calibrate(plan_of(PING), Replies(0), enough_per_s=1e9)
    low = calibrate(plan_of(PING), Replies(0), fresh=True, enough_per_s=1e9)
    kept = calibrate(plan_of(PING), Replies(0), enough_per_s=300.0)
    again = calibrate(plan_of(PING), Replies(0), enough_per_s=301.0)

    assert better == dataclasses_replaced(first), "the kept one is higher than all three"
    assert low is not None
    assert (low.ceiling_per_s, low.cached) == (300.0, False)
    assert kept is not None
    assert (kept.ceiling_per_s, kept.cached) == (300.0, True)
    assert again is not None
    assert again.ceiling_per_s == 300.0
    assert len(seen) == 9


def test_interrupted_calibration_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the ceiling is measured: the result is written, marked and without headroom."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastbench.runner.calibrate_for", interrupted)
    with FakeServer(always(Reply(b"+PONG\r\n"))) as server:
        result = run(config_for(server, out=tmp_path / "run"))

    assert result.status == "interrupted"
    assert result.repetitions[0].status == "complete"
    assert result.calibration is None
    assert "partial" in [warning.code for warning in result.warnings]
    assert (tmp_path / "run" / "result.json").exists()
    assert ResultFolder.read(tmp_path / "run").error == result.error
