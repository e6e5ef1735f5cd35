"""The network side of the embedded server: listening, connections, start and stop."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fastbench.errors import FastbenchError, UsageError
from fastbench.serve.resp import CommandError, Reply, Request, RequestError, RequestReader, encode
from fastbench.serve.service import Service
from fastbench.serve.state import Settings, State

if TYPE_CHECKING:
    from fastbench.serve.resp import Argument

# Requests and bytes that one connection may have waiting before it is not read any more.
MAX_WAITING_REQUESTS = 1024
MAX_WAITING_BYTES = 64 * 1024 * 1024
STDIN = 0
BACKLOG = 4096  # connections that may wait to be accepted
JOIN_BYTES = 64 * 1024  # replies up to this size leave in one piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to listen: ``unix`` if given, else TCP; ``port`` 0 = any free one."""

    host: str = "127.0.0.1"
    port: int = 6379
    unix: str | None = None
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        """Refuse to be open to the network without a password."""
        if self.unix is None and self.settings.password is None and not is_loopback(self.host):
            msg = (
                f"--host {self.host} is reachable from other machines: give a password with"
                " --requirepass, or listen on 127.0.0.1"
            )
            raise UsageError(msg)


def is_loopback(host: str) -> bool:
    """Tell whether every address of ``host`` is the loopback interface's.

    Raises :class:`UsageError` when the name is unknown.
    """
    try:
        found = socket.getaddrinfo(host or None, 0, flags=socket.AI_PASSIVE)
    except OSError as e:
        msg = f"--host {host}: {e.strerror or e}"
        raise UsageError(msg) from e
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


class Connection(asyncio.BufferedProtocol):
    """One client: its requests are answered strictly in order, one at a time."""

    def __init__(self, state: State, service: Service) -> None:
        self._state = state
        self._service = service
        self._session = state.new_session()
        self._reader = RequestReader()
        self._waiting: deque[tuple[Request, int] | RequestError] = deque()
        self._waiting_bytes = 0
        self._running: asyncio.Task[Reply] | None = None
        self._writable = True
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what has not begun; a model that runs goes on and nobody hears of it."""
        del exc
        self._state.connections -= 1
        self._waiting.clear()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Let the event loop receive to where the bytes are needed."""
        del sizehint
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received."""
        try:
            for request in self._reader.received(nbytes):
                size = sum(map(len, request))
                self._waiting.append((request, size))
                self._waiting_bytes += size
        except RequestError as e:
            self._waiting.append(e)
            self._waiting_bytes += MAX_WAITING_BYTES + 1  # nothing more is read
        self._advance()

    def pause_writing(self) -> None:
        """Stop answering: the client does not read its replies."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on answering."""
        self._writable = True
        self._advance()

    def _advance(self) -> None:
        """Answer what waits, up to the first command that takes a while."""
        out: list[Argument] = []
        while self._waiting and self._running is None and self._writable:
            entry = self._waiting.popleft()
            if isinstance(entry, RequestError):
                encode(CommandError(f"ERR Protocol error: {entry}"), out)
                self._session.closing = True
            else:
                self._waiting_bytes -= entry[1]
                self._answer(entry[0], out)
            if self._session.closing:
                self._waiting.clear()
            if len(out) > MAX_WAITING_REQUESTS:
                self._write(out)
                out = []
        self._write(out)
        if self._session.closing and self._running is None:
            self._transport.close()
        self._throttle()

    def _answer(self, request: Request, out: list[Argument]) -> None:
        reply = self._service.answer(self._session, request)
        if isinstance(reply, asyncio.Task):
            self._running = reply
            reply.add_done_callback(self._finished)
        else:
            encode(reply, out, resp3=self._session.resp3)

    def _finished(self, task: asyncio.Task[Reply]) -> None:
        self._running = None
        if task.cancelled() or self._transport.is_closing():
            return
        out: list[Argument] = []
        encode(task.result(), out, resp3=self._session.resp3)
        self._write(out)
        self._advance()

    def _write(self, pieces: list[Argument]) -> None:
        """Send the pieces: small ones together, large ones from where they are."""
        small: list[Argument] = []
        for piece in pieces:
            if len(piece) < JOIN_BYTES:
                small.append(piece)
                continue
            self._transport.write(b"".join(small))
            self._transport.write(piece)
            small = []
        if small:
            self._transport.write(b"".join(small))

    def _throttle(self) -> None:
        """Read on only while little waits."""
        if self._transport.is_closing():
            return
        many = len(self._waiting) > MAX_WAITING_REQUESTS or self._waiting_bytes > MAX_WAITING_BYTES
        if many and self._transport.is_reading():
            self._transport.pause_reading()
        elif not many and not self._transport.is_reading():
            self._transport.resume_reading()


class Server:
    """A listening server inside a running event loop."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._state = State(asyncio.get_running_loop(), listen.settings)
        self._service = Service(self._state)
        self._listener: asyncio.Server
        self._connections: set[Connection] = set()

    async def start(self) -> str:
        """Listen; return the address: ``127.0.0.1:PORT`` or ``unix:PATH``.

        Raises :class:`FastbenchError` when the address cannot be had.
        """
        listen = self._listen
        where = f"unix:{listen.unix}" if listen.unix else f"{listen.host}:{listen.port}"
        loop = asyncio.get_running_loop()
        try:
            if listen.unix:
                _refuse_live_socket(listen.unix)
                self._listener = await loop.create_unix_server(
                    self._connect, listen.unix, backlog=BACKLOG
                )
                return where
            self._listener = await loop.create_server(
                self._connect, listen.host, listen.port, backlog=BACKLOG
            )
        except OSError as e:
            msg = f"cannot listen on {where}: {os.strerror(e.errno) if e.errno else e.strerror}"
            raise FastbenchError(msg) from e
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _connect(self) -> Connection:
        return Connection(self._state, self._service)

    def stop(self) -> bool:
        """Stop listening and executing; False when an execution could not be ended."""
        self._listener.close()
        if self._listen.unix:
            Path(self._listen.unix).unlink(missing_ok=True)
        return self._state.stop()


def _refuse_live_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == 0:
            raise OSError(0, "another server is listening there")


def run_server(listen: Listen, *, announce: bool, watch_stdin: bool) -> None:
    """Serve until SIGTERM, SIGINT or, with ``watch_stdin``, the end of stdin.

    ``announce``: one line on stdout says where, when connections are accepted; it goes to
    stderr otherwise. Raises :class:`FastbenchError` when the address cannot be had.
    """
    ended = asyncio.run(_serve(listen, announce=announce, watch_stdin=watch_stdin))
    if not ended:
        # A worker is still inside a backend that cannot be interrupted.
        sys.stderr.flush()
        os._exit(0)


async def _serve(listen: Listen, *, announce: bool, watch_stdin: bool) -> bool:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if watch_stdin:
        _watch_stdin(loop, stop)
    server = Server(listen)
    address = await server.start()
    stream = sys.stdout if announce else sys.stderr
    print(f"fastbench serve: ready on {address}", file=stream, flush=True)
    await stop.wait()
    return server.stop()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def drain() -> None:
        if not os.read(STDIN, 4096):
            stop.set()

    try:
        loop.add_reader(STDIN, drain)
    except OSError as e:
        msg = "--watch-stdin: stdin must be a pipe whose end can be waited for"
        raise UsageError(msg) from e
