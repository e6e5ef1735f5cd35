"""A protobuf message around rows of a dataset: text that is gathered, and what stands in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from fastbench.plan import Text
from fastbench.servers.http_messages import Body

if TYPE_CHECKING:
    from fastbench.plan import Field, Part
    from fastbench.servers.http_messages import Sent


class Parts:
    """Gathers a message, beginning with ``head``."""

    def __init__(self, head: bytes = b"") -> None:
        """Begin."""
        self._text = head
        self._parts: list[Part] = []
        self._length = 0

    def text(self, data: bytes) -> Self:
        """Append bytes that never change."""
        self._text += data
        return self

    def bytes_of(self, sent: Sent, before: bytes) -> Self:
        """Append ``before``, and then an input in place."""
        self.text(before)
        self._end_text()
        self._parts.append(sent.part)
        self._length += sent.length
        return self

    def field(self, field: Field) -> Self:
        """Append a number that is filled in for each inference."""
        self._end_text()
        self._parts.append(field)
        self._length += field.width
        return self

    def body(self) -> Body:
        """Return all of it."""
        self._end_text()
        return Body("application/grpc", tuple(self._parts), self._length)

    def _end_text(self) -> None:
        if self._text:
            self._parts.append(Text(self._text))
            self._length += len(self._text)
            self._text = b""
