"""RESP commands as message parts: lengths that count bytes, fields and payload in their places."""

from __future__ import annotations

from fastbench.plan import (
    FIELD_CONNECTION,
    FIELD_KEYS,
    Expect,
    Field,
    Length,
    Message,
    Payload,
    Text,
)
from fastbench.servers.resp import command, message

FIELD = Field(FIELD_CONNECTION, 6)


def test_values() -> None:
    """Text, bytes and numbers become bulk strings of as many bytes as they have."""
    parts = command("SET", b"\x00\r\n", "Zürich", 42)

    text = b"".join(part.data for part in parts if isinstance(part, Text))
    assert text == b"*4\r\n$3\r\nSET\r\n$3\r\n\x00\r\n\r\n$7\r\nZ\xc3\xbcrich\r\n$2\r\n42\r\n"


def test_field_counts_its_width() -> None:
    """A field of 6 digits between 2 and 1 bytes of text makes a bulk string of 9 bytes."""
    result = message([command("GET", ("k{", FIELD, "}"))], replies=1)

    assert result.parts == (Text(b"*2\r\n$3\r\nGET\r\n$9\r\nk{"), FIELD, Text(b"}\r\n"))


def test_field_without_width() -> None:
    """C writes the length of what holds it, and texts that it counts stay apart."""
    number = Field(FIELD_KEYS, 0)
    result = message([command("GET", ("k:", number, ":", "x")), command("PING")], replies=2)

    assert result.parts == (
        *(Text(b"*2\r\n$3\r\nGET\r\n$"), Length(4, skip=1), Text(b"\r\n")),
        *(Text(b"k:"), number, Text(b":"), Text(b"x")),
        Text(b"\r\n*1\r\n$4\r\nPING\r\n"),
    )


def test_payload_counts_its_rows() -> None:
    """A payload of 3 rows of 602,112 bytes is announced with 1,806,336 and not copied."""
    result = message([command("SET", "k", Payload(3), row_bytes=602_112)], replies=1)

    assert result.parts == (
        Text(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1806336\r\n"),
        Payload(3),
        Text(b"\r\n"),
    )


def test_commands_follow_one_another() -> None:
    """Several commands are one message: their texts are joined, replies and expectations kept."""
    result = message([command("PING"), command("PING")], replies=2, expect=(Expect(b"+"),) * 2)

    assert result == Message((Text(b"*1\r\n$4\r\nPING\r\n" * 2),), 2, (Expect(b"+"), Expect(b"+")))


def test_empty_value() -> None:
    """An empty argument is a bulk string of length 0, not left out."""
    assert message([command("SET", "", b"")], replies=1).parts == (
        Text(b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n"),
    )
