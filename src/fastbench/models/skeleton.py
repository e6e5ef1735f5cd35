"""An ONNX file without its weights: all that is asked of the graph, in a few kilobytes.

A model may be larger than what a small machine wants to hold twice. The file is scanned as what
it is, nested protocol buffers (encoding: protobuf.dev/programming-guides/encoding), and the
numbers of large tensors are left out, without their pages being read at all.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL_BYTES = 1024  # tensors up to this size keep their numbers: shapes, axes

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: Message → its fields that hold messages in which tensors may be (onnx.proto).
_NESTED = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "tensor": {},
}
#: The fields of a tensor that hold its numbers: float, int32, int64, raw, double, uint64.
_NUMBERS = (4, 5, 7, 9, 10, 11)


def read_skeleton(path: Path) -> bytes:
    """Return the file of an ONNX model without the numbers of tensors above SMALL_BYTES.

    Raises :class:`ValueError` where the file is not made of protocol buffers, or truncated;
    OSError where it cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return b"".join(_kept(data, "model", 0, len(data)))


def _kept(data: mmap.mmap, kind: str, start: int, end: int) -> Iterator[bytes]:
    for number, wire, field, body, after in _fields(data, start, end):
        inner = _NESTED[kind].get(number) if wire == _BYTES else None
        if inner:
            nested = b"".join(_kept(data, inner, body, after))
            yield _varint(number << 3 | _BYTES) + _varint(len(nested)) + nested
        elif kind != "tensor" or number not in _NUMBERS or after - body <= SMALL_BYTES:
            yield data[field:after]


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield each field: number, wire type, and where it, its value and the next field begin."""
    while at < end:
        field = at
        tag, at = _read_varint(data, at, end)
        wire, body = tag & 7, at
        if wire == _BYTES:
            length, body = _read_varint(data, at, end)
            at = body + length
        elif wire == _VARINT:
            _, at = _read_varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            msg = f"wire type {wire} at byte {field}"
            raise ValueError(msg)
        if at > end or not tag >> 3:
            msg = f"field at byte {field} is not whole"
            raise ValueError(msg)
        yield tag >> 3, wire, field, body, at


def _read_varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the last byte has no high bit
            return value, at
    msg = f"number at byte {at} does not end"
    raise ValueError(msg)


def _varint(value: int) -> bytes:
    pieces = bytearray()
    while value > 127:  # noqa: PLR2004 - seven bits at a time
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])
