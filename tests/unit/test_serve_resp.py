"""Reading requests and writing replies, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import encode as request_bytes

from fastbench.serve.resp import (
    LARGE_BYTES,
    NA,
    OK,
    CommandError,
    Reply,
    Request,
    RequestError,
    RequestReader,
    encode,
)

words = st.one_of(
    st.binary(max_size=40),
    st.integers(-3, 3).map(lambda extra: bytes([65]) * (LARGE_BYTES + extra)),
)


def feed(reader: RequestReader, data: bytes) -> list[list[bytes]]:
    """Give ``data`` to a reader as a connection does, and return the requests as bytes."""
    found: list[Request] = []
    while data:
        buffer = reader.buffer()
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        found += reader.received(size)
        data = data[size:]
    return [[bytes(word) for word in request] for request in found]


@given(st.lists(st.lists(words, min_size=1, max_size=6), max_size=4), st.data())
def test_split_anywhere(requests: list[list[bytes]], data: st.DataObject) -> None:
    """Requests are the same whatever pieces their bytes arrive in."""
    stream = b"".join(request_bytes(*request) for request in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = RequestReader()
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += feed(reader, stream[begin:end])

    assert requests == found


def test_byte_by_byte() -> None:
    """A request is found at its last byte and not before."""
    stream = request_bytes("AI.TENSORSET", "t", "FLOAT", "BLOB", b"\r\n*1")
    reader = RequestReader()

    assert feed(reader, stream[:-1]) == []
    assert feed(reader, stream[-1:]) == [[b"AI.TENSORSET", b"t", b"FLOAT", b"BLOB", b"\r\n*1"]]


def test_large_arguments_are_not_copied() -> None:
    """A tensor is received into the memory that the command gets."""
    reader = RequestReader()
    size = 10 * LARGE_BYTES
    feed(reader, b"*2\r\n$3\r\nSET\r\n$%d\r\n" % size)
    buffer = reader.buffer()
    buffer[:4] = b"abcd"
    (request,) = reader.received(len(buffer))
    buffer[0] = ord("X")

    assert size + 2 == len(buffer)
    assert isinstance(request[1], memoryview)
    assert bytes(request[1][:4]) == b"Xbcd"


def test_inline_commands() -> None:
    """What is typed into netcat is a request too; empty lines and arrays are none."""
    stream = b"PING\r\nECHO  a\n\r\n*0\r\n*-1\r\nQUIT\r\n"

    assert feed(RequestReader(), stream) == [[b"PING"], [b"ECHO", b"a"], [b"QUIT"]]


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*99999999\r\n", "invalid multibulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$600000000\r\n", "invalid bulk length"),
        (b"a" * 70000, "too big inline request"),
    ],
)
def test_malformed(stream: bytes, error: str) -> None:
    """Bytes that are no request are refused with Redis' words."""
    with pytest.raises(RequestError) as raised:
        feed(RequestReader(), stream)

    assert error == str(raised.value)


@pytest.mark.parametrize(
    ("reply", "resp2", "resp3"),
    [
        (OK, b"+OK\r\n", None),
        (NA, b"+NA\r\n", None),
        (CommandError("ERR two\nlines"), b"-ERR two lines\r\n", None),
        (b"ab\r\n", b"$4\r\nab\r\n\r\n", None),
        (memoryview(b"abc"), b"$3\r\nabc\r\n", None),
        (-7, b":-7\r\n", None),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (1.0, b"$1\r\n1\r\n", b",1\r\n"),
        (float("inf"), b"$3\r\ninf\r\n", b",inf\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        ([1, [b"x"], OK], b"*3\r\n:1\r\n*1\r\n$1\r\nx\r\n+OK\r\n", None),
        ({"proto": 3}, b"*2\r\n$5\r\nproto\r\n:3\r\n", b"%1\r\n$5\r\nproto\r\n:3\r\n"),
    ],
)
def test_encode(reply: Reply, resp2: bytes, resp3: bytes | None) -> None:
    """Every kind of reply in both versions of the protocol; None = the same bytes."""
    old: list[bytes | memoryview] = []
    new: list[bytes | memoryview] = []
    encode(reply, old)
    encode(reply, new, resp3=True)

    assert resp2 == b"".join(old)
    assert (resp3 or resp2) == b"".join(new)
