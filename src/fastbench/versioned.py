"""Records as JSON files with a version in them: written whole, read or refused in one line."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from fastbench.errors import UsageError

T = TypeVar("T")


class _Version(msgspec.Struct):
    schema_version: int


def to_json(record: object) -> bytes:
    """Return a record as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def check(data: bytes, newest: int, what: str, oldest: int = 1) -> None:
    """Look at the ``schema_version`` of a record before anything else in it is believed.

    ``oldest`` and ``newest``: the versions that can be read here; ``what`` names the record.
    Raises :class:`UsageError` that names the version, or where ``data`` is not a whole record.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
    except msgspec.MsgspecError as error:
        msg = f"not a whole fastbench {what}: {error}"
        raise UsageError(msg) from error
    if version > newest:
        msg = (
            f"written by a newer fastbench (schema {version}, this one reads up to "
            f"{newest}): update fastbench"
        )
        raise UsageError(msg)
    if version < oldest:
        msg = (
            f"written by an older fastbench (schema {version}, this one reads from "
            f"{oldest}): read it with that one, or measure again"
        )
        raise UsageError(msg)


def from_json(data: bytes, kind: type[T], newest: int, what: str, oldest: int = 1) -> T:
    """Return the record of type ``kind`` that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not such a record, or of a schema that is not
    from ``oldest`` to ``newest``; ``what`` names it there: "result".
    """
    check(data, newest, what, oldest)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        msg = f"not a whole fastbench {what}: {error}"
        raise UsageError(msg) from error
