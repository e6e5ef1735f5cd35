"""System shared memory: rows lie where the server reads them, and a request only names the place.

Behind the rows there may be room for what the server writes: see ``shared_outputs``.

Source: Triton's extension system_shared_memory of the Open Inference Protocol.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastbench.errors import FastbenchError, ServerError, UsageError
from fastbench.interrupts import deferred
from fastbench.plan import FIELD_ROW, FORM_VARINT, Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.datasets.rows import Rows

EXTENSION = "system_shared_memory"
#: What a tensor in shared memory says of itself.
REGION, BYTES, OFFSET = (f"shared_memory_{what}" for what in ("region", "byte_size", "offset"))
FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux' shm_open looks
PATIENCE_S = 30.0  # until a server that reads from a region forgets it
_PAUSE_S = 0.05
#: What lies where nothing was written: of every type of numbers another than most right answers.
_BLANK = b"\xff"
_AT_ONCE = 1 << 20  # bytes
_GROUP_BITS = 7  # of a varint
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Region:
    """A region of shared memory: its name at the servers, the key by which it is opened, bytes."""

    name: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Memory:
    """A region as it is open here: ``fd``; the rows are its first ``rows_bytes`` bytes."""

    region: Region
    rows_bytes: int
    fd: int

    def read(self, offset: int, size: int) -> bytes:
        """Return what lies there now."""
        return os.pread(self.fd, size, offset)

    def blank(self, offset: int, size: int) -> None:
        """Write there what is no answer."""
        for at in range(offset, offset + size, _AT_ONCE):
            os.pwrite(self.fd, _BLANK * min(_AT_ONCE, offset + size - at), at)


class Registrar(Protocol):
    """One server that can be told of a region."""

    @property
    def address(self) -> tuple[str, int]:
        """Numeric host and port."""
        ...

    @property
    def url(self) -> str:
        """Its target."""
        ...

    @property
    def extensions(self) -> Sequence[str]:
        """What it offers beyond the protocol."""
        ...

    def register(self, region: Region) -> None:
        """Let it open a region. Raises :class:`FastbenchError` where it does not."""
        ...

    def unregister(self, region: Region) -> None:
        """Let it forget a region. Raises :class:`FastbenchError` where it does not."""
        ...


@contextlib.contextmanager
def shared(rows: Rows, servers: Sequence[Registrar], room: int = 0) -> Iterator[Memory]:
    """Put all rows where each server can read them, until the block ends.

    ``room``: bytes behind them for what the servers write; no answer lies there yet. The name in
    /dev/shm goes as soon as all have opened it, so that nothing stays behind there even where this
    process is killed.

    Raises :class:`UsageError` where a server cannot see this machine's memory or there is too
    little of it, :class:`ServerError` where it has not the extension or refuses.
    """
    for server in servers:
        _check(server)
    with contextlib.ExitStack() as stack:
        with _filled(rows, room, stack) as memory:
            for server in servers:
                with deferred():
                    _register(server, memory.region)
                    stack.callback(_forget, server, memory.region)
        yield memory


def offset_field(rows: Rows, batch: int, form: int, region: Region) -> Field:
    """Return where in the region the rows of an inference begin, in bytes."""
    width = offset_width(region, form)
    return Field(FIELD_ROW, width, step=rows.row_bytes, rows=batch, form=form)


def offset_width(region: Region, form: int) -> int:
    """Return the bytes of the longest offset: groups of seven bits in protobuf, else digits."""
    if form == FORM_VARINT:
        return -(-region.size.bit_length() // _GROUP_BITS)
    return len(str(region.size))


def _check(server: Registrar) -> None:
    if EXTENSION not in server.extensions:
        msg = f"{server.url} does not announce the extension {EXTENSION}: leave out --shm"
        raise ServerError(msg)
    if not _is_own(server.address[0]):
        msg = (
            f"--shm: {server.url} is on another machine; shared memory is for a server on this "
            "one: leave out --shm, or run fastbench there"
        )
        raise UsageError(msg)


def _is_own(host: str) -> bool:
    """Tell whether a numeric address is one of this machine: only those can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as found:
        try:
            found.bind((host, 0))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _filled(rows: Rows, room: int, stack: contextlib.ExitStack) -> Iterator[Memory]:
    """Yield a region with all rows, which has its name until the block ends.

    ``stack``: closes it here.
    """
    name = f"fastbench-{os.getpid()}-{secrets.token_hex(4)}"
    rows_bytes = rows.rows * rows.row_bytes
    region = Region(name, f"/{name}", rows_bytes + room)
    path = FOLDER / name
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        msg = f"--shm: cannot make {path}: {error.strerror}"
        raise UsageError(msg) from error
    try:
        stack.callback(os.close, fd)
        memory = Memory(region, rows_bytes, fd)
        _fill(memory, rows)
        yield memory
    finally:
        path.unlink(missing_ok=True)


def _fill(memory: Memory, rows: Rows) -> None:
    size, end = memory.region.size, memory.rows_bytes
    try:
        os.posix_fallocate(memory.fd, 0, size)  # else a full /dev/shm would kill who writes
        with rows.data_path.open("rb") as source:
            done = 0
            while done < end:
                done += os.sendfile(
                    memory.fd, source.fileno(), rows.data_offset + done, end - done
                ) or _truncated(rows)
        memory.blank(end, size - end)
    except OSError as error:
        msg = (
            f"--shm: cannot put {end:,} bytes of rows and {size - end:,} for outputs into "
            f"{FOLDER}: {error.strerror}; leave out --shm, make {FOLDER} larger, or take fewer rows"
        )
        raise UsageError(msg) from error


def _truncated(rows: Rows) -> int:
    msg = f"the dataset {rows.data_path} was cut short: build it again"
    raise UsageError(msg)


def _register(server: Registrar, region: Region) -> None:
    try:
        server.register(region)
    except ServerError as error:
        msg = (
            f"{error}; --shm: the server must see this machine's {FOLDER} (a container: "
            "--ipc=host) and may open what our user makes"
        )
        raise ServerError(msg) from error
    except FastbenchError:  # no answer in time: it may open it all the same
        _forget(server, region)
        raise


def _forget(server: Registrar, region: Region) -> None:
    """Let a server forget a region; it refuses while it reads from it, as it still may.

    A server that is gone has forgotten it; one that does not answer in time has not.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.unregister(region)
        except FastbenchError as error:
            if not isinstance(error, ServerError) and _is_gone(server):
                return
            if time.monotonic() >= end:
                _LOG.warning(
                    "%s: still holds %d bytes of memory: %s", server.url, region.size, error
                )
                return
            time.sleep(_PAUSE_S)
        else:
            return


def _is_gone(server: Registrar) -> bool:
    """Tell whether nobody listens there any more."""
    try:
        socket.create_connection(server.address, PATIENCE_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
