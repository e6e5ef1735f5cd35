"""A local HTTP server that behaves as badly as it is told."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Server(ThreadingHTTPServer):
    """Serves ``pages`` by path, else ``content``, with Range support.

    ``faults`` are used up, one by each request, in order; an empty one is none.
    A fault is ``("break", n)``: send n bytes of the body, then close; ``("status", n)``: answer
    so; ``("ignore range", 0)``; ``("wrong range", 0)``; ``("no length", 0)``; ``("drop", 0)``:
    close at once.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: bytes | None = None
        self.pages: dict[str, bytes] = {}
        self.faults: list[tuple[str, int]] = []
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Keep quiet about clients that hang up."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        """Answer with the content, or with the next fault."""
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        fault, number = self.server.faults.pop(0) if self.server.faults else ("", 0)
        content = self.server.pages.get(self.path, self.server.content)
        first = 0 if wanted is None else int(wanted.removeprefix("bytes=").removesuffix("-"))
        if fault == "drop":
            return
        if content is None:
            self.send_error(404)
            return
        if fault == "status":
            self.send_error(number)
            return
        if fault == "ignore range":
            first = 0
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        if first:
            shown = 1 if fault == "wrong range" else first
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        if fault != "no length":
            self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        end = first + number if fault == "break" else len(content)
        self.wfile.write(content[first:end])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a server on a free port of loopback, past any proxy."""
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
