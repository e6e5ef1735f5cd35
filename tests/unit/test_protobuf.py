"""Protobuf by hand against protobuf's own library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oip_protobuf import oip, parsed

from fastbench.errors import ProtocolError
from fastbench.servers.protobuf import (
    chunk,
    chunk_head,
    fields,
    integer,
    integer_head,
    integers,
    packed,
    varint,
)

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(name=st.text(max_size=300), shape=st.lists(INT64, max_size=20))
def test_written_as_the_library_writes(name: str, shape: list[int]) -> None:
    """Strings and packed integers have the same bytes; what is empty is left out."""
    ours = (chunk(1, name) if name else b"") + packed(3, tuple(shape))

    assert ours == oip("TensorMetadata", name=name, shape=shape).SerializeToString()


@given(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1))
def test_integers_as_the_library_writes(count: int, ns: int) -> None:
    """Integers up to 64 bits have the same bytes."""
    ours = integer(1, count) + integer(2, ns)

    assert ours == oip("Duration", count=count, ns=ns).SerializeToString()


@given(st.integers(0, 2**35 - 1), st.integers(1, 10))
def test_integers_that_are_drawn_out(value: int, width: int) -> None:
    """Zeros after the last group change the length, and not what the library reads."""
    ours = varint(value, width)

    assert len(ours) == max(width, len(varint(value)))
    assert parsed("Duration", integer(1, 7) + integer_head(2) + ours) == oip(
        "Duration", count=7, ns=value
    )


@given(st.binary(max_size=400))
def test_head_of_a_chunk(data: bytes) -> None:
    """A head and the bytes after it are the field."""
    assert chunk_head(7, len(data)) + data == chunk(7, data)


@given(
    name=st.text(max_size=50),
    shape=st.lists(INT64, max_size=9),
    floats=st.lists(st.floats(width=32, allow_nan=False), max_size=5),
)
def test_read_as_the_library_wrote(name: str, shape: list[int], floats: list[float]) -> None:
    """Whatever the library writes is read back, field by field."""
    message = oip("Tensor", name=name, shape=shape, contents={"fp32_contents": floats})
    found = dict(fields(message.SerializeToString()))

    assert found.get(1, b"") == name.encode()
    assert list(integers(found.get(3, b""))) == shape
    assert isinstance(found[5], bytes)
    assert list(parsed("Contents", found[5]).fp32_contents) == floats


def test_fixed_widths_are_passed_by() -> None:
    """Fields of four and of eight bytes are bytes; what follows them is found."""
    data = b"\x0d\1\2\3\4" + b"\x11\1\2\3\4\5\6\7\10" + integer(3, 5)

    assert list(fields(data)) == [(1, b"\1\2\3\4"), (2, b"\1\2\3\4\5\6\7\10"), (3, 5)]


def test_one_integer_where_many_may_be() -> None:
    """An integer that is not packed is read too, and has its sign."""
    assert list(integers(2**64 - 1)) == [-1]
    assert list(integers(varint(-1) + varint(3))) == [-1, 3]


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x08\x80", b"\x0a\x05abc", b"\x0b", b"\x0d\1\2", b"\xff" * 11]
)
def test_what_is_no_message(data: bytes) -> None:
    """Bytes that are cut short, or of an unknown kind, are refused."""
    with pytest.raises(ProtocolError, match="protobuf"):
        list(fields(data))


@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are fields or refused, nothing else."""
    try:
        list(fields(data))
    except ProtocolError as error:
        assert str(error)  # noqa: PT017 - either way is right
