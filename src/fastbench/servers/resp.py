"""RESP commands as message parts: lengths known, fields in place, payload by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.plan import Fetched, Field, Length, Message, Payload, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastbench.plan import Expect, Part

#: One argument of a command: a value, pieces that follow one another, dataset rows, or what an
#: earlier step of a chain got.
Argument = str | bytes | int | tuple[str | Field, ...] | Payload | Fetched


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


def bulk(pieces: Sequence[Part], lengths: Sequence[int | None]) -> list[Part]:
    """Return one argument; its length is written anew where that of a piece (None) varies."""
    if None not in lengths:
        head = Text(b"$%d\r\n" % sum(n for n in lengths if n is not None))
        return [head, *pieces, Text(b"\r\n")]
    return [Text(b"$"), Length(len(pieces), skip=1), Text(b"\r\n"), *pieces, Text(b"\r\n")]


def _bulk(argument: Argument, row_bytes: int) -> list[Part]:
    body = _pieces(argument)
    return bulk(body, [_length(part, row_bytes) for part in body])


def _pieces(argument: Argument) -> list[Part]:
    if isinstance(argument, Payload | Fetched):
        return [argument]
    if isinstance(argument, str | bytes | int):
        return [Text(_encode(argument))]
    return [p if isinstance(p, Field) else Text(_encode(p)) for p in argument]


def _encode(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _length(part: Part, row_bytes: int) -> int | None:
    """Return the bytes of a part, None where they vary."""
    if isinstance(part, Text):
        return len(part.data)
    if isinstance(part, Payload):
        return part.rows * row_bytes
    return (part.width or None) if isinstance(part, Field) else None


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Join neighbouring texts: C then sees one run of bytes.

    Parts that a length counts, and the one after them, begin anew: it counts parts, not bytes.
    """
    merged: list[Part] = []
    counted = 0
    for part in parts:
        last = merged[-1] if merged and counted == 0 else None
        if isinstance(part, Text) and isinstance(last, Text):
            merged[-1] = Text(last.data + part.data)
        else:
            merged.append(part)
        counted = part.skip + part.covers + 1 if isinstance(part, Length) else max(counted - 1, 0)
    return merged
