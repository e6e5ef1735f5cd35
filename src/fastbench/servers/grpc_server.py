"""Any gRPC server: reaching it, and asking it something before or beside the run.

What asks is the engine itself, in a run of one call, so that what is asked goes the measured way.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from fastbench._engine import Engine
from fastbench.config import TlsConfig
from fastbench.errors import ConnectError, FastbenchError, ProtocolError, ServerError
from fastbench.password import hidden
from fastbench.plan import PROTOCOL_GRPC, Plan, Stream, Text
from fastbench.servers.grpc_messages import authority_of, message_in, metadata_of, unary
from fastbench.servers.tls import Secured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.plan import Message, Part, Tls
    from fastbench.targets import Target

ALPN = "h2"  # RFC 9113 3.2
CONNECT_TIMEOUT_S = 10.0
SHORT_REPLY = 256 * 1024  # bytes: room for what a server says of itself
LONG_REPLY = 64 * 1024 * 1024  # and for an inference
_POLL_S = 0.05
_NS = 1e9


class GrpcServer:
    """One server behind a target over gRPC.

    ``address``: numeric host and port, for the engine.
    ``headers``: go with each call as its metadata, each ``Name: value``.
    Raises :class:`ConnectError` when nobody listens, or HTTP/2 over TLS cannot be agreed on.
    """

    def __init__(
        self, target: Target, tls: TlsConfig | None = None, headers: Sequence[str] = ()
    ) -> None:
        """Connect once to see that it is there."""
        self.target = target
        self._metadata = metadata_of(headers)
        self._secured = Secured(tls or TlsConfig(), target.host, ALPN) if target.tls else None
        try:
            with socket.create_connection((target.host, target.port), CONNECT_TIMEOUT_S) as found:
                self.address: tuple[str, int] = found.getpeername()[:2]
                chosen = self._secured.try_on(found) if self._secured else ALPN
        except OSError as e:
            told = self._secured.explain(e) if self._secured else None
            reason = told or f"{e.strerror or e}; is the server running there?"
            msg = f"cannot connect to {target.url}: {reason}"
            raise ConnectError(msg) from e
        if chosen != ALPN:
            msg = (
                f"{target.url}: the server does not choose HTTP/2 in the TLS handshake (ALPN "
                f"{ALPN}); does it speak gRPC there?"
            )
            raise ConnectError(msg)

    @property
    def tls(self) -> Tls | None:
        """How the engine is to speak TLS, with the cipher that was agreed on; None = not at all."""
        return self._secured.plan if self._secured else None

    @property
    def agreed(self) -> str:
        """Version and cipher of TLS; empty without it."""
        return self._secured.agreed if self._secured else ""

    def call(
        self,
        path: str,
        message: bytes,
        timeout_s: float = CONNECT_TIMEOUT_S,
        room: int = SHORT_REPLY,
    ) -> bytes:
        """Call the method ``path`` and return the message of the reply, of ``room`` bytes at most.

        Raises :class:`ServerError` where the call fails, :class:`ConnectError` where no answer
        comes, :class:`ProtocolError` where what listens does not speak gRPC.
        """
        try:
            reply = self._ask(path, message, timeout_s, room)
        except FastbenchError as e:
            said = f"{self.target.url}: {path.rpartition('/')[2]}: {hidden(str(e))}"
            raise type(e)(said) from e
        found = message_in(reply)
        if found is None:
            msg = f"{self.target.url}: the reply to {path} is longer than {room:,} bytes"
            raise ProtocolError(msg)
        return found

    def unary(self, path: str, parts: Sequence[Part], length: int) -> Message:
        """Return a call of the method ``path``, its message of ``length`` bytes in ``parts``."""
        authority = authority_of(self.target)
        return unary(path, parts, length, authority, self._metadata, tls=self.target.tls)

    def _ask(self, path: str, message: bytes, timeout_s: float, room: int) -> bytes:
        call = self.unary(path, (Text(message),), len(message))
        with Engine(_plan(self.address, self.tls, call, timeout_s, room)) as engine:
            engine.start()
            while not engine.wait(_POLL_S):
                pass
            try:
                engine.join()
            except ConnectError as e:
                hint = "does it speak gRPC there? Over TLS the target is …+grpcs://"
                raise ConnectError(str(e) if self.tls else f"{e}; {hint}") from e
            captures, errors = engine.take_captures(), engine.error_classes()
            totals = engine.totals()
        if errors:
            [(name, (_, text))] = errors.items()
            raise ServerError(f"{name}: {text}" if text else name)
        if totals.ok != 1:
            raise ConnectError(_silence(lost=totals.lost > 0))
        return captures[0].data


def _silence(*, lost: bool) -> str:
    if lost:
        return "the server closed the connection without an answer"
    return "no answer in time; raise --timeout if the model needs longer"


def _plan(
    address: tuple[str, int], tls: Tls | None, call: Message, timeout_s: float, room: int
) -> Plan:
    stream = Stream(
        addresses=(address,),
        connections=1,
        pipeline=1,
        messages=(call,),
        tls=tls,
        protocol=PROTOCOL_GRPC,
    )
    return Plan(
        streams=(stream,),
        threads=1,
        requests=1,
        timeout_ns=round(timeout_s * _NS),
        captures=1,
        capture_bytes=room,
    )
