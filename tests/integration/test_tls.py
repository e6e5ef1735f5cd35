"""TLS on both paths, control plane and engine, against a real server."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.certificates import OPENSSL, Authority, encrypted
from support.cli import fastbench, running
from support.driver import S, drive
from support.restserver import HttpServer
from support.streams import PING, stream_of
from support.tlsserver import TlsServer

from fastbench.errors import ConnectError, DatasetError, EngineError
from fastbench.plan import (
    FIELD_ROW,
    TLS_1_2,
    TLS_1_3,
    Data,
    Field,
    Message,
    Payload,
    Plan,
    Text,
    Tls,
)
from fastbench.results import Evidence, Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.certificates import Pair

    from fastbench._engine import Engine

IMAGE = 602_112
NAMES = "DNS:fastbench.test,IP:127.0.0.1"
REDIS = shutil.which("redis-server")
READY = r"ready on ([^\s,]+)"

pytestmark = pytest.mark.skipif(
    OPENSSL is None or REDIS is None, reason="needs openssl and redis-server"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA."""
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Return the server's certificate."""
    return authority.issue("server", NAMES)


@pytest.fixture(scope="module")
def server(
    authority: Authority, pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsServer]:
    """Return a server that asks for no client certificate."""
    folder = tmp_path_factory.mktemp("redis")
    with TlsServer(str(REDIS), folder, authority, pair) as running:
        yield running


def _run(url: str, *options: object, words: tuple[str, ...] = ("PING",)) -> Result:
    """Run ``fastbench command`` briefly and return its result."""
    short = ("--repetitions", "1", "--quiet", "--format", "json", "-n", "200")
    done = fastbench("command", url, *short, *options, "--", *words)
    assert done.code == 0, done.err
    return from_json(done.out.encode())


def _refusal(url: str, *options: object) -> str:
    """Run ``fastbench command`` in vain and return its one line."""
    done = fastbench("command", url, "--repetitions", "1", "-n", "1", *options, "--", "PING")
    assert done.code in {1, 2}, done.err
    return done.line


def _tls(authority: Authority, **changes: object) -> Tls:
    return Tls(**({"server_name": "127.0.0.1", "ca_file": str(authority.cert)} | changes))


def _set_rows(row_bytes: int) -> Message:
    """Return SET <row> <the row's bytes>."""
    head = (Text(b"*3\r\n$3\r\nSET\r\n$5\r\n"), Field(FIELD_ROW, 5))
    return Message((*head, Text(b"\r\n$%d\r\n" % row_bytes), Payload(1), Text(b"\r\n")), replies=1)


@pytest.mark.parametrize("pipeline", [1, 16])
@pytest.mark.parametrize("row_bytes", [1, 16_383, 16_385, 100_003, IMAGE])
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_payload_arrives_unchanged(
    server: TlsServer,
    authority: Authority,
    tmp_path: Path,
    row_bytes: int,
    pipeline: int,
    version: int,
) -> None:
    """What the server holds afterwards has the hash of the dataset's rows."""
    rows = 5
    content = np.random.default_rng(7).integers(0, 256, (rows, row_bytes), dtype=np.uint8)
    path = tmp_path / "rows"
    path.write_bytes(b"\xee" * 4096 + content.tobytes())
    server.client.flushall()
    server.client.config_set("tls-protocols", "TLSv1.2" if version == TLS_1_2 else "TLSv1.3")
    try:
        stream = stream_of(
            ("127.0.0.1", server.port),
            2,
            pipeline,
            _set_rows(row_bytes),
            data=Data(str(path), 4096, row_bytes, rows),
            tls=_tls(authority, min_version=version),
        )
        ran = drive(Plan(streams=(stream,), threads=1, requests=20))
    finally:
        server.client.config_set("tls-protocols", "")

    assert ran.error is None
    assert ran.totals.ok == 20
    for row in range(rows):
        kept = server.client.get(f"{row:05}")
        assert isinstance(kept, bytes)
        assert hashlib.sha256(kept).digest() == hashlib.sha256(content[row]).digest()


def test_generated_data_arrive_whole(server: TlsServer, authority: Authority) -> None:
    """Data made for the run take another way into a record than files; they arrive whole too."""
    server.client.flushall()

    _run(server.url, "--tls-ca", authority.cert, words=("SET", "{key:seq}", "{data:100003}"))

    sizes = {server.client.strlen(key) for key in server.client.keys()}  # noqa: SIM118 - KEYS
    assert len(server.client.keys()) == 200
    assert sizes == {100_003}


def test_exactly_as_many_requests_as_asked_for(server: TlsServer, authority: Authority) -> None:
    """Threads, connections and a pipeline over TLS lose and double nothing; replies of 16 KiB."""
    server.client.set("big", b"x" * 16_384)
    before = server.calls("get")
    get = Message((Text(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n"),), replies=1)
    stream = stream_of(("127.0.0.1", server.port), 6, 16, get, tls=_tls(authority))

    ran = drive(Plan(streams=(stream,), threads=2, requests=10_007))

    assert ran.error is None
    assert ran.totals.ok == 10_007
    assert server.calls("get") - before == 10_007


def test_result_tells_version_and_config(server: TlsServer, authority: Authority) -> None:
    """What was agreed on and what was asked for stand in the result."""
    result = _run(server.url, "--tls-ca", authority.cert, "--tls-min-version", "1.3")

    assert result.target.details["tls"].startswith("TLSv1.3, ")
    assert result.config["tls"]["ca"] == str(authority.cert)
    assert result.summary is not None
    assert "tls-insecure" not in {w.code for w in result.warnings}


def test_insecure_is_named(server: TlsServer) -> None:
    """Without a check of the certificate the run goes on, and the result warns."""
    result = _run(server.url, "--tls-insecure")

    assert "tls-insecure" in {w.code for w in result.warnings}


def test_login_over_tls(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """An ACL user and RESP3 work over TLS as over plain TCP."""
    with TlsServer(str(REDIS), tmp_path, authority, pair) as server:
        server.client.acl_setuser(
            "ann", enabled=True, passwords=["+pw"], categories=["+@all"], keys=["*"]
        )
        short = ("--repetitions", "1", "--quiet", "-n", "50", "--resp", "3")
        url = server.url.replace("://", "://ann@")
        ca = ("--tls-ca", authority.cert)
        good = fastbench("command", url, *short, *ca, "--", "PING", FASTBENCH_PASSWORD="pw")
        bad = fastbench("command", url, *short, *ca, "--", "PING", FASTBENCH_PASSWORD="no")

    assert good.code == 0, good.err
    assert bad.code == 1
    assert "refused the login" in bad.line


def test_server_name_stands_for_the_host(authority: Authority, tmp_path: Path) -> None:
    """A certificate that names no address is accepted by the name given, and not without."""
    named = authority.issue("named", "DNS:fastbench.test")
    with TlsServer(str(REDIS), tmp_path, authority, named) as server:
        ca = ("--tls-ca", authority.cert)
        line = _refusal(server.url, *ca)
        result = _run(server.url, *ca, "--tls-server-name", "fastbench.test")

    assert "IP address mismatch" in line
    assert "--tls-server-name" in line
    assert result.summary is not None


def test_client_certificate(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """A server that asks for a client certificate gets it; without one the line says so."""
    mine = authority.issue("client", "DNS:client.test")
    options = ("--tls-auth-clients", "yes")
    with TlsServer(str(REDIS), tmp_path, authority, pair, *options) as server:
        ca = ("--tls-ca", authority.cert)
        line = _refusal(server.url, *ca)
        result = _run(server.url, *ca, "--tls-cert", mine.cert, "--tls-key", mine.key)
        stream = stream_of(("127.0.0.1", server.port), tls=_tls(authority), opening=(PING,))
        ran = drive(Plan(streams=(stream,), threads=1, requests=1))

    assert "--tls-cert and --tls-key" in line
    assert result.summary is not None
    assert isinstance(ran.error, ConnectError)
    assert "--tls-cert and --tls-key" in str(ran.error)


@pytest.mark.parametrize(
    ("changes", "what", "advice"),
    [
        ({"ca_file": ""}, "certificate", "--tls-ca"),
        ({"server_name": "other.test"}, "ostname mismatch", "--tls-server-name"),
        ({"server_name": "::1"}, "IP address mismatch", "--tls-server-name"),
    ],
)
def test_engine_refuses_a_wrong_certificate(
    server: TlsServer, authority: Authority, changes: dict[str, str], what: str, advice: str
) -> None:
    """The measured path checks on its own: authority, host name, address."""
    stream = stream_of(("127.0.0.1", server.port), tls=_tls(authority, **changes))

    ran = drive(Plan(streams=(stream,), threads=1, requests=1))

    assert isinstance(ran.error, ConnectError)
    assert what in str(ran.error)
    assert advice in str(ran.error)


def test_wrong_certificates_are_one_line(
    server: TlsServer, authority: Authority, tmp_path: Path
) -> None:
    """Unknown CA, other host name, expired: what OpenSSL found, and the option that helps."""
    expired = authority.issue("expired", NAMES, days=-1)
    ca = ("--tls-ca", authority.cert)

    assert "give the CA's certificate by --tls-ca" in _refusal(server.url)
    assert "other.test" in _refusal(server.url, *ca, "--tls-server-name", "other.test")
    with TlsServer(str(REDIS), tmp_path, authority, expired) as late:
        assert "expired; renew it" in _refusal(late.url, *ca)


def test_version_that_the_server_refuses(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """A server of TLS 1.2 and a client that wants 1.3: the line names the option."""
    options = ("--tls-protocols", "TLSv1.2")
    with TlsServer(str(REDIS), tmp_path, authority, pair, *options) as server:
        line = _refusal(server.url, "--tls-ca", authority.cert, "--tls-min-version", "1.3")
        stream = stream_of(("127.0.0.1", server.port), tls=_tls(authority, min_version=TLS_1_3))
        ran = drive(Plan(streams=(stream,), threads=1, requests=1))

    assert "--tls-min-version" in line
    assert "--tls-min-version" in str(ran.error)


def test_plain_client_to_a_tls_port(server: TlsServer) -> None:
    """The line says which scheme may be meant."""
    assert "rediss://" in _refusal(f"redis://127.0.0.1:{server.port}")


def test_tls_client_to_a_plain_server(authority: Authority) -> None:
    """A server that answers in clear text is recognised on both paths."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=_answer_plainly, args=(listener, 2))
        thread.start()
        line = _refusal(f"rediss://127.0.0.1:{port}", "--tls-ca", authority.cert)
        stream = stream_of(("127.0.0.1", port), tls=_tls(authority))
        ran = drive(Plan(streams=(stream,), threads=1, requests=1))
        thread.join(60)

    assert "does not speak TLS" in line
    assert isinstance(ran.error, ConnectError)
    assert "does not speak TLS" in str(ran.error)


def _answer_plainly(listener: socket.socket, times: int) -> None:
    for _ in range(times):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionResetError):
            connection.recv(4096)
            connection.sendall(b"-ERR Protocol error: unexpected bytes\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass


def test_unusable_options_and_files(
    server: TlsServer, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    """Each is named before anything is started: exit code 2."""
    secret = encrypted(pair.key, tmp_path / "secret.key")
    missing = tmp_path / "missing.pem"
    for options, word in (
        (("--tls-ca", missing), "No such file"),
        (("--tls-ca", pair.key), "no certificate"),
        (("--tls-cert", pair.cert), "--tls-cert and --tls-key belong together"),
        (("--tls-cert", missing, "--tls-key", pair.key), "No such file"),
        (("--tls-cert", pair.cert, "--tls-key", secret), "pass phrases are not supported"),
        (("--tls-cert", authority.cert, "--tls-key", pair.key), "mismatch"),
        (("--tls-min-version", "1.1"), "must be one of 1.2, 1.3"),
        (("--tls-insecure", "--tls-ca", authority.cert), "choose"),
    ):
        done = fastbench("command", server.url, *options, "--", "PING")
        assert done.code == 2, done.err
        assert word in done.line

    done = fastbench("command", f"redis://127.0.0.1:{server.port}", "--tls-insecure", "--", "PING")
    assert done.code == 2
    assert "rediss://" in done.line


def test_engine_names_an_unusable_file(authority: Authority, tmp_path: Path) -> None:
    """The engine, used alone, says which file; nothing is started."""
    missing = tmp_path / "missing.pem"
    stream = stream_of(("127.0.0.1", 1), tls=_tls(authority, ca_file=str(missing)))

    with pytest.raises(EngineError, match=r"missing\.pem: No such file"):
        drive(Plan(streams=(stream,), threads=1, requests=1))


def test_connections_that_break_come_back(server: TlsServer, authority: Authority) -> None:
    """A killed connection is lost with what it had in flight and shakes hands again."""
    killed = []

    def kill(engine: Engine) -> None:
        if engine.snapshot().completed > 0 and len(killed) < 2:
            killed.append(server.client.client_kill_filter(_type="normal", skipme=True))

    stream = stream_of(("127.0.0.1", server.port), 2, 4, tls=_tls(authority))
    ran = drive(Plan(streams=(stream,), threads=1, duration_ns=2 * S), watch=kill)

    assert ran.error is None
    assert sum(killed) >= 2
    assert ran.totals.breaks >= 2
    assert ran.totals.ok > 0


def test_server_that_starts_again(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """A server killed and started again in the middle of a run is used again."""
    with TlsServer(str(REDIS), tmp_path, authority, pair) as server:
        restarted = []
        again = []

        def restart(engine: Engine) -> None:
            if engine.snapshot().completed > 0 and not restarted:
                server.stop()
                server.start()
                restarted.append(True)
            elif restarted and not again and server.calls("ping") > 100:
                again.append(True)
                engine.stop()

        stream = stream_of(("127.0.0.1", server.port), 2, 4, tls=_tls(authority))
        plan = Plan(
            streams=(stream,),
            threads=1,
            duration_ns=60 * S,
            give_up_ns=30 * S,
            interval_ns=S,
        )
        ran = drive(plan, watch=restart)

    assert ran.error is None
    assert again
    assert ran.totals.breaks >= 2


def test_dataset_truncated_meanwhile(
    server: TlsServer, authority: Authority, tmp_path: Path
) -> None:
    """A dataset cut short while it is encrypted ends the run with an error, not with a signal."""
    path = tmp_path / "rows"
    path.write_bytes(b"x" * (4 * IMAGE))
    cut = []

    def truncate(engine: Engine) -> None:
        if engine.snapshot().completed > 20 and not cut:
            cut.append(True)
            with path.open("r+b") as file:
                file.truncate(1000)

    stream = stream_of(
        ("127.0.0.1", server.port),
        4,
        message=_set_rows(IMAGE),
        data=Data(str(path), 0, IMAGE, 4),
        tls=_tls(authority),
    )
    ran = drive(Plan(streams=(stream,), threads=1, duration_ns=30 * S), watch=truncate)

    assert cut
    assert isinstance(ran.error, DatasetError)


def _headroom(result: Result) -> Evidence:
    assert result.verdict is not None
    [found] = [e for e in result.verdict.evidence if e.name == "headroom"]
    return found


def test_the_ceiling_of_a_run(server: TlsServer, authority: Authority) -> None:
    """A run over TLS has a headroom, against a null server in the client's process."""
    result = _run(server.url, "--tls-ca", authority.cert, "--calibrate", "always")

    assert result.calibration_error == ""
    assert result.calibration is not None
    assert result.calibration.server == "in process"
    assert _headroom(result).value is not None


def test_the_ceiling_of_a_run_over_https(authority: Authority, pair: Pair, sample: Path) -> None:
    """The same for HTTP over TLS, with a client certificate that the null server never asks for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(authority.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue("client", "DNS:client.test")
    tls = ("--tls-ca", authority.cert, "--tls-cert", mine.cert, "--tls-key", mine.key)
    short = ("--repetitions", 1, "--quiet", "--format", "json", "--requests", 50, "--warmup", 0)
    with HttpServer(tls=context) as https:
        url = f"rests://127.0.0.1:{https.address[1]}/any"
        how = ("--dataset", sample, "--calibrate", "always")
        done = fastbench("run", url, *short, *tls, *how)

    assert done.code == 0, done.err
    result = from_json(done.out.encode())
    assert result.calibration is not None, result.calibration_error
    assert _headroom(result).value is not None


def test_a_cipher_that_the_null_server_has_not(authority: Authority, tmp_path: Path) -> None:
    """Such a run has no headroom, and its verdict names the cipher; what was measured stands."""
    rsa = authority.issue("rsa", NAMES, key=("-newkey", "rsa:2048", "-nodes"))
    only = ("--tls-protocols", "TLSv1.2", "--tls-ciphers", "DHE-RSA-AES256-SHA256")
    with TlsServer(str(REDIS), tmp_path, authority, rsa, *only) as server:
        result = _run(server.url, "--tls-ca", authority.cert, "--calibrate", "always")

    assert result.target.details["tls"] == "TLSv1.2, DHE-RSA-AES256-SHA256"
    assert (result.status, result.calibration) == ("complete", None)
    assert _headroom(result).status == "not available"
    assert "-AES256-SHA256" in _headroom(result).figure


def test_a_null_server_elsewhere(server: TlsServer, authority: Authority) -> None:
    """It is taken where it has the cipher of the target; else a line says why not."""
    ca = ("--tls-ca", authority.cert, "--calibrate", "always")
    with running("null-server", "--tls") as same, running("null-server") as plain:
        url = f"rediss://{same.wait_for(READY)[1]}"
        result = _run(server.url, *ca, "--null-server", url)
        to_plain = f"redis://{plain.wait_for(READY)[1]}"
        in_plain_text = _refusal(server.url, *ca, "--null-server", to_plain)
        no_tls = _refusal(server.url, *ca, "--null-server", to_plain.replace("redis:", "rediss:"))
        to_tls = url.replace("rediss:", "redis:")
        unsecured = _refusal(server.url, *ca, "--null-server", to_tls)
    with running("null-server", "--tls-suite", "TLS_CHACHA20_POLY1305_SHA256") as other:
        url_of_other = f"rediss://{other.wait_for(READY)[1]}"
        cipher = _refusal(server.url, *ca, "--null-server", url_of_other)
    no_null_server = _refusal(server.url, *ca, "--null-server", server.url)

    assert result.calibration is not None, result.calibration_error
    assert result.calibration.server == url
    agreed = result.target.details["tls"].removeprefix("TLSv1.3, ")
    start = f"start 'fastbench null-server --tls-suite {agreed}'"
    assert "does not speak TLS, and the target does" in in_plain_text
    assert start in in_plain_text
    assert "what listens there does not speak TLS" in no_tls
    assert "rediss://" in unsecured
    assert f"takes the cipher TLS_CHACHA20_POLY1305_SHA256, and the target {agreed}" in cipher
    assert start in cipher
    assert "answers there, not 'fastbench null-server'" in no_null_server
