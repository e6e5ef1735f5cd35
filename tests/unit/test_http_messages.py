"""Requests over HTTP as bytes, read back by the standard library's parsers."""

from __future__ import annotations

import email
import email.policy

import pytest

from fastbench.plan import Message, Payload, Text
from fastbench.servers.http_messages import fields_of, multipart_body, plain_body, post
from fastbench.targets import parse_target

ROW = bytes(range(12))


def wire(message: Message) -> bytes:
    """Return the request with ``ROW`` as each row."""
    return b"".join(
        part.data if isinstance(part, Text) else ROW * part.rows
        for part in message.parts
        if isinstance(part, Text | Payload)
    )


def parsed(data: bytes) -> tuple[str, email.message.EmailMessage]:
    """Return the request line and the rest as the standard library reads it."""
    line, rest = data.split(b"\r\n", 1)
    message = email.message_from_bytes(rest, policy=email.policy.HTTP)
    assert isinstance(message, email.message.EmailMessage)
    return line.decode(), message


def test_raw_request() -> None:
    """The head says how long the body is, and the body is the rows."""
    target = parse_target("rest://example.org:8000/predict?x=1")
    body = plain_body(len(ROW), 2)

    data = wire(post(target.resource, fields_of(target, body, (), ""), body))

    line, message = parsed(data)
    assert line == "POST /predict?x=1 HTTP/1.1"
    assert message["Host"] == "example.org:8000"
    assert message["Content-Type"] == "application/octet-stream"
    assert "Authorization" not in message
    assert data.endswith(b"\r\n\r\n" + 2 * ROW)
    assert int(message["Content-Length"]) == len(2 * ROW)


def test_multipart_request() -> None:
    """The form has one file with the given name, which is the rows; its length is right."""
    target, body = parse_target("rest://h/p"), multipart_body("image", len(ROW), 3)

    _, message = parsed(wire(post("/p", fields_of(target, body, (), ""), body)))

    assert message.get_content_type() == "multipart/form-data"
    [part] = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_payload(decode=True) == 3 * ROW
    payload = wire(Message(body.parts, replies=1))
    assert body.length == len(payload) == int(message["Content-Length"])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("rest://h", "h"),
        ("rest://h:443", "h:443"),
        ("rests://h", "h"),
        ("rests://h:80", "h:80"),
        ("rest://[::1]:8000", "[::1]:8000"),
    ],
)
def test_host_has_the_port_where_it_is_unusual(url: str, host: str) -> None:
    """The field Host is as RFC 9110 7.2 wants it."""
    assert fields_of(parse_target(url), plain_body(1), (), "")["Host"] == host


def test_users_fields_go_first() -> None:
    """A field of the user takes the place of the usual one, whatever its case."""
    headers = ("content-type: application/x-tensor", "X-Trace:  a:b ")

    fields = fields_of(parse_target("rest://h"), plain_body(1), headers, "")

    assert fields["Content-Type"] == "application/x-tensor"
    assert fields["X-Trace"] == "a:b"
    assert len({name.lower() for name in fields}) == len(fields)


def test_user_and_password_log_in_by_basic() -> None:
    """They make the field that RFC 7617 gives as its example."""
    fields = fields_of(parse_target("rest://Aladdin@h"), plain_body(1), (), "open sesame")

    assert fields["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
