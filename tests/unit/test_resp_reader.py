"""The RESP reader of the engine against hiredis on the same bytes.

Where the reader differs from hiredis on purpose, and who is right by the specification:

* ``!`` (blob error) is read; hiredis does not know the type.
* ``|`` (attribute) is skipped; hiredis hands it out as a reply or an element of its own, which
  shifts everything behind it. Attributes have a test of their own here.
* ``>`` (push) is skipped between replies and refused inside one; hiredis accepts it anywhere.
* The two bytes behind a bulk string must be CR LF; hiredis skips them unseen.
* A verbatim string's body is skipped unseen; hiredis looks for the ":" behind its format. Both
  want four bytes at least, but the engine says so at the length.
* A length of -1 is null only in ``$-1`` and ``*-1``; hiredis accepts it for every type.
* A big number has at least one digit, and ``#`` is followed by ``t`` or ``f``; hiredis accepts
  none, and capital letters.
* ``(+1`` is a number; hiredis refuses the sign. A double may be too large for a C double.
* CR, LF or a wrong byte in a big number, inside a line, is refused at once; hiredis waits for
  the line's end.
* The limits of nesting, of line lengths and of bulk lengths differ; no example comes near them.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

import hiredis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastbench._wire import ReplyReader
from fastbench.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

OK, ERROR = 0, 1
MORE = object()

# ---- replies as bytes, made here without either reader ----------------------------------------

INT64 = st.integers(-(2**63), 2**63 - 1)
LINE = st.binary(max_size=12).map(lambda b: bytes(c for c in b if c not in b"\r\n|"))
BODY = st.binary(max_size=24).map(lambda b: b.replace(b"|", b"!"))


def bulk(kind: bytes, body: bytes) -> bytes:
    """Return a string with its length before it."""
    return b"%b%d\r\n%b\r\n" % (kind, len(body), body)


SCALARS = st.one_of(
    st.just(b"+OK\r\n"),
    LINE.map(lambda text: b"+%b\r\n" % text),
    INT64.map(lambda number: b":%d\r\n" % number),
    BODY.map(lambda body: bulk(b"$", body)),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n"]),
    st.floats().map(lambda number: b",%b\r\n" % repr(number).encode()),
    st.integers(-(10**40), 10**40).map(lambda number: b"(%d\r\n" % number),
    BODY.map(lambda body: bulk(b"=", b"txt:" + body)),
)
ERRORS = st.sampled_from([b"ERR", b"WRONGTYPE Operation", b"NA", b"Got invalid: x", b"- y"]).map(
    lambda text: b"-%b\r\n" % text
)


def aggregates(items: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return arrays and sets of items, and maps from distinct numbers to them."""
    lists = st.lists(items, max_size=4)
    return st.one_of(
        lists.map(lambda parts: b"*%d\r\n" % len(parts) + b"".join(parts)),
        lists.map(lambda parts: b"~%d\r\n" % len(parts) + b"".join(parts)),
        lists.map(
            lambda parts: (
                b"%%%d\r\n" % len(parts)
                + b"".join(b":%d\r\n%b" % (key, part) for key, part in enumerate(parts))
            )
        ),
    )


REPLIES = st.recursive(st.one_of(SCALARS, ERRORS), aggregates, max_leaves=8)
PUSHES = st.lists(SCALARS, min_size=1, max_size=3).map(
    lambda parts: b">%d\r\n" % len(parts) + b"".join(parts)
)
STREAMS = st.lists(st.one_of(REPLIES, PUSHES), max_size=5).map(b"".join)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return data in pieces, cut at the places that lie within it."""
    ends = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(ends)]


PLACES = st.lists(st.integers(0, 10_000), max_size=6)


# ---- what hiredis says ------------------------------------------------------------------------


def first_error(reply: object) -> str | None:
    """Return the text of the first error in a reply of hiredis, None without one."""
    if isinstance(reply, hiredis.ReplyError):
        return str(reply)
    if isinstance(reply, dict):
        reply = [part for pair in reply.items() for part in pair]
    if isinstance(reply, list):
        return next((text for item in reply if (text := first_error(item)) is not None), None)
    return None


def expected_outcome(reply: object) -> tuple[int, str, str]:
    """Return what the engine must say of a reply of hiredis: text without control characters."""
    text = first_error(reply)
    if text is None:
        return (OK, "", "")
    shown = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    return (ERROR, shown.split(" ")[0] or "ERR", shown)


class Oracle:
    """hiredis with the same face as the engine's reader."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader(notEnoughData=MORE)

    def feed(self, data: bytes) -> list[tuple[int, str, str]]:
        """Read all of data and return an outcome for each reply that ended, pushes left out."""
        self.reader.feed(data)
        outcomes = []
        while (reply := self.reader.gets()) is not MORE:
            if not isinstance(reply, hiredis.PushNotification):
                outcomes.append(expected_outcome(reply))
        return outcomes


# ---- tests ------------------------------------------------------------------------------------


@given(stream=STREAMS, places=PLACES)
def test_agrees_with_hiredis(stream: bytes, places: list[int]) -> None:
    """Both end the same replies in each piece, and find the same errors inside them."""
    ours, theirs = ReplyReader(), Oracle()

    for piece in cut(stream, places):
        assert ours.feed(piece) == theirs.feed(piece)


@given(stream=STREAMS)
def test_replies_end_at_the_same_byte(stream: bytes) -> None:
    """Fed byte by byte, a reply ends with the same byte for both, and ends there at all."""
    ours, theirs = ReplyReader(), Oracle()

    for place in range(len(stream)):
        byte = stream[place : place + 1]
        assert ours.feed(byte) == theirs.feed(byte), place


@given(stream=STREAMS, places=PLACES)
def test_cuts_change_nothing(stream: bytes, places: list[int]) -> None:
    """The outcomes of a stream are the same in whichever pieces it came."""
    whole, cut_up = ReplyReader(), ReplyReader()

    assert [o for piece in cut(stream, places) for o in cut_up.feed(piece)] == whole.feed(stream)


#: Texts of hiredis where it refuses what the engine reads, see above.
ONLY_THEY_REFUSE = re.compile(
    r'got "!" as reply type|Verbatim string|Bad double value|Bad bignum value'
)
#: Texts of the engine where it refuses, or refuses sooner, what hiredis reads, see above.
ONLY_WE_REFUSE = re.compile(
    r"string of the given length should end|push message inside|has a CR or LF inside"
    r"|length is not a number >= 0: [%~>=!]-1$|length is not a number >= 0: [%~>=!]-1\D"
    r"|verbatim string of [0-3] bytes|not a value of its type: (#[TF]|\(-?)$|not a big number"
)


def feed_safely(reader: ReplyReader | Oracle, byte: bytes) -> list[tuple[int, str, str]] | str:
    """Return what a reader says of a byte, a protocol error as its text."""
    try:
        return reader.feed(byte)
    except (ProtocolError, hiredis.ProtocolError) as error:
        return str(error)
    except TypeError:  # a reply that Python cannot hold: a map with a list as a key
        assume(False)
        raise


def without_maps(said: object, stream: bytes) -> object:
    """Return what was said, but only the number of replies where a map may have lost a key.

    Damage can make two keys equal, of which a dict keeps one, and with it perhaps an error.
    """
    return len(said) if isinstance(said, list) and b"%" in stream else said


def is_explained(ours: object, theirs: object) -> bool:
    """Whether a difference is one of those that are on purpose."""
    if isinstance(theirs, str) and isinstance(ours, list):
        return ONLY_THEY_REFUSE.search(theirs) is not None
    if isinstance(ours, str) and isinstance(theirs, list):
        return ONLY_WE_REFUSE.search(ours) is not None
    return False


@st.composite
def damaged_streams(draw: st.DrawFn) -> bytes:
    """Return a stream with one byte changed, removed or put in, which is no attribute's."""
    stream = draw(STREAMS.filter(bool))
    place = draw(st.integers(0, len(stream) - 1))
    telling = st.sampled_from([bytes([c]) for c in b"+-:$*_#,(=!%~>\r\n0123456789te."])
    byte = draw(st.one_of(telling, st.binary(min_size=0, max_size=1)))
    damaged = stream[:place] + byte + stream[place + draw(st.integers(0, 1)) :]
    # hiredis would reserve the memory of a huge array at once.
    assume(b"|" not in damaged and not re.search(rb"[*%~>]\d{6}", damaged))
    return damaged


@given(stream=damaged_streams())
def test_damage_is_judged_as_by_hiredis(stream: bytes) -> None:
    """Byte by byte both say "more", the same replies, or "protocol error" at the same place."""
    ours, theirs = ReplyReader(), Oracle()

    for place in range(len(stream)):
        byte = stream[place : place + 1]
        said = feed_safely(ours, byte), feed_safely(theirs, byte)
        if isinstance(said[0], str) and isinstance(said[1], str):
            return
        if without_maps(said[0], stream) != without_maps(said[1], stream):
            assert is_explained(*said), (place, said)
            return


@given(stream=st.binary(max_size=200), places=PLACES)
def test_any_bytes_are_judged_the_same_in_any_pieces(stream: bytes, places: list[int]) -> None:
    """Bytes that are no protocol at all end in the same error or none, however they are cut."""
    whole, cut_up = ReplyReader(), ReplyReader()

    said: object = [o for o in [feed_safely(whole, stream)] if isinstance(o, str)]
    pieces = []
    for piece in cut(stream, places):
        answer = feed_safely(cut_up, piece)
        if isinstance(answer, str):
            pieces.append(answer)
            break

    assert pieces == said


@given(items=st.lists(SCALARS, min_size=1, max_size=4), data=st.data())
def test_attributes_and_pushes_are_not_counted(items: list[bytes], data: st.DataObject) -> None:
    """With attributes before its elements and pushes around it a reply gives the same outcome."""
    attribute = st.sampled_from(
        [b"", b"|1\r\n+ttl\r\n-ERR x\r\n", b"|2\r\n:1\r\n*1\r\n_\r\n+a\r\n+b\r\n"]
    )
    reply = b"*%d\r\n" % len(items) + b"".join(data.draw(attribute) + item for item in items)
    around = data.draw(st.sampled_from([b"", b">2\r\n+message\r\n-ERR x\r\n"]))
    expect = [("*", len(items)), *((chr(item[0]), -1) for item in items)]

    reader = ReplyReader(expect=expect)

    assert reader.feed(around + data.draw(attribute) + reply + around) == [(OK, "", "")]
    assert reader.feed(b"+OK\r\n")[0][1] == "UNEXPECTED"


@pytest.mark.parametrize("number", [0.0, -1.5, 1e300, 5e-324, math.pi, math.inf, -math.inf])
def test_doubles_as_python_writes_them(number: float) -> None:
    """Every spelling that Python gives a double is read as one."""
    assert ReplyReader().feed(b",%b\r\n" % repr(number).encode()) == [(OK, "", "")]


def test_protocol_error_names_the_offset() -> None:
    """The offset counts every byte fed since the reader was made."""
    reader = ReplyReader(replies=2)
    reader.feed(b"+OK\r\n+OK\r\n+O")

    with pytest.raises(ProtocolError, match=r"^byte 15: byte 0x48 does not begin a RESP reply$"):
        reader.feed(b"K\r\nHTTP/1.1")


def test_redisai_words() -> None:
    """A time-out and a missing tensor count as such only where RedisAI is spoken."""
    plain, redisai = ReplyReader(), ReplyReader(redisai=True)
    words = b"+TIMEDOUT\r\n*2\r\n+OK\r\n+NA\r\n"

    assert plain.feed(words) == [(OK, "", ""), (OK, "", "")]
    assert redisai.feed(words) == [(2, "", ""), (ERROR, "NA", "NA")]


@pytest.mark.parametrize("replies", [-1, 0, 2**32])
def test_reader_refuses_a_useless_spec(replies: int) -> None:
    """An inference has between one reply and four billion."""
    with pytest.raises((ValueError, OverflowError)):
        ReplyReader(replies=replies)
