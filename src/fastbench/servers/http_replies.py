"""What came back over HTTP: a kept reply, parsed by the standard library, and the tensor in it."""

from __future__ import annotations

import http.client
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    import socket

    from numpy.typing import NDArray

#: Where servers put the numbers of a JSON reply: TensorFlow Serving and KServe v1, and others.
ANSWERS = ("predictions", "outputs")


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply; ``content_type`` and ``server`` are empty where it does not say them."""

    status: int
    reason: str
    content_type: str
    server: str
    body: bytes

    @property
    def tensor(self) -> NDArray[np.float32]:
        """The numbers in it: those of JSON, or else the body as float32; empty where none are."""
        if "json" in self.content_type:
            return _numbers(self.body)
        whole = len(self.body) % 4 == 0
        return np.frombuffer(self.body if whole else b"", dtype="<f4")


def answer_of(reply: http.client.HTTPResponse) -> Answer:
    """Read a reply to its end. Raises as :mod:`http.client` does."""
    return Answer(
        status=reply.status,
        reason=reply.reason,
        content_type=reply.headers.get("Content-Type", ""),
        server=reply.headers.get("Server", ""),
        body=reply.read(),
    )


def tensor_of(data: bytes) -> NDArray[np.float32]:
    """Return the numbers in a reply as it came over the wire; empty where it cannot be read."""
    reply = http.client.HTTPResponse(cast("socket.socket", _Bytes(data)), method="POST")
    try:
        reply.begin()
        return answer_of(reply).tensor
    except (http.client.HTTPException, OSError, ValueError):
        return np.empty(0, np.float32)


class _Bytes:
    """Bytes with the one method of a socket that a reply is read through."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _numbers(body: bytes) -> NDArray[np.float32]:
    try:
        found: Any = json.loads(body)
        if isinstance(found, dict):
            found = next((found[name] for name in ANSWERS if name in found), [])
        return np.asarray(found, dtype=np.float32).ravel()
    except (ValueError, TypeError):
        return np.empty(0, np.float32)
