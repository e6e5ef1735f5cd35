"""The HTTP reader of the engine against httptools (llhttp, of Node.js) on the same bytes.

Both are given the replies to requests with a body. What httptools calls a message with a status
below 200 is interim, which the engine skips; a body that ends with the connection ends in neither
until then. Behind a reply that closes the connection nothing is read.

Where one of them refuses what the other reads, see :func:`test_damage_is_framed_alike`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbench._wire import HttpReader
from fastbench.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

OK, ERROR = 0, 1

# ---- replies as bytes, made here without either reader ----------------------------------------

TOKEN = st.text("abcdefXYZ-0129!#$%&'*+.^_`|~", min_size=1, max_size=8).map(str.encode)
VALUE = st.text('abc XYZ09:;,/="\t()-', max_size=12).map(lambda text: text.strip().encode())
BODY = st.binary(max_size=40)
STATUS = st.sampled_from([200, 201, 299, 302, 400, 404, 418, 500, 503, 599])
REASON = st.sampled_from([b"", b" ", b" OK", b" Not Found", b" I'm a teapot"])
PLAIN = st.tuples(TOKEN, VALUE).map(lambda pair: b"X-%b: %b\r\n" % pair)
FIELDS = st.lists(PLAIN, max_size=3).map(b"".join)
CLOSES = st.sampled_from([b"", b"", b"", b"Connection: close\r\n", b"connection: x, CLOSE\r\n"])
LENGTH = st.sampled_from([b"Content-Length: ", b"content-length:", b"CONTENT-LENGTH:\t "])
CODING = st.sampled_from([b"chunked", b"gzip, chunked", b"CHUNKED"])


@st.composite
def fixed(draw: st.DrawFn) -> bytes:
    """Return a reply whose head says how long its body is."""
    body = draw(BODY)
    head = b"HTTP/1.1 %d%b\r\n" % (draw(STATUS), draw(REASON))
    length = b"%b%d\r\n" % (draw(LENGTH), len(body))
    return head + draw(FIELDS) + length + draw(CLOSES) + b"\r\n" + body


def chunk(body: bytes, extension: bytes) -> bytes:
    """Return one chunk; an empty body makes the last one."""
    return b"%x%b\r\n" % (len(body), extension) + (body and body + b"\r\n")


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    """Return a reply in chunks, some with extensions, with or without a trailer."""
    extensions = st.sampled_from([b"", b"", b";x", b";name=value", b';q="a"'])
    bodies = [*draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4)), b""]
    head = b"HTTP/1.1 %d%b\r\n" % (draw(STATUS), draw(REASON))
    coding = b"Transfer-Encoding: %b\r\n" % draw(CODING)
    parts = [chunk(body, draw(extensions)) for body in bodies]
    return (
        head + draw(FIELDS) + coding + draw(CLOSES) + b"\r\n" + b"".join(parts) + draw(FIELDS)
        + b"\r\n"
    )  # fmt: skip


@st.composite
def empty(draw: st.DrawFn) -> bytes:
    """Return a reply that never has a body, or an interim one."""
    status = draw(st.sampled_from([204, 304, 100, 102, 103]))
    return b"HTTP/1.1 %d%b\r\n" % (status, draw(REASON)) + draw(FIELDS) + b"\r\n"


OLD = st.sampled_from([b"", b"Connection: keep-alive\r\n"]).map(
    lambda field: b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n%b\r\nhi" % field
)
STREAMS = st.lists(st.one_of(fixed(), chunked(), empty(), OLD), max_size=4).map(b"".join)
PLACES = st.lists(st.integers(0, 10_000), max_size=6)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return data in pieces, cut at the places that lie within it."""
    ends = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(ends)]


# ---- what each of them says: (offset behind the reply, status, whether it is the last) ---------


class Oracle:
    """httptools; what it says of each final reply, fed byte by byte."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.offset = 0
        self.found: list[tuple[int, int, bool]] = []

    def on_message_complete(self) -> None:
        """Note a final reply, which ends with the byte that is being fed."""
        status = self.parser.get_status_code()
        if status >= 200:
            last = not self.parser.should_keep_alive()
            self.found.append((self.offset, status, last))

    def read(self, data: bytes) -> list[tuple[int, int, bool]]:
        """Return what is found up to the first reply that closes, or up to what it refuses."""
        for byte in data:
            self.offset += 1
            self.parser.feed_data(bytes([byte]))
            if self.found and self.found[-1][2]:
                break
        return self.found


def ours(data: bytes) -> list[tuple[int, int, bool]]:
    """Return the same as the engine's reader sees it; statuses from its error classes."""
    reader, found = HttpReader(), []
    for byte in data:
        for end, outcome, kind, _, last in reader.feed(bytes([byte])):
            assert (outcome == OK) == (kind == "")
            found.append((end, int(kind.removeprefix("HTTP ") or 200), last))
        if found and found[-1][2]:
            break
    return found


def all_2xx_alike(found: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    """Return it with 200 for every success, of which the engine keeps no number."""
    return [(end, 200 if status < 300 else status, last) for end, status, last in found]


# ---- tests ------------------------------------------------------------------------------------


@given(stream=STREAMS)
def test_agrees_with_httptools(stream: bytes) -> None:
    """Both end the same replies at the same bytes, with the same status, closing or not."""
    assert ours(stream) == all_2xx_alike(Oracle().read(stream))


@given(stream=STREAMS, places=PLACES)
def test_cuts_change_nothing(stream: bytes, places: list[int]) -> None:
    """What is said of a stream is the same in whichever pieces it came."""
    whole, cut_up = HttpReader(), HttpReader()

    assert [o for piece in cut(stream, places) for o in cut_up.feed(piece)] == whole.feed(stream)


@given(stream=STREAMS, place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_damage_is_framed_alike(stream: bytes, place: int, byte: int) -> None:
    """With one byte changed, whatever both still read ends at the same bytes for both.

    Each refuses some of what the other reads (the engine: blanks before colons, unknown interim
    statuses that are not asked for, folded framing fields; llhttp: e.g. chunk extensions with
    unusual bytes, a second Transfer-Encoding). No reply may end at different places.
    """
    damaged = bytearray(stream)
    if damaged:
        damaged[place % len(damaged)] = byte
    oracle = Oracle()

    try:
        found = ours(bytes(damaged))
        expected = oracle.read(bytes(damaged))
    except (ProtocolError, httptools.HttpParserError):
        return

    assert found == all_2xx_alike(expected)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.1 2x0 OK\r\n",
        b"ICY 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX y: z\r\n",
        b"HTTP/1.1 200 OK\r\n: z\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n",
    ],
)
def test_both_refuse(head: bytes) -> None:
    """What is no reply, or one that could be read in two ways, is refused by both."""
    with pytest.raises(ProtocolError):
        HttpReader().feed(head)
    with pytest.raises(httptools.HttpParserError):
        Oracle().read(head)


def test_error_says_what_the_server_said() -> None:
    """An error has the class of its status, and the first line of its body in its text."""
    data = b'HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n{"error": "no model"}'

    [(end, outcome, kind, text, last)] = HttpReader().feed(data)

    assert (end, outcome, kind, last) == (len(data), ERROR, "HTTP 404", False)
    assert text == '404 Not Found: {"error": "no model"}'


def test_head_has_no_body() -> None:
    """The reply to HEAD ends with its head."""
    assert len(HttpReader(head=True).feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) == 1


def test_body_that_ends_with_the_connection() -> None:
    """Only the end of the connection ends a body without a length."""
    reader = HttpReader()

    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nabc") == []
    assert reader.end() == (22, OK, "", "", True)
    assert reader.end() is None
