"""A RESP server that does what a script says: delays, splits, faults and lies, each on purpose.

It runs in a thread of its own, on a free loopback port or a unix socket. Each connection answers
its requests one after another, as a server does. What arrived, when, and when it was answered is
kept, on the clock that the engine uses: the tests compare the engine's books with these.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

_WAIT_S = 60.0
OK = b"+OK\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``connection`` and ``number`` on it count from 0, ``total`` over the server."""

    connection: int
    number: int
    total: int
    words: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """Send ``data`` in ``pieces``, ``after_s`` seconds after the request or the reply before.

    ``then``: what becomes of the connection: ``keep``, ``close`` (orderly), ``reset`` (RST) or
    ``die`` (the whole server resets every connection and listens no more).
    """

    data: bytes = OK
    after_s: float = 0.0
    pieces: int = 1
    then: str = "keep"


SILENCE = Reply(b"")  # the request is read and never answered

#: What to do with a request.
Script = Callable[[Request], Reply]


@dataclass(frozen=True, slots=True)
class Welcome:
    """What happens to a connection at accept: bytes sent unasked, then keep, close, reset or deaf.

    ``deaf``: nothing is ever read from it.
    """

    data: bytes = b""
    then: str = "keep"


@dataclass(slots=True)
class Seen:
    """One request in the books; instants are CLOCK_MONOTONIC nanoseconds, 0 = never answered."""

    connection: int
    name: bytes
    arrived_ns: int
    answered_ns: int = 0


@dataclass(slots=True)
class Heard:
    """All bytes that one connection sent."""

    bytes: int = 0
    sha: hashlib._Hash = field(default_factory=hashlib.sha256)


def always(reply: Reply) -> Script:
    """Return a script that gives every request the same reply."""
    return lambda _: reply


def in_turn(replies: Sequence[Reply]) -> Script:
    """Return a script that gives replies in turn, over the whole server, then from the start."""
    return lambda request: replies[request.total % len(replies)]


class FakeServer:
    """Listens while it is entered; ``address`` is what a :class:`fastbench.plan.Stream` takes."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        unix: Path | None = None,
        welcome: Callable[[int], Welcome] = lambda _: Welcome(),
    ) -> None:
        self.script = script or always(Reply())
        self.welcome = welcome
        self.requests: list[Seen] = []
        self.heard: list[Heard] = []
        self.address: tuple[str, int] | str = ("", 0)
        self._unix = unix
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-server")
        self._listener: socket.socket
        self._attaching: list[asyncio.Task[object]] = []
        self._open: set[_Connection] = set()
        self._made: list[_Connection] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_S)
        self._loop.close()

    def die(self) -> None:
        """Reset every connection and listen no more. Any thread."""
        self._loop.call_soon_threadsafe(self._die)

    def answered(self, name: bytes | None = None) -> list[Seen]:
        """Return the requests (of that name) that were answered, in order of arrival."""
        return [s for s in self.requests if s.answered_ns and name in {None, s.name}]

    def _call(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_WAIT_S)

    async def _listen(self) -> None:
        # By its protocol asyncio knows where to turn off Nagle's algorithm.
        family, protocol = (
            (socket.AF_UNIX, 0) if self._unix else (socket.AF_INET, socket.IPPROTO_TCP)
        )
        self._listener = socket.socket(family, socket.SOCK_STREAM, protocol)
        self._listener.setblocking(False)
        self._listener.bind(str(self._unix) if self._unix else ("127.0.0.1", 0))
        self._listener.listen(1024)
        self.address = self._listener.getsockname()
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Take one connection: with asyncio's own listener, it could get lost at its closing."""
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return
        accepted.setblocking(False)
        attaching = self._loop.connect_accepted_socket(lambda: _Connection(self), accepted)
        self._attaching.append(self._loop.create_task(attaching))

    async def _end(self) -> None:
        self._die()
        await asyncio.gather(*self._attaching)
        self._die()
        for connection in self._made:
            connection.task.cancel()
        await asyncio.gather(*(c.task for c in self._made), return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the next turn

    def _die(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for connection in list(self._open):
            connection.end("reset")


class _Connection(asyncio.Protocol):
    """One client: requests go into a queue, a task answers them in order."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._transport: asyncio.Transport = None
        self._buffer = bytearray()
        self._queue: asyncio.Queue[tuple[Reply, Seen]] = asyncio.Queue()
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._index = len(self._server.heard)
        self._server.heard.append(Heard())
        self._server._open.add(self)
        self._server._made.append(self)
        self.task = asyncio.get_running_loop().create_task(self._answer())
        welcome = self._server.welcome(self._index)
        self._transport.write(welcome.data)
        if welcome.then == "deaf":
            self._transport.pause_reading()
        elif welcome.then != "keep":
            self.end(welcome.then)

    def connection_lost(self, _: Exception | None) -> None:
        self._server._open.discard(self)
        self.task.cancel()

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        heard = self._server.heard[self._index]
        heard.bytes += len(data)
        heard.sha.update(data)
        self._buffer += data
        end = 0
        while (parsed := parse(self._buffer, end)) is not None:
            words, end = parsed
            seen = Seen(self._index, words[0], now_ns)
            request = Request(self._index, self._number, len(self._server.requests), words)
            self._number += 1
            self._server.requests.append(seen)
            self._queue.put_nowait((self._server.script(request), seen))
        del self._buffer[:end]

    def end(self, how: str) -> None:
        """Close, reset or keep the connection; ``die`` ends the server."""
        if how == "die":
            self._server._die()
        elif how == "close":
            self._transport.close()
        elif how == "reset":
            linger = struct.pack("ii", 1, 0)
            sock = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    async def _answer(self) -> None:
        while True:
            reply, seen = await self._queue.get()
            if reply.after_s:
                await asyncio.sleep(reply.after_s)
            if reply.data:
                await self._send(reply, seen)
            self.end(reply.then)

    async def _send(self, reply: Reply, seen: Seen) -> None:
        """Send in pieces; the last one answers, so the instant is taken just before it."""
        step = -(-len(reply.data) // reply.pieces)
        pieces = [reply.data[i : i + step] for i in range(0, len(reply.data), step)]
        for piece in pieces[:-1]:
            self._transport.write(piece)
            await asyncio.sleep(0.0005)
        seen.answered_ns = time.monotonic_ns()
        self._transport.write(pieces[-1])


def parse(buffer: bytearray, at: int) -> tuple[tuple[bytes, ...], int] | None:
    """Return the words of the request at ``at`` and where the next begins; None = not all there."""
    head = buffer.find(b"\r\n", at)
    if head < 0:
        return None
    assert buffer[at : at + 1] == b"*", bytes(buffer[at : at + 60])
    words = []
    place = head + 2
    for _ in range(int(buffer[at + 1 : head])):
        end = buffer.find(b"\r\n", place)
        if end < 0:
            return None
        assert buffer[place : place + 1] == b"$", bytes(buffer[place : place + 60])
        begin = end + 2
        place = begin + int(buffer[place + 1 : end]) + 2
        if place > len(buffer):
            return None
        assert buffer[place - 2 : place] == b"\r\n", bytes(buffer[place - 60 : place])
        words.append(bytes(buffer[begin : place - 2]))
    return tuple(words), place
