"""Servers over HTTP that refuse, break off or speak something else: a class or one clear line.

Whatever happens, the counts of a run add up.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from support.certificates import OPENSSL, Authority
from support.cli import Done, fastbench, running
from support.grpcserver import serving
from support.rawpeer import OK, RawPeer
from support.restserver import HttpServer

from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.results import Counts

REQUESTS = 60
BRIEF = ("--requests", REQUESTS, "--warmup", 0, "--repetitions", 1, "--quiet")
AS_JSON = ("--format", "json")


def refused(url: str, *options: object) -> str:
    """Run in vain; returns the one line that says why."""
    done = fastbench("run", url, *BRIEF, *options)
    assert done.code == 1
    return done.line


def counts_of(done: Done) -> Counts:
    """Return the counts of a run, which must add up."""
    assert done.code == 0, done.err
    result: Result = from_json(done.out.encode())
    [repetition] = result.repetitions
    counts = repetition.counts
    ended = counts.ok + counts.errors + counts.timeouts + counts.lost + counts.unfinished
    assert counts.sent == ended
    assert counts.intended == counts.sent + counts.never_sent == REQUESTS
    assert counts.errors == sum(e.count for e in counts.errors_by_class.values())
    return counts


def reply(status: str, body: bytes = b"sorry", version: str = "1.1") -> bytes:
    """Return a whole reply."""
    return f"HTTP/{version} {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("status", ["400 Bad Request", "413 Too Large", "500 Error", "503 Busy"])
def test_statuses(status: str, sample: Path) -> None:
    """A status that is no success is a line where it comes first, and then a class of its own."""
    code = status[:3]
    with RawPeer(lambda n: (reply(status) if n % 3 == 0 else OK, False)) as peer:
        done = fastbench("run", f"rest://{peer.place}/", *BRIEF, "--dataset", sample, *AS_JSON)
    with RawPeer(lambda _: (reply(status), False)) as refusing:
        line = refused(f"rest://{refusing.place}/", "--dataset", sample)

    counts = counts_of(done)
    assert {name: e.count for name, e in counts.errors_by_class.items()} == {f"HTTP {code}": 20}
    assert f"refused the first inference: {status}: sorry" in line


def test_body_that_the_server_does_not_read(sample: Path) -> None:
    """A server that answers 413 and closes before the body has come is heard, not only broken."""
    too_large = reply("413 Content Too Large", b"at most 1000 bytes")
    with RawPeer(lambda _: (too_large, True), takes=1000) as peer:
        line = refused(f"rest://{peer.place}/", "--dataset", sample)

    assert "413 Content Too Large: at most 1000 bytes" in line


def test_bodies_that_are_refused_in_the_middle(sample: Path) -> None:
    """The same during the run is an error of its class, or lost where the connection broke."""

    def answer(n: int) -> tuple[bytes, bool]:
        peer.takes = 2**40 if n % 4 else 1000  # for the request after this one
        return (OK, False) if n % 4 != 1 or n == 1 else (reply("413 Content Too Large"), True)

    with RawPeer(answer) as peer:
        options = ("--dataset", sample, *AS_JSON)
        counts = counts_of(fastbench("run", f"rest://{peer.place}/", *BRIEF, *options))

    # One that was lost before the server had read it does not count there: the next is refused too.
    assert counts.ok + counts.errors + counts.lost == REQUESTS
    assert REQUESTS // 2 < counts.ok <= REQUESTS * 3 // 4
    assert set(counts.errors_by_class) <= {"HTTP 413"}


def test_http_1_0(sample: Path) -> None:
    """A server that closes after each reply, as HTTP/1.0 has it, loses nothing."""
    with RawPeer(lambda _: (OK.replace(b"1.1", b"1.0"), True)) as peer:
        options = ("--dataset", sample, "--connections", 2, *AS_JSON)
        counts = counts_of(fastbench("run", f"rest://{peer.place}/", *BRIEF, *options))

    assert counts.ok == REQUESTS


SETTINGS = b"\0\0\x06\4\0\0\0\0\0\0\3\0\0\0\x64"  # RFC 9113 6.5: the first frame of a server


@pytest.mark.parametrize("target", ["rest://{}/", "triton+http://{}/m", "tfserving+http://{}/m"])
def test_http_2(target: str, sample: Path) -> None:
    """A server of HTTP/2 is named as such, and what is likely the mistake."""
    with serving(lambda _path, request, _context: request) as (host, port):
        line = refused(target.format(f"{host}:{port}"), "--dataset", sample)

    assert "does not speak HTTP/1.1: it answers in HTTP/2, as gRPC servers do" in line


@pytest.mark.parametrize("odd", [SETTINGS, b"220 smtp.example ESMTP\r\n", b"\x15\x03\x01\0\x02"])
def test_other_protocols_in_the_middle(odd: bytes, sample: Path) -> None:
    """What is no reply ends the connection; what was in flight is lost, and the rest goes on."""
    with RawPeer(lambda n: (odd, True) if n % 20 == 0 else (OK, False)) as peer:
        options = ("--dataset", sample, *AS_JSON)
        counts = counts_of(fastbench("run", f"rest://{peer.place}/", *BRIEF, *options))

    assert counts.lost > 0
    assert counts.ok == REQUESTS - counts.lost


def test_server_that_is_started_again(sample: Path) -> None:
    """A server that goes in the middle and comes back costs what was in flight, no more."""
    silent = threading.Event()

    def half(n: int) -> tuple[bytes, bool]:
        if n <= REQUESTS // 2:
            return OK, False
        silent.set()
        return b"", False

    options = ("--dataset", sample, "--connections", 3, *AS_JSON, "--calibrate", "never")
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(RawPeer(half))
        with running("run", f"rest://{peer.place}/", *BRIEF, *options) as run:
            run.wait_until(silent.is_set)
            stack.close()
            with RawPeer(lambda _: (OK, False), peer.port) as again:
                done = run.end()

    counts = counts_of(done)
    assert again.requests > 0
    assert 1 <= counts.lost <= 3
    assert counts.ok == REQUESTS - counts.lost


@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
@pytest.mark.parametrize("scheme", ["rests", "triton+https", "tfserving+https"])
def test_tls_that_is_refused(scheme: str, sample: Path, tmp_path: Path) -> None:
    """Unknown CA, another name, a version too old, no TLS at all: each one line with a remedy."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "DNS:localhost,IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    ca = ("--dataset", sample, "--tls-ca", authority.cert)
    with HttpServer(tls=context) as server:
        url = f"{scheme}://127.0.0.1:{server.address[1]}/m"
        unknown = refused(url, "--dataset", sample)
        other = refused(url, *ca, "--tls-server-name", "other.test")
        old = refused(url, *ca, "--tls-min-version", "1.3")
    with RawPeer(lambda _: (OK, False)) as peer:
        plain = refused(f"{scheme}://{peer.place}/m", *ca)

    assert "give the CA's certificate by --tls-ca" in unknown
    assert "other.test" in other
    assert "--tls-min-version" in old
    assert "TLS" in plain
