"""Unary calls as the engine sends them: a head, and a message that is its length and its parts.

Source: "gRPC over HTTP2", https://grpc.github.io.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastbench.errors import UsageError
from fastbench.plan import Message, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.plan import Part
    from fastbench.targets import Target

PREFIX_BYTES = 5  # before each message: whether it is compressed, and its length
_LONGEST = 2**32 - 1


def unary(
    path: str,
    parts: Sequence[Part],
    length: int,
    authority: str,
    metadata: Sequence[tuple[str, str]] = (),
    *,
    tls: bool = False,
) -> Message:
    """Return a call of the method ``path``, as ``/package.Service/Method``.

    ``parts``: of the request's protobuf message, ``length`` bytes together; an empty message has
    none. ``authority``: host and port as the server is called. ``metadata``: further fields, their
    names in small letters. ``tls``: it goes over TLS, which the call says too.
    Raises :class:`UsageError` where the message is longer than gRPC allows.
    """
    if length > _LONGEST:
        msg = f"a message of {length:,} bytes: gRPC allows 4 GiB; lower --batch"
        raise UsageError(msg)
    first, rest = b"", tuple(parts)
    if rest and isinstance(rest[0], Text):
        first, rest = rest[0].data, rest[1:]
    head = (
        (":method", "POST"),
        (":scheme", "https" if tls else "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", f"fastbench/{version('fastbench')}"),
        *metadata,
    )
    prefix = b"\0" + length.to_bytes(4, "big")
    return Message((Text(prefix + first), *rest), replies=1, head=head)


def metadata_of(headers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return fields for :func:`unary`, each given as ``Name: value``."""
    pairs = [header.partition(":") for header in headers]
    return tuple((name.lower(), value.strip()) for name, _, value in pairs)


def authority_of(target: Target) -> str:
    """Return host and port as the URL has them."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def message_in(reply: bytes) -> bytes | None:
    """Return the one message of a reply as it was kept; None where it is not whole."""
    length = int.from_bytes(reply[1:PREFIX_BYTES], "big")
    message = reply[PREFIX_BYTES:]
    whole = len(reply) >= PREFIX_BYTES and len(message) == length
    return message if whole else None
