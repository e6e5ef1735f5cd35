"""RESP commands as message parts: lengths known, fields in place, payload by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.plan import Field, Message, Payload, Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbench.plan import Expect

Part = Text | Field | Payload
#: One argument of a command: a value, pieces that follow one another, or dataset rows.
Argument = str | bytes | int | tuple[str | Field, ...] | Payload


def command(*arguments: Argument, row_bytes: int = 0) -> list[Part]:
    """Return the parts of one command, an array of bulk strings.

    ``row_bytes``: of the dataset, for payload arguments.
    """
    parts: list[Part] = [Text(b"*%d\r\n" % len(arguments))]
    for argument in arguments:
        parts += _bulk(argument, row_bytes)
    return parts


def message(
    commands: Iterable[list[Part]], *, replies: int, expect: tuple[Expect, ...] = ()
) -> Message:
    """Return the message that sends the commands one after another."""
    return Message(tuple(_merged(part for cmd in commands for part in cmd)), replies, expect)


def _bulk(argument: Argument, row_bytes: int) -> list[Part]:
    body = _pieces(argument)
    length = sum(_length(part, row_bytes) for part in body)
    return [Text(b"$%d\r\n" % length), *body, Text(b"\r\n")]


def _pieces(argument: Argument) -> list[Part]:
    if isinstance(argument, Payload):
        return [argument]
    if isinstance(argument, str | bytes | int):
        return [Text(_encode(argument))]
    return [p if isinstance(p, Field) else Text(_encode(p)) for p in argument]


def _encode(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _length(part: Part, row_bytes: int) -> int:
    if isinstance(part, Text):
        return len(part.data)
    return part.width if isinstance(part, Field) else part.rows * row_bytes


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Join neighbouring texts: C then sees one run of bytes."""
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, Text) and isinstance(merged[-1], Text):
            merged[-1] = Text(merged[-1].data + part.data)
        else:
            merged.append(part)
    return merged
