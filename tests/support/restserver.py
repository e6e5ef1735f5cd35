"""A real HTTP/1.1 server, Python's own, that answers as a test wants; and requests to it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastbench.plan import PROTOCOL_HTTP, Message, Payload, Stream, Text

if TYPE_CHECKING:
    from typing import Self

    from fastbench.plan import Data

BODY = b"0123456789"


@dataclass
class Behaviour:
    """How it answers.

    ``close_every``: it says that it closes after so many on a connection, and
    closes; ``drop_every``: it closes without a word instead of the answer. ``fail_every``: so
    many of all requests are answered with 503. ``framing``: length, chunked or end. ``farewell``:
    it ends TLS before it closes.
    """

    delay_s: float = 0.0
    close_every: int = 0
    drop_every: int = 0
    fail_every: int = 0
    framing: str = "length"
    farewell: bool = True


@dataclass
class Seen:
    """What it was asked: requests, connections, and how often each body came, by its SHA-256."""

    requests: int = 0
    connections: int = 0
    bodies: Counter[str] = field(default_factory=Counter)
    heads: list[dict[str, str]] = field(default_factory=list)


class HttpServer:
    """The server, in threads of this process; use as a context manager."""

    def __init__(
        self, behaviour: Behaviour | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen on a free port; ``tls``: over TLS."""
        self.seen, self.lock = Seen(), threading.Lock()
        how = behaviour or Behaviour()
        self._server = _Server(("127.0.0.1", 0), _handler(self, how))
        self._server.farewell = how.farewell
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address: tuple[str, int] = ("127.0.0.1", self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join(30)
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # connections may outlive the test that made them
    request_queue_size = 128
    farewell = True

    def shutdown_request(self, request: Any) -> None:
        if isinstance(request, ssl.SSLSocket) and self.farewell:
            with contextlib.suppress(OSError):
                request.settimeout(10)
                request.unwrap()
        super().shutdown_request(request)

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Say nothing: a client that goes away in the middle is what some tests are about."""


def _handler(owner: HttpServer, how: Behaviour) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        answered = 0

        def setup(self) -> None:
            super().setup()
            with owner.lock:
                owner.seen.connections += 1

        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with owner.lock:
                owner.seen.requests += 1
                number = owner.seen.requests
                owner.seen.bodies[hashlib.sha256(body).hexdigest()] += 1
                owner.seen.heads.append(dict(self.headers))
            self.answered += 1
            time.sleep(how.delay_s)
            if how.drop_every and self.answered % how.drop_every == 0:
                self.close_connection = True
                return
            self.answer(bool(how.fail_every) and number % how.fail_every == 0)

        def answer(self, fails: bool) -> None:
            self.send_response(503 if fails else 200)
            body = b"too busy\r\nsorry" if fails else BODY
            if (how.close_every and self.answered % how.close_every == 0) or how.framing == "end":
                self.close_connection = True
            if how.framing == "length":
                self.send_header("Content-Length", str(len(body)))
            elif how.framing == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                body = b"4;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (
                    *(body[:4], len(body) - 4),
                    body[4:],
                )
            if self.close_connection and how.framing != "end":
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    return Handler


def post_message(body: bytes = b"hi", row_bytes: int = 0) -> Message:
    """Return a POST of ``body``, or of one row of ``row_bytes`` of the dataset."""
    length = row_bytes or len(body)
    head = f"POST /x HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n".encode()
    parts = (Text(head), Payload(1)) if row_bytes else (Text(head + body),)
    return Message(parts, replies=1)


def http_stream(
    server: HttpServer,
    *,
    connections: int = 1,
    pipeline: int = 1,
    data: Data | None = None,
    **more: Any,
) -> Stream:
    """Return the stream that posts to ``server``."""
    return Stream(
        addresses=(server.address,),
        connections=connections,
        pipeline=pipeline,
        messages=(post_message(row_bytes=data.row_bytes if data else 0),),
        data=() if data is None else (data,),
        protocol=PROTOCOL_HTTP,
        **more,
    )
