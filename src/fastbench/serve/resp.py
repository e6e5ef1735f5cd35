"""The Redis serialization protocol, server side and without I/O: read requests, write replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: An argument of a request. Large ones are views of their own memory and were never copied.
Argument: TypeAlias = bytes | memoryview
Request: TypeAlias = list[Argument]

MAX_ARGUMENTS = 1024 * 1024
MAX_ARGUMENT_BYTES = 512 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
LARGE_BYTES = 32 * 1024  # from here on an argument gets memory of its own
SCRATCH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple string reply, e.g. ``+OK``."""

    text: str


class CommandError(Exception):
    """An error reply; the text is the whole line, with ``ERR`` only where RedisAI has it."""


class RequestError(Exception):
    """The client sent bytes that are not a request; the connection ends after this reply."""


Reply: TypeAlias = (
    "Simple | CommandError | bytes | memoryview | int | float"
    " | list[Reply] | dict[str, Reply] | None"
)

OK = Simple("OK")
NA = Simple("NA")
TIMED_OUT = Simple("TIMEDOUT")

# All connections share it: what arrived is taken out before the next connection is read.
_scratch = memoryview(bytearray(SCRATCH_BYTES))


class RequestReader:
    """Turns the bytes of one connection into requests.

    The connection reads into :meth:`buffer` and says how much with :meth:`received`. The body
    of a large argument is received straight into its own memory.
    """

    def __init__(self) -> None:
        self._pending = bytearray()  # received, not understood yet
        self._position = 0  # in _pending
        self._arguments: Request = []
        self._missing = 0  # arguments of the request that are still to come
        self._large: memoryview | None = None  # being received, CR LF included
        self._filled = 0  # bytes of _large

    def buffer(self) -> memoryview:
        """Return the memory that the next bytes are to be received into; never empty."""
        return _scratch if self._large is None else self._large[self._filled :]

    def received(self, size: int) -> Iterator[Request]:
        """Take ``size`` bytes from :meth:`buffer`; yield the requests they completed.

        Raises :class:`RequestError` behind the last good request when bytes are none.
        """
        if self._large is None:
            self._pending += _scratch[:size]
        else:
            self._filled += size
        while (request := self._next()) is not None:
            if request:  # empty lines and empty arrays are ignored, as Redis does
                yield request
        del self._pending[: self._position]
        self._position = 0

    def _next(self) -> Request | None:
        """Return the next whole request, or None when more bytes are needed."""
        if self._missing == 0:
            line = self._line()
            if line is None:
                return None
            if not line.startswith(b"*"):
                return list(line.split())  # an inline command, as typed into netcat
            self._missing = _number(line, MAX_ARGUMENTS, "invalid multibulk length")
        while self._missing:
            argument = self._argument()
            if argument is None:
                return None
            self._arguments.append(argument)
            self._missing -= 1
        request, self._arguments = self._arguments, []
        return request

    def _argument(self) -> Argument | None:
        if self._large is not None:
            return self._large_argument()
        start = self._position
        line = self._line()
        if line is None:
            return None
        if not line.startswith(b"$"):
            msg = f"expected '$', got '{chr(line[0]) if line else ' '}'"
            raise RequestError(msg)
        size = _number(line, MAX_ARGUMENT_BYTES, "invalid bulk length")
        if size >= LARGE_BYTES:
            self._begin_large(size)
            return self._large_argument()
        end = self._position + size
        if len(self._pending) < end + 2:
            self._position = start  # read the length again when the rest is there
            return None
        argument = bytes(self._pending[self._position : end])
        self._position = end + 2
        return argument

    def _begin_large(self, size: int) -> None:
        self._large = np.empty(size + 2, np.uint8).data
        here = self._pending[self._position : self._position + size + 2]
        self._filled = len(here)
        self._large[: self._filled] = here
        self._position += self._filled

    def _large_argument(self) -> memoryview | None:
        if self._large is None or self._filled < len(self._large):
            return None
        argument, self._large = self._large[:-2], None
        return argument

    def _line(self) -> bytes | None:
        end = self._pending.find(b"\n", self._position)
        if end < 0:
            if len(self._pending) - self._position > MAX_LINE_BYTES:
                msg = "too big inline request"
                raise RequestError(msg)
            return None
        line = bytes(self._pending[self._position : end]).removesuffix(b"\r")
        self._position = end + 1
        return line


def _number(line: bytes, limit: int, error: str) -> int:
    digits = line[1:]
    if not digits.isdigit() or int(digits[:12]) > limit:
        if digits == b"-1" and line.startswith(b"*"):
            return 0
        raise RequestError(error)
    return int(digits)


def encode(reply: Reply, out: list[Argument], *, resp3: bool = False) -> None:
    """Append the bytes of ``reply`` to ``out``; large bulk strings are not copied."""
    if isinstance(reply, bytes | memoryview):
        out += (b"$%d\r\n" % len(reply), reply, b"\r\n")
    elif isinstance(reply, list):
        out.append(b"*%d\r\n" % len(reply))
        for element in reply:
            encode(element, out, resp3=resp3)
    elif isinstance(reply, dict):
        out.append(b"%%%d\r\n" % len(reply) if resp3 else b"*%d\r\n" % (2 * len(reply)))
        for key, value in reply.items():
            encode(key.encode(), out, resp3=resp3)
            encode(value, out, resp3=resp3)
    else:
        out.append(_line(reply, resp3=resp3))


def _line(reply: Simple | CommandError | float | None, *, resp3: bool) -> bytes:
    if isinstance(reply, Simple):
        return b"+%s\r\n" % reply.text.encode()
    if isinstance(reply, CommandError):
        return b"-%s\r\n" % _one_line(str(reply)).encode()
    if reply is None:
        return b"_\r\n" if resp3 else b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    text = b"%.17g" % reply
    return b",%s\r\n" % text if resp3 else b"$%d\r\n%s\r\n" % (len(text), text)


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
