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


def from_json(data: bytes, kind: type[T], newest: int, what: str) -> T:
    """Return the record of type ``kind`` that ``data`` holds; ``newest``: version known here.

    Raises :class:`UsageError` where it is not JSON, not such a record, or of a newer schema;
    ``what`` names it there: "result".
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > newest:
            msg = (
                f"written by a newer fastbench (schema {version}, this one reads up to "
                f"{newest}): update fastbench"
            )
            raise UsageError(msg)
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        msg = f"not a whole fastbench {what}: {error}"
        raise UsageError(msg) from error
