"""A peer that takes requests of HTTP/1.1 and answers with any bytes, right or wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from typing import Self

    #: Of the request with a number, from 1: what is sent back, and whether the peer then closes.
    Answer = Callable[[int], tuple[bytes, bool]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\0\0\x80?"
HANDSHAKE = b"\x16"  # the first byte of TLS (RFC 8446 5.1)


class RawPeer:
    """Listens on a free port of 127.0.0.1, or on ``port``; use as a context manager.

    ``takes``: the longest body that it reads; it answers a longer one before it is there.
    """

    def __init__(self, answer: Answer, port: int = 0, takes: int = 2**40) -> None:
        self.requests = 0
        self._answer, self.takes = answer, takes
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.place = f"127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(30)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(30)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as incoming:
            while self._read(incoming):
                with self._lock:
                    self.requests += 1
                    number = self.requests
                reply, closes = self._answer(number)
                connection.sendall(reply)
                if closes:
                    connection.shutdown(socket.SHUT_WR)
                    while incoming.read1(65536):  # else what was not read would reset it
                        pass
                    return

    def _read(self, incoming: io.BufferedReader) -> bool:
        """Read one request, or what begins TLS as if it were one; False where there is none."""
        if incoming.peek(1)[:1] == HANDSHAKE:
            return bool(incoming.read1(65536))
        length = 0
        while (line := incoming.readline()) != b"\r\n":
            if not line:
                return False
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return length > self.takes or len(incoming.read(length)) == length
