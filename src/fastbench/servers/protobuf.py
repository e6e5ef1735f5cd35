"""Protocol buffers by hand: the few fields that a template or a short reply needs.

Source: the encoding of protobuf, https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_64_BITS = (1 << 64) - 1
_LONGEST = 10  # bytes of a varint
_TOP = 0x80  # of a byte that others follow


def varint(value: int, width: int = 1) -> bytes:
    """Return an integer of at most 64 bits; a negative one takes ten bytes, as int64 has it.

    ``width``: bytes that it is drawn out to, by groups of zeros.
    """
    value &= _64_BITS
    out = bytearray()
    while value >= _TOP or len(out) + 1 < width:
        out.append(value & 0x7F | _TOP)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field: int, value: int) -> bytes:
    """Return a field that is an integer or a bool."""
    return integer_head(field) + varint(value)


def integer_head(field: int) -> bytes:
    """Return what stands before the value of such a field."""
    return varint(field << 3 | _VARINT)


def chunk(field: int, data: bytes | str) -> bytes:
    """Return a field that is bytes, a string or a message."""
    content = data.encode() if isinstance(data, str) else data
    return chunk_head(field, len(content)) + content


def chunk_head(field: int, length: int) -> bytes:
    """Return what stands before the ``length`` bytes of such a field."""
    return varint(field << 3 | _BYTES) + varint(length)


def packed(field: int, values: tuple[int, ...]) -> bytes:
    """Return a repeated field of integers, as proto3 packs it; nothing where there are none."""
    return chunk(field, b"".join(varint(value) for value in values)) if values else b""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field in order: an integer, or bytes.

    Raises :class:`ProtocolError` where it is not protobuf, or cut short.
    """
    at = 0
    while at < len(data):
        key, at = _varint_at(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint_at(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint_at(data, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            msg = f"not a protobuf message: a field of wire type {kind}"
            raise ProtocolError(msg)
        if at + length > len(data):
            msg = f"a protobuf message is cut short: {at + length - len(data)} bytes are missing"
            raise ProtocolError(msg)
        yield key >> 3, data[at : at + length]
        at += length


def integers(value: int | bytes) -> Iterator[int]:
    """Yield the signed integers of a repeated field: one, or packed ones."""
    if isinstance(value, int):
        yield _signed(value)
        return
    at = 0
    while at < len(value):
        found, at = _varint_at(value, at)
        yield _signed(found)


def by_field(message: bytes) -> dict[int, list[int | bytes]]:
    """Return the values of each field in order, by its number. Raises as :func:`fields`."""
    found: dict[int, list[int | bytes]] = {}
    for field, value in fields(message):
        found.setdefault(field, []).append(value)
    return found


def content(value: int | bytes) -> bytes:
    """Return the bytes of a string or message. Raises :class:`ProtocolError` for an integer."""
    if isinstance(value, int):
        msg = "not the expected protobuf message: an integer where bytes should be"
        raise ProtocolError(msg)
    return value


def number_in(found: dict[int, list[int | bytes]], field: int) -> int:
    """Return a signed integer of :func:`by_field`, the last as proto3 has it; 0 without one."""
    value = found.get(field, [0])[-1]
    return _signed(value) if isinstance(value, int) else 0


def texts_in(found: dict[int, list[int | bytes]], field: int) -> Iterator[str]:
    """Yield the strings of a repeated field of :func:`by_field`."""
    for value in found.get(field, []):
        yield content(value).decode(errors="replace")


def text_in(found: dict[int, list[int | bytes]], field: int) -> str:
    """Return a string of :func:`by_field`; empty without one."""
    return next(texts_in(found, field), "")


def map_in(found: dict[int, list[int | bytes]], field: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of a map from strings to bytes, strings or messages, in order."""
    for entry in found.get(field, []):
        pair = by_field(content(entry))
        yield text_in(pair, 1), content(pair.get(2, [b""])[-1])


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a place, and the place behind it."""
    value = 0
    for i, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 0x7F) << 7 * i
        if byte < _TOP:
            return value & _64_BITS, at + i + 1
    msg = "not a protobuf message: an integer does not end"
    raise ProtocolError(msg)
