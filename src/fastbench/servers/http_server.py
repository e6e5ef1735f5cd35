"""Any HTTP/1.1 server: reaching it, and asking it something before or beside the run."""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fastbench.config import TlsConfig
from fastbench.errors import ConnectError, ProtocolError, ServerError
from fastbench.password import hidden
from fastbench.servers.http_replies import Answer, answer_of
from fastbench.servers.tls import Secured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastbench.plan import Tls
    from fastbench.targets import Target

    Fields = Mapping[str, str]

Told = TypeVar("Told")

CONNECT_TIMEOUT_S = 10.0
_MOVED = (301, 302, 303, 307, 308)
_OK = range(200, 300)
_SETTINGS = "\x04\0\0\0\0\0"  # in the first frame of HTTP/2: its type, flags and stream
_SLOW = "raise --timeout if the model needs longer"
_SHOWN = 120  # characters of a refusal's body


class HttpServer:
    """One server behind a target over HTTP.

    ``address``: numeric host and port, for the engine.

    Raises :class:`ConnectError` when nobody listens, or TLS cannot be agreed on.
    """

    def __init__(self, target: Target, tls: TlsConfig | None = None) -> None:
        """Connect once to see that it is there."""
        self.target = target
        self._secured = Secured(tls or TlsConfig(), target.host) if target.tls else None
        with self._errors(), self._connected() as plain:
            host, port = plain.getpeername()[:2]
            self.address: tuple[str, int] = (host, port)
            if self._secured:
                self._secured.try_on(plain)

    @property
    def tls(self) -> Tls | None:
        """How the engine is to speak TLS, with the cipher that was agreed on; None = not at all."""
        return self._secured.plan if self._secured else None

    @property
    def agreed(self) -> str:
        """Version and cipher of TLS; empty without it."""
        return self._secured.agreed if self._secured else ""

    def infer(self, resource: str, fields: Fields, body: bytes, timeout_s: float) -> Answer:
        """Send one inference as the engine will, over a connection of its own.

        Raises :class:`ServerError` where the answer is no success, :class:`ProtocolError` where it
        is not HTTP, :class:`ConnectError` where none comes.
        """
        answer = self._request("POST", resource, fields, body, timeout_s)
        if answer.status not in _OK:
            msg = f"{self.target.url} refused the first inference: {refusal(answer)}"
            raise ServerError(msg)
        return answer

    def get(self, resource: str, fields: Fields, timeout_s: float = CONNECT_TIMEOUT_S) -> Answer:
        """Return the answer to a GET, whatever its status.

        Raises :class:`ProtocolError` and :class:`ConnectError` as :meth:`infer`.
        """
        return self._request("GET", resource, fields, None, timeout_s)

    def post(
        self,
        resource: str,
        fields: Fields,
        body: bytes,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> Answer:
        """Return the answer to a POST, whatever its status.

        Raises :class:`ProtocolError` and :class:`ConnectError` as :meth:`infer`.
        """
        return self._request("POST", resource, fields, body, timeout_s)

    def delete(self, resource: str, fields: Fields, timeout_s: float = CONNECT_TIMEOUT_S) -> Answer:
        """Return the answer to a DELETE, whatever its status.

        Raises :class:`ProtocolError` and :class:`ConnectError` as :meth:`infer`.
        """
        return self._request("DELETE", resource, fields, None, timeout_s)

    def told(
        self,
        resource: str,
        fields: Fields,
        kind: type[Told],
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> Told:
        """Return what a GET tells, as JSON of ``kind``.

        Raises :class:`ServerError` where it is refused, and as :meth:`get`.
        """
        answer = self.get(resource, fields, timeout_s)
        if answer.status not in _OK:
            msg = f"{self.target.url}: GET {resource} was refused: {refusal(answer)}"
            raise ServerError(msg)
        return self.read(resource, answer, kind)

    def read(self, resource: str, answer: Answer, kind: type[Told]) -> Told:
        """Return the JSON of an answer. Raises :class:`ProtocolError` where it is another."""
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            msg = f"{self.target.url}: the answer to GET {resource} is not what it should be: "
            raise ProtocolError(msg + hidden(str(error))) from error

    def _request(
        self, method: str, resource: str, fields: Fields, body: bytes | None, timeout_s: float
    ) -> Answer:
        with self._errors(), self._connected(timeout_s) as plain:
            connection = http.client.HTTPConnection(*self.address, timeout=timeout_s)
            connection.sock = self._secured.wrap(plain) if self._secured else plain
            with contextlib.closing(connection):
                with contextlib.suppress(
                    BrokenPipeError, ConnectionResetError
                ):  # it may have said why
                    connection.request(method, resource, body, dict(fields))
                return answer_of(connection.getresponse())

    def _connected(self, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
        return socket.create_connection((self.target.host, self.target.port), timeout_s)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the errors of sockets and of http.client into ours, with the target's name."""
        url = self.target.url
        try:
            yield
        except http.client.RemoteDisconnected as e:
            msg = f"{url} closed the connection without an answer; does it speak TLS there?"
            raise ConnectError(msg) from e
        except http.client.HTTPException as e:
            msg = f"{url} does not speak HTTP/1.1: {_spoken(e)}"
            raise ProtocolError(msg) from e
        except TimeoutError as e:
            silent = self._secured is not None and not self._secured.agreed
            remedy = "does it speak TLS there?" if silent else _SLOW
            msg = f"{url}: no answer in time; {remedy}"
            raise ConnectError(msg) from e
        except OSError as e:
            found = self._secured.explain(e) if self._secured else None
            reason = found or f"{e.strerror or e}; is the server running there?"
            msg = f"cannot connect to {url}: {reason}"
            raise ConnectError(msg) from e


def _spoken(error: http.client.HTTPException) -> str:
    """Say what came instead of HTTP/1.1."""
    if getattr(error, "line", "")[3:9] == _SETTINGS:
        return "it answers in HTTP/2, as gRPC servers do"
    return hidden(str(error)) or type(error).__name__


def is_ok(answer: Answer) -> bool:
    """Tell whether an answer is a success."""
    return answer.status in _OK


def refusal(answer: Answer) -> str:
    """Return status and first words of an answer that is no success, without secrets."""
    said = hidden(" ".join(answer.body.decode(errors="replace").split()))[:_SHOWN]
    advice = "; it moved: give the new address" if answer.status in _MOVED else ""
    words = f"{answer.status} {answer.reason}".strip() + (f": {said}" if said else "")
    return hidden(words) + advice
