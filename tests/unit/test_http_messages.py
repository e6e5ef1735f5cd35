"""Requests over HTTP as bytes, read back by the standard library's parsers."""

from __future__ import annotations

import email
import email.policy
from typing import TYPE_CHECKING

import pytest

from fastbench.password import hidden
from fastbench.plan import Fetched, Length, Message, Part, Payload, Text
from fastbench.servers.http_messages import (
    Body,
    Sent,
    fields_of,
    json_body,
    multipart_body,
    plain_body,
    post,
)
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

ROW = bytes(range(12))
VALUE = b"fetched from elsewhere"


def sent(rows: int = 1, name: str = "image") -> Sent:
    """Return rows as one input."""
    return Sent(name, (rows, 3), "float32", Payload(rows), rows * len(ROW))


def fetched(name: str = "reference") -> Sent:
    """Return what a chain got as one input."""
    return Sent(name, (1, 2), "float32", Fetched(0), 8)


def wire(message: Message) -> bytes:
    """Return the request with ``ROW`` as each row and ``VALUE`` as what was fetched."""
    return b"".join(_bytes(message.parts, i) for i in range(len(message.parts)))


def _bytes(parts: tuple[Part, ...], index: int) -> bytes:
    part = parts[index]
    if isinstance(part, Length):
        first = index + 1 + part.skip
        covered = range(first, first + part.covers)
        return str(sum(len(_bytes(parts, i)) for i in covered)).encode()
    if isinstance(part, Payload):
        return ROW * part.rows
    if isinstance(part, Fetched):
        return VALUE
    assert isinstance(part, Text)
    return part.data


def parsed(data: bytes) -> tuple[str, email.message.EmailMessage]:
    """Return the request line and the rest as the standard library reads it."""
    line, rest = data.split(b"\r\n", 1)
    message = email.message_from_bytes(rest, policy=email.policy.HTTP)
    assert isinstance(message, email.message.EmailMessage)
    return line.decode(), message


def test_raw_request() -> None:
    """The head says how long the body is, and the body is the rows."""
    target = parse_target("rest://example.org:8000/predict?x=1")
    body = plain_body([sent(2)])

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
    target, body = parse_target("rest://h/p"), multipart_body([sent(3)])

    _, message = parsed(wire(post("/p", fields_of(target, body, (), ""), body)))

    assert message.get_content_type() == "multipart/form-data"
    [part] = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_payload(decode=True) == 3 * ROW
    payload = wire(Message(body.parts, replies=1))
    assert body.length == len(payload) == int(message["Content-Length"])


@pytest.mark.parametrize("make", [plain_body, multipart_body])
def test_fetched_value_is_counted(make: Callable[[list[Sent]], Body]) -> None:
    """However long a value is that a chain got, the head says how long the body is."""
    message = post("/p", {}, make([sent(), fetched()]))

    _, rest = wire(message).split(b"\r\n", 1)
    head, body = rest.split(b"\r\n\r\n", 1)
    assert head == b"Content-Length: %d" % len(body)
    assert body.index(ROW) < body.index(VALUE)


def test_form_of_two_inputs() -> None:
    """Each input is a file with its own name."""
    body = multipart_body([sent(1, "transaction"), fetched()])

    _, message = parsed(wire(post("/p", {"Content-Type": body.content_type}, body)))

    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }
    assert parts == {"transaction": ROW, "reference": VALUE}


def test_request_without_body() -> None:
    """A question has no type; the fields of a body stand in the head of its request."""
    target = parse_target("rest://h")

    assert "Content-Type" not in fields_of(target, None, ("X: y",), "")
    fields = fields_of(target, Body("a/b", (), 0, {"X-Length": "3"}), (), "")
    assert (fields["Content-Type"], fields["X-Length"]) == ("a/b", "3")


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
    assert fields_of(parse_target(url), json_body(1), (), "")["Host"] == host


def test_users_fields_go_first() -> None:
    """A field of the user takes the place of the usual one, whatever its case."""
    headers = ("content-type: application/x-tensor", "X-Trace:  a:b ")

    fields = fields_of(parse_target("rest://h"), json_body(1), headers, "")

    assert fields["Content-Type"] == "application/x-tensor"
    assert fields["X-Trace"] == "a:b"
    assert len({name.lower() for name in fields}) == len(fields)


def test_user_and_password_log_in_by_basic() -> None:
    """They make the field that RFC 7617 gives as its example."""
    fields = fields_of(parse_target("rest://Aladdin@h"), json_body(1), (), "open sesame")

    assert fields["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert hidden("bad login QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == "bad login ***"
