"""Rows in shared memory: what servers see of it, and that nothing is left behind."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.sharedmemory import Regions

from fastbench.datasets.rows import Rows
from fastbench.errors import ConnectError, ServerError, UsageError
from fastbench.plan import FORM_BLANKS, FORM_VARINT
from fastbench.servers import shared_memory
from fastbench.servers.shared_memory import (
    EXTENSION,
    Region,
    offset_width,
    shared,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Kept for documentation (RFC 5737): no machine has it.
ELSEWHERE = "192.0.2.1"


class Server:
    """A server that opens what it is told of."""

    def __init__(
        self, host: str = "127.0.0.1", *, busy: int = 0, extensions: tuple[str, ...] = (EXTENSION,)
    ) -> None:
        self.address, self.url, self.extensions = (host, 1), "triton+http://it:1/m", extensions
        self.regions = Regions(busy)
        self.bytes = b""
        self.refusal: Exception | None = None

    def register(self, region: Region) -> None:
        """Open it and remember what is in it."""
        if self.refusal:
            raise self.refusal
        self.regions.register(region.name, region.key, region.size)
        self.bytes = self.regions.read(region.name, 0, region.size)

    def unregister(self, region: Region) -> None:
        """Forget it, or refuse."""
        if self.refusal:
            raise self.refusal
        if not self.regions.unregister(region.name):
            msg = "currently in use"
            raise ServerError(msg)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Return five rows of 12 bytes that begin in the middle of a file."""
    path = tmp_path / "rows"
    path.write_bytes(b"head" + np.arange(15, dtype="<f4").tobytes() + b"tail")
    return Rows(
        data_path=path, data_offset=4, row_bytes=12, rows=5, row_shape=(3,), dtype="float32"
    )


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Check that no test leaves a name behind."""
    before = ours()
    yield
    assert ours() == before


def ours() -> set[str]:
    """Return the names in /dev/shm that this process made."""
    return {path.name for path in Path("/dev/shm").glob(f"fastbench-{os.getpid()}-*")}


def test_servers_see_the_rows(rows: Rows) -> None:
    """Each server has all rows and nothing else; then the name is gone, and at the end the rest."""
    servers = [Server(), Server("::1")]
    with shared(rows, servers) as memory:
        assert [s.bytes for s in servers] == [np.arange(15, dtype="<f4").tobytes()] * 2
        assert not ours()
        assert [s.regions.held for s in servers] == [[memory.region.name]] * 2

    assert [s.regions.held for s in servers] == [[], []]


def test_room_behind_the_rows(rows: Rows) -> None:
    """No answer lies in it, what a server writes is read here, and can be made no answer again."""
    server = Server()
    with shared(rows, [server], room=8) as memory:
        held = (memory.region.size, memory.rows_bytes, server.bytes[60:])
        server.regions.write(memory.region.name, 62, b"abcd")
        written = memory.read(60, 8)
        memory.blank(63, 2)

        assert held == (68, 60, b"\xff" * 8)
        assert written == b"\xff\xffabcd\xff\xff"
        assert server.regions.read(memory.region.name, 56, 12) == (
            rows.array().tobytes()[56:] + b"\xff\xffa\xff\xffd\xff\xff"
        )


def test_forgotten_after_an_error_too(rows: Rows) -> None:
    """Whatever ends the block, the servers forget the region, once they no longer read from it."""
    server = Server(busy=3)
    with pytest.raises(KeyboardInterrupt), shared(rows, [server]):
        raise KeyboardInterrupt

    assert (server.regions.held, server.regions.busy) == ([], 0)


def test_server_that_never_lets_go(
    rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where patience ends, one line says which server holds how much."""
    monkeypatch.setattr(shared_memory, "PATIENCE_S", 0.0)
    with shared(rows, [Server(busy=10)]):
        pass

    assert caplog.messages == [
        "triton+http://it:1/m: still holds 60 bytes of memory: currently in use"
    ]


def test_server_that_is_gone(
    rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nobody listens any more, there is nothing to forget, and nothing to wait for."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = Server()
        server.address = closed.getsockname()
        monkeypatch.setattr(time, "sleep", None)  # it would fail
        with shared(rows, [server]):
            server.refusal = ConnectError("gone")

    assert caplog.messages == []


def test_server_that_is_slow(
    rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that listens and does not answer in time still holds it, and that is told."""
    monkeypatch.setattr(shared_memory, "PATIENCE_S", 0.0)
    monkeypatch.setattr(shared_memory, "_is_gone", lambda _: False)
    server = Server()
    with shared(rows, [server]):
        server.refusal = ConnectError("no answer in time")

    assert caplog.messages == [
        "triton+http://it:1/m: still holds 60 bytes of memory: no answer in time"
    ]


def test_register_without_an_answer(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers too late may have opened it: it is asked to forget."""

    class Slow(Server):
        def register(self, region: Region) -> None:
            super().register(region)
            msg = "no answer in time"
            raise ConnectError(msg)

    monkeypatch.setattr(shared_memory, "_is_gone", lambda _: False)
    server = Slow()
    with pytest.raises(ConnectError), shared(rows, [server]):
        pass

    assert (len(server.regions.seen), server.regions.held) == (1, [])


def test_first_forgets_where_the_second_refuses(rows: Rows) -> None:
    """A refusal names what a server must be able to do, and undoes what was done."""
    first, second = Server(), Server()
    second.refusal = ServerError("Unable to open shared memory region")

    with (
        pytest.raises(ServerError, match=r"Unable to open.*must see this machine's /dev/shm"),
        shared(rows, [first, second]),
    ):
        pass

    assert (first.regions.seen, first.regions.held) != ([], [])
    assert first.regions.held == []


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server(extensions=("binary_tensor_data",)), "does not announce the extension system_sh"),
        (Server(ELSEWHERE), "is on another machine"),
    ],
)
def test_servers_that_cannot(rows: Rows, server: Server, said: str) -> None:
    """A server elsewhere, or without the extension, is told of nothing."""
    with pytest.raises((ServerError, UsageError), match=said), shared(rows, [server]):
        pass

    assert server.regions.seen == []


def test_memory_that_is_full(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory is found before anything is written, and is one line."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    said = "60 bytes of rows and 7 for outputs into /dev/shm: No space"
    with pytest.raises(UsageError, match=said), shared(rows, [], room=7):
        pass


def test_no_shared_memory(rows: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without it says so."""
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "none")
    with pytest.raises(UsageError, match=r"cannot make .*: No such file"), shared(rows, []):
        pass


def test_dataset_that_was_cut_short(rows: Rows) -> None:
    """A file that is shorter than it was is no endless loop."""
    rows.data_path.write_bytes(b"head")
    with pytest.raises(UsageError, match="was cut short"), shared(rows, []):
        pass


@pytest.mark.parametrize(
    ("size", "decimal", "varint"), [(1, 1, 1), (127, 3, 1), (128, 3, 2), (16384, 5, 3)]
)
def test_widths(size: int, decimal: int, varint: int) -> None:
    """The longest offset has room, in digits and in groups of seven bits."""
    region = Region("r", "/r", size)
    widths = [offset_width(region, form) for form in (FORM_BLANKS, FORM_VARINT)]
    assert widths == [decimal, varint]
