"""The tensor in a kept reply, however it is framed and written."""

from __future__ import annotations

import numpy as np
import pytest

from fastbench.servers.http_replies import tensor_of

VALUES = np.array([1.5, -2.0, 3.25], dtype="<f4")


def reply(body: bytes, kind: str, framing: str = "length") -> bytes:
    """Return a reply off the wire."""
    frame = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {len(body)}"
    if framing == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{frame}\r\n\r\n".encode() + body


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (VALUES.tobytes(), "application/octet-stream"),
        (b"[1.5, -2, 3.25]", "application/json; charset=utf-8"),
        (b'{"outputs": [[1.5, -2, 3.25]]}', "application/json"),
        (b'{"id": 1, "predictions": [[1.5], [-2], [3.25]]}', "application/json"),
    ],
)
def test_tensor_is_found(body: bytes, kind: str, framing: str) -> None:
    """Raw bytes and the usual forms of JSON give the same numbers."""
    np.testing.assert_array_equal(tensor_of(reply(body, kind, framing)), VALUES)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage\r\n\r\n",
        reply(b"abc", "application/octet-stream"),
        reply(b"{", "application/json"),
        reply(b'{"error": "x"}', "application/json"),
        reply(b'{"outputs": [[1], [2, 3]]}', "application/json"),
        reply(b"0123", "application/octet-stream")[:-1],
    ],
)
def test_what_is_no_tensor_is_empty(data: bytes) -> None:
    """An empty tensor differs from every right answer, so it is counted as wrong."""
    assert tensor_of(data).size == 0
