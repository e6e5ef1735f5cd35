"""The tensor in a kept reply, however it is framed and written."""

from __future__ import annotations

import numpy as np
import pytest

from fastbench.servers.http_replies import answer_in, json_tensor, plain_tensor, raw_tensor

VALUES = np.array([1.5, -2.0, 3.25], dtype="<f4")


def reply(body: bytes, kind: str, framing: str = "length") -> bytes:
    """Return a reply off the wire."""
    frame = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {len(body)}"
    if framing == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    kinds = f"Content-Type: {kind}\r\n" if kind else ""
    return f"HTTP/1.1 200 OK\r\n{kinds}{frame}\r\n\r\n".encode() + body


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (VALUES.tobytes(), "application/octet-stream"),
        (b"[1.5, -2, 3.25]", "application/json; charset=utf-8"),
        (b"[1.5, -2, 3.25]", ""),
        (VALUES.tobytes(), ""),
        (b'{"outputs": [[1.5, -2, 3.25]]}', "application/json"),
        (b'{"id": 1, "predictions": [[1.5], [-2], [3.25]]}', "application/json"),
    ],
)
def test_tensor_is_found(body: bytes, kind: str, framing: str) -> None:
    """Raw bytes and the usual forms of JSON give the same numbers."""
    answer = answer_in(reply(body, kind, framing))

    assert answer is not None
    np.testing.assert_array_equal(plain_tensor(answer), VALUES)


def test_length_of_json_before_tensors() -> None:
    """The field of the binary tensor extension is read; what is no number is none."""
    for said, length in (("3", 3), ("x", 0), ("-1", 0), ("", 0)):
        head = f"Content-Length: 5\r\nInference-Header-Content-Length: {said}\r\n\r\n"
        answer = answer_in(b"HTTP/1.1 200 OK\r\n" + head.encode() + b"{} 12")
        assert answer is not None
        assert (answer.json_bytes, answer.body) == (length, b"{} 12")


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage\r\n\r\n", reply(b"0123", "application/octet-stream")[:-1]],
)
def test_what_is_no_reply(data: bytes) -> None:
    """A reply that is not whole or no HTTP is None."""
    assert answer_in(data) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"error": "x"}', b'{"outputs": [[1], [2, 3]]}'])
def test_what_is_no_tensor_is_empty(body: bytes) -> None:
    """An empty tensor differs from every right answer, so it is counted as wrong."""
    assert json_tensor(body).size == 0
    assert raw_tensor(b"abc").size == 0
