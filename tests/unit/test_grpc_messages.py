"""Unary calls as the engine sends them."""

from __future__ import annotations

import pytest

from fastbench.errors import UsageError
from fastbench.plan import Payload, Text
from fastbench.servers.grpc_messages import authority_of, message_in, unary
from fastbench.targets import Target


def test_head_and_prefix() -> None:
    """The pseudo fields come first; the first text begins with the message's length."""
    call = unary("/p.S/M", (Text(b"ab"), Payload(2), Text(b"c")), 0x010203, "h:1", (("x", "y"),))

    names = [name for name, _ in call.head]
    assert names[:4] == [":method", ":scheme", ":path", ":authority"]
    assert dict(call.head)[":path"] == "/p.S/M"
    assert dict(call.head)["te"] == "trailers"
    assert call.head[-1] == ("x", "y")
    assert call.parts == (Text(b"\0\0\1\2\3ab"), Payload(2), Text(b"c"))


@pytest.mark.parametrize("parts", [(), (Payload(1),)])
def test_message_without_a_first_text(parts: tuple[Payload, ...]) -> None:
    """The prefix stands alone where the message begins with rows, or has nothing."""
    call = unary("/p.S/M", parts, 0, "h:1")

    assert call.parts == (Text(b"\0" * 5), *parts)


def test_too_long() -> None:
    """A length has four bytes."""
    with pytest.raises(UsageError, match="4 GiB"):
        unary("/p.S/M", (Payload(1),), 2**32, "h:1")


def test_authority() -> None:
    """Host and port, an IPv6 address in brackets."""
    assert authority_of(Target("u", "triton+grpc", host="h", port=8001)) == "h:8001"
    assert authority_of(Target("u", "triton+grpc", host="::1", port=1)) == "[::1]:1"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"\0\0\0\0\2hi", b"hi"),
        (b"\0\0\0\0\0", b""),
        (b"\0\0\0\0\2h", None),
        (b"\0\0\0\0\2hip", None),
        (b"\0\0", None),
        (b"", None),
    ],
)
def test_message_in_a_reply(reply: bytes, message: bytes | None) -> None:
    """The message of a kept reply, or nothing where it is not one whole message."""
    assert message_in(reply) == message
