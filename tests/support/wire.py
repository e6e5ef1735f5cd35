"""A Redis client that compares bytes, and the embedded server in a thread to use it on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from fastbench.serve.server import Listen, Server
from fastbench.serve.state import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60.0

Words = tuple[str | float | bytes, ...]


class Wire:
    """One connection; words may be text, numbers or bytes."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *words: str | float | bytes) -> None:
        """Send one request."""
        self.send_raw(encode(*words))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def receive(self, size: int) -> bytes:
        """Receive exactly ``size`` bytes, fewer at the end of the connection."""
        data = b""
        while len(data) < size and (piece := self._socket.recv(size - len(data))):
            data += piece
        return data

    def line(self) -> bytes:
        """Receive one line, without its end."""
        data = b""
        while not data.endswith(b"\r\n"):
            data += self.receive(1)
        return data[:-2]

    def ask(self, *words: str | float | bytes) -> bytes:
        """Send one request and return all that comes back, up to an echo sent behind it."""
        self.send(*words)
        return self.until_echo()

    def until_echo(self) -> bytes:
        """Return all bytes up to the reply of an ECHO that is sent now."""
        mark = b"$11\r\n-- echoed -\r\n"
        self.send("ECHO", "-- echoed -")
        data = b""
        while not data.endswith(mark):
            piece = self._socket.recv(1 << 20)
            if not piece:
                return data
            data += piece
        return data.removesuffix(mark)

    def is_silent(self) -> bool:
        """Tell whether nothing has arrived so far."""
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) is None
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(TIMEOUT_S)


def encode(*words: str | float | bytes) -> bytes:
    """Return a request as clients send it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def reply(*lines: str) -> bytes:
    """Return lines as they stand on the wire."""
    return b"".join(line.encode("latin-1") + b"\r\n" for line in lines)


def check(wire: Wire, words: Words, *lines: str) -> None:
    """Send words and compare all that comes back."""
    assert reply(*lines) == wire.ask(*words), words


@contextlib.contextmanager
def server_in_thread(folder: Path, password: str | None = None) -> Iterator[Path]:
    """Run a server in a thread; yields the path of its socket."""
    path = folder / "socket"
    settings = Settings(intra_op=1, password=password)
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = Server(Listen(unix=str(path), settings=settings))
        await server.start()
        ready.set()
        await stop.wait()
        assert server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(TIMEOUT_S)
        yield path
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(TIMEOUT_S)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
