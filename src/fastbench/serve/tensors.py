"""Tensors: AI.TENSORSET and AI.TENSORGET, apart from the keys they live under."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.serve.resp import CommandError
from fastbench.serve.words import Words, integer, upper

if TYPE_CHECKING:
    import numpy.typing as npt

    from fastbench.serve.resp import Argument, Reply, Request

    Array = npt.NDArray[Any]

#: RedisAI's names of element types; strings are kept as Python ``bytes``.
DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT": np.dtype("<f4"),
    "DOUBLE": np.dtype("<f8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "BOOL": np.dtype("?"),
    "STRING": np.dtype("O"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
BYTES_OF_ONE = 1
SHORTEST_SET = 4  # words: name, key, dtype and one more
LONGEST_GET = 4


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An array that is never changed, so that whoever holds it may keep it."""

    array: Array

    @property
    def dtype(self) -> str:
        """RedisAI's name of the element type."""
        return NAMES[self.array.dtype]


def dtype_name(array: Array) -> str:
    """Return RedisAI's name of an array's element type, or raise the error reply."""
    if array.dtype not in NAMES:
        msg = f"ERR unsupported type of output tensor: {array.dtype}"
        raise CommandError(msg)
    return NAMES[array.dtype]


def parse_tensor(words: Words) -> Tensor:
    """Make the tensor that ``dtype [dim ...] [BLOB data | VALUES v ...]`` describes.

    A BLOB is used where it was received, without copying.
    """
    dtype = DTYPES.get(words.keyword())
    if dtype is None:
        msg = "ERR invalid data type"
        raise CommandError(msg)
    words.take()
    shape = []
    while len(words) and words.keyword() not in ("BLOB", "VALUES"):
        shape.append(words.integer("ERR invalid or negative value found in tensor shape", low=1))
    if words.skip("BLOB"):
        return Tensor(_from_blob(dtype, shape, words.rest()))
    if words.skip("VALUES"):
        return Tensor(_from_values(dtype, shape, words.rest()))
    return Tensor(np.full(shape, b"") if dtype.hasobject else np.zeros(shape, dtype))


def _from_blob(dtype: np.dtype[Any], shape: list[int], rest: Request) -> Array:
    if len(rest) != 1:
        msg = (
            "ERR a single binary string should come after the BLOB argument in"
            " 'AI.TENSORSET' command"
        )
        raise CommandError(msg)
    blob = rest[0]
    if dtype.hasobject:
        return _strings(bytes(blob), shape)
    if len(blob) != math.prod(shape) * dtype.itemsize:
        msg = "ERR data length does not match tensor shape and type"
        raise CommandError(msg)
    array = np.frombuffer(blob, dtype).reshape(shape)
    if dtype.kind == "b" and array.size and array.view(np.uint8).max() > BYTES_OF_ONE:
        msg = "ERR BOOL tensor elements must be 0 or 1"
        raise CommandError(msg)
    return array


def _strings(blob: bytes, shape: list[int]) -> Array:
    parts = blob.split(b"\0")
    if len(parts) - 1 != math.prod(shape) or parts[-1]:
        msg = "ERR Number of string elements in data blob does not match tensor length"
        raise CommandError(msg)
    return _objects(parts[:-1], shape)


def _objects(values: list[bytes], shape: list[int]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def _from_values(dtype: np.dtype[Any], shape: list[int], values: Request) -> Array:
    if len(values) != math.prod(shape):
        msg = "ERR wrong number of values was given in 'AI.TENSORSET' command"
        raise CommandError(msg)
    if dtype.hasobject:
        return _objects([bytes(value) for value in values], shape)
    convert = _to_float if dtype.kind == "f" else _to_integer
    return np.array([convert(value, dtype) for value in values], dtype).reshape(shape)


def _to_float(word: Argument, dtype: np.dtype[Any]) -> float:
    try:
        value = float(bytes(word))
    except ValueError:
        raise _invalid_value() from None
    if math.isfinite(value) and abs(value) > np.finfo(dtype).max:
        raise _invalid_value()
    return value


def _to_integer(word: Argument, dtype: np.dtype[Any]) -> int:
    value = integer(word)
    highest = 1 if dtype.kind == "b" else np.iinfo(dtype).max
    # RedisAI refuses negative integers given as VALUES, for signed types too.
    if value is None or not 0 <= value <= highest:
        raise _invalid_value()
    return value


def _invalid_value() -> CommandError:
    return CommandError("ERR invalid value")


@dataclass(frozen=True, slots=True)
class Format:
    """What AI.TENSORGET is to reply: neither ``blob`` nor ``values`` = only the description."""

    meta: bool
    blob: bool
    values: bool


def parse_format(words: Words) -> Format:
    """Read ``[META] [BLOB | VALUES]``; nothing means META BLOB."""
    asked = {upper(word) for word in words.rest()}
    if asked - {"META", "BLOB", "VALUES"}:
        msg = "ERR unsupported data format"
        raise CommandError(msg)
    if {"BLOB", "VALUES"} <= asked:
        msg = "ERR both BLOB and VALUES specified"
        raise CommandError(msg)
    if not asked:
        asked = {"META", "BLOB"}
    return Format("META" in asked, "BLOB" in asked, "VALUES" in asked)


def show_tensor(tensor: Tensor, form: Format) -> Reply:
    """Return the reply of AI.TENSORGET."""
    if not form.meta:
        return _values(tensor) if form.values else _blob(tensor)
    reply: list[Reply] = [b"dtype", tensor.dtype.encode(), b"shape", list(tensor.array.shape)]
    if form.blob:
        reply += [b"blob", _blob(tensor)]
    if form.values:
        reply += [b"values", _values(tensor)]
    return reply


def _blob(tensor: Tensor) -> bytes | memoryview:
    array = tensor.array
    if array.dtype.hasobject:
        return b"".join(value + b"\0" for value in array.flat)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _values(tensor: Tensor) -> list[Reply]:
    array = tensor.array
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    return list(array.reshape(-1).tolist())
