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
#: Where the binary tensor extension of the Open Inference Protocol says how long its JSON is.
JSON_LENGTH = "Inference-Header-Content-Length"


#: What is found in a reply without an answer: it differs from every right one.
NOTHING: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply; ``content_type`` and ``server`` are empty where it does not say them.

    ``json_bytes``: of ``body`` that are JSON before raw tensors; 0 = not said.
    """

    status: int
    reason: str
    content_type: str
    server: str
    body: bytes
    json_bytes: int = 0


def answer_of(reply: http.client.HTTPResponse) -> Answer:
    """Read a reply to its end. Raises as :mod:`http.client` does."""
    length = reply.headers.get(JSON_LENGTH, "")
    return Answer(
        status=reply.status,
        reason=reply.reason,
        content_type=reply.headers.get("Content-Type", ""),
        server=reply.headers.get("Server", ""),
        body=reply.read(),
        json_bytes=int(length) if length.isdecimal() else 0,
    )


def answer_in(data: bytes) -> Answer | None:
    """Return a reply as it came over the wire; None where it cannot be read."""
    reply = http.client.HTTPResponse(cast("socket.socket", _Bytes(data)), method="POST")
    try:
        reply.begin()
        return answer_of(reply)
    except (http.client.HTTPException, OSError, ValueError):
        return None


def plain_tensor(answer: Answer) -> NDArray[np.float32]:
    """Return the numbers of JSON, or else the body as float32; empty where none are.

    What has no type is JSON if it can be read so.
    """
    if "json" in answer.content_type:
        return json_tensor(answer.body)
    return raw_tensor(answer.body) if answer.content_type else bare_tensor(answer.body)


def bare_tensor(body: bytes) -> NDArray[np.float32]:
    """Return the numbers of JSON, whatever its type is called, or else of float32."""
    found = json_tensor(body)
    return found if found.size else raw_tensor(body)


def raw_tensor(body: bytes) -> NDArray[np.float32]:
    """Return little-endian float32; empty where it cannot be that."""
    return np.frombuffer(body if len(body) % 4 == 0 else b"", dtype="<f4")


def json_tensor(body: bytes) -> NDArray[np.float32]:
    """Return a list of numbers, also one under a name of ANSWERS; empty where none is."""
    try:
        found: Any = json.loads(body)
        if isinstance(found, dict):
            found = next((found[name] for name in ANSWERS if name in found), [])
        return np.asarray(found, dtype=np.float32).ravel()
    except (ValueError, TypeError):
        return NOTHING


class _Bytes:
    """Bytes with the one method of a socket that a reply is read through."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
