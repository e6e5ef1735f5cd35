"""Null servers for a plan: what they answer with, and where they are."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

from fastbench import platform_info
from fastbench._nullserver import NullServer
from fastbench.config import TlsConfig
from fastbench.errors import ServerError, UsageError
from fastbench.plan import (
    ANY_LENGTH,
    PROTOCOL_GRPC,
    PROTOCOL_HTTP,
    PROTOCOL_RESP,
    NullAnswer,
)
from fastbench.servers.grpc_server import GrpcServer
from fastbench.servers.http_server import CONNECT_TIMEOUT_S, HttpServer
from fastbench.servers.redis_server import RedisServer
from fastbench.targets import GRPC_KINDS, HTTP_KINDS, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastbench.plan import Address, Plan, Step, Stream, Tls
    from fastbench.targets import Target

#: By protocol that the null server speaks: how a user starts one that does.
COMMANDS = {
    PROTOCOL_RESP: "fastbench null-server",
    PROTOCOL_HTTP: "fastbench null-server --http",
    PROTOCOL_GRPC: "fastbench null-server --grpc",
}
_NAME = "fastbench-null"  # over HTTP its field "Server"
#: How one of gRPC that is not in this process tells what it is.
NAMED = NullAnswer("/fastbench.Null/Name", _NAME.encode())
_ANYBODY = TlsConfig(insecure=True)  # its certificate is its own
_SMALL_BYTES = 16  # a reply on the wire up to that is as good as "+OK"

#: By protocol: bytes around a value, the digits of its length apart.
_FRAMES = {
    PROTOCOL_RESP: 7,
    PROTOCOL_HTTP: len(
        "HTTP/1.1 200 OK\r\nServer: fastbench-null\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: \r\n\r\n"
    ),
    # Three frames' heads, a message's prefix, and three fields that the peer knows by number.
    PROTOCOL_GRPC: 3 * 9 + 5 + 3,
}


class Kind(NamedTuple):
    """What a null server must speak: a protocol of a plan, in plain text or with one cipher.

    ``suite``: None = in plain text; empty = over TLS, with any cipher.
    """

    protocol: int
    suite: str | None = None

    @property
    def command(self) -> str:
        """How a user starts such a null server."""
        secured = {None: "", "": " --tls"}.get(self.suite, f" --tls-suite {self.suite}")
        return COMMANDS[self.protocol] + secured


@dataclass(frozen=True, slots=True)
class Replies:
    """What the null server answers with: ``value_bytes`` in each bulk string or body.

    ``always_bulk``: RESP: to every command, not only to those that read.
    """

    value_bytes: int
    always_bulk: bool = False


def endpoints_of(plan: Plan) -> list[Stream | Step]:
    """Return all that a plan sends to: its streams, and the steps before them."""
    return [*plan.streams, *(step for stream in plan.streams for step in stream.before)]


def kind_of(endpoint: Stream | Step) -> Kind:
    """Return what a null server must speak in the place of an endpoint: its very cipher."""
    return _kind(endpoint.protocol, endpoint.tls)


def _kind(protocol: int, tls: Tls | None) -> Kind:
    """Return a kind; of TLS 1.2, a cipher names how keys are exchanged, too.

    The null server's own key is on an elliptic curve, and the exchange is part of the handshake,
    which is not measured.
    """
    return Kind(protocol, re.sub("^(EC)?DHE-RSA-", "ECDHE-ECDSA-", tls.suite) if tls else None)


def replies_like(plan: Plan, received: float) -> Replies:
    """Return replies as those that were seen: ``received`` bytes for each inference.

    Where the plan says what must come back, that counts; else the mean size of a reply does.
    """
    expected = [e.length for s in plan.streams for m in s.messages for e in m.expect]
    values = [length for length in expected if length != ANY_LENGTH and length > 0]
    chained = any(s.before for s in plan.streams)  # what is fetched must be a value, always
    if values:
        return Replies(max(values), always_bulk=chained)
    frames = [_frames(s, i) for s in plan.streams for i in range(len(s.messages))]
    per_reply = received / mean(map(len, frames))
    if per_reply <= _SMALL_BYTES:
        return Replies(0, always_bulk=chained)
    value = max(0, round(per_reply - mean(frame for each in frames for frame in each)))
    written = any(e.protocol != PROTOCOL_GRPC for e in endpoints_of(plan))
    return Replies(max(0, value - len(str(value)) * written), always_bulk=True)


def _frames(stream: Stream, message: int) -> list[int]:
    """Return what stands around the value of each reply to one inference."""
    steps = [(step.protocol, step.message.replies) for step in stream.before]
    steps.append((stream.protocol, stream.messages[message].replies))
    return [_FRAMES.get(protocol, 0) for protocol, replies in steps for _ in range(replies)]


@contextlib.contextmanager
def null_servers(
    plan: Plan, replies: Replies
) -> Iterator[tuple[list[NullServer], dict[Kind, Address]]]:
    """Run a null server of each kind that a plan needs; yield them, and where each is.

    They take CPUs that the plan leaves free, and the same kind of socket. Raises
    :class:`fastbench.errors.EngineError` where one cannot run, as with an unknown cipher.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastbench-null-")))
        addresses: dict[Kind, Address] = {}
        servers: list[NullServer] = []
        for endpoint in endpoints_of(plan):
            kind = kind_of(endpoint)
            if kind in addresses:
                continue
            unix = isinstance(endpoint.addresses[0], str)
            path = str(folder / str(len(servers))) if unix else None
            server = _null_server(plan, replies, path, kind)
            servers.append(stack.enter_context(server))
            addresses[kind] = path or ("127.0.0.1", server.port)
        yield servers, addresses


def _null_server(plan: Plan, replies: Replies, path: str | None, kind: Kind) -> NullServer:
    spare = [cpu for cpu in platform_info.allowed_cpus() if cpu not in plan.cpus]
    threads = max(1, min(plan.threads, len(spare)))
    return NullServer(
        "127.0.0.1",
        0,
        path,
        threads,
        tuple(spare[:threads]),
        reply_bytes=replies.value_bytes,
        always_bulk=replies.always_bulk,
        protocol=kind.protocol,
        tls_suite=kind.suite,
    )


def find_null_server(url: str) -> dict[Kind, Address]:
    """Return the address of a null server elsewhere, by what it speaks.

    Over TLS any certificate will do. Raises :class:`UsageError` where what answers there is
    something else, and as :class:`fastbench.servers.redis_server.RedisServer` where nothing does.
    """
    target = parse_target(url)
    if target.kind in HTTP_KINDS:
        return _find_http(target)
    if target.kind in GRPC_KINDS:
        return _find_grpc(target)
    with RedisServer(target, _ANYBODY) as server:
        if not server.is_null_server:
            raise _other(target, server.name, PROTOCOL_RESP)
        return {_kind(PROTOCOL_RESP, server.tls): server.address}


def _find_http(target: Target) -> dict[Kind, Address]:
    server = HttpServer(target, _ANYBODY)
    try:
        name = server.infer(target.resource or "/", {}, b"", CONNECT_TIMEOUT_S).server
    except ServerError:  # it refused: no null server does
        name = ""
    if name != _NAME:
        raise _other(target, name or "server without a name", PROTOCOL_HTTP)
    return {_kind(PROTOCOL_HTTP, server.tls): server.address}


def _find_grpc(target: Target) -> dict[Kind, Address]:
    server = GrpcServer(target, _ANYBODY)
    try:
        name = server.call(NAMED.path, b"")
    except ServerError:  # it has no such method
        name = b""
    if name != NAMED.body:
        raise _other(target, "server without that name", PROTOCOL_GRPC)
    return {_kind(PROTOCOL_GRPC, server.tls): server.address}


def _other(target: Target, name: str, protocol: int) -> UsageError:
    return UsageError(
        f"--null-server {target.url}: a {name} answers there, not '{COMMANDS[protocol]}'"
    )


def check_null_server(url: str, elsewhere: Mapping[Kind, Address], plan: Plan) -> None:
    """Raise :class:`UsageError` where a null server does not speak all that a plan does."""
    needed = {kind_of(endpoint) for endpoint in endpoints_of(plan)}
    if needed <= elsewhere.keys():
        return
    if len(needed) > 1:
        msg = (
            f"--null-server {url}: this run needs {len(needed)} null servers, one of each "
            "protocol and cipher of TLS; leave it out: they then run in this process"
        )
        raise UsageError(msg)
    (kind,) = needed
    msg = (
        f"--null-server {url}: {_difference(kind, *elsewhere)}; "
        f"start '{kind.command}' and name that"
    )
    raise UsageError(msg)


def _difference(needed: Kind, found: Kind) -> str:
    if needed.protocol != found.protocol:
        return "does not speak the protocol of the target"
    if needed.suite is None:
        return "speaks TLS, and the target does not"
    if found.suite is None:
        return "does not speak TLS, and the target does"
    return f"takes the cipher {found.suite}, and the target {needed.suite}"
