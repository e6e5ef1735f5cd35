"""What one inference looks like on an HTTP/1.1 wire: a head that never changes around a payload.

Source: RFC 9112 (HTTP/1.1), RFC 7578 (multipart/form-data).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastbench.plan import Message, Payload, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.plan import Part
    from fastbench.targets import Target

#: What separates parts. It must not occur in a payload: 16 random bytes do not, by any chance.
BOUNDARY = "fastbench-5d0c7e1f9b3a48f2a6e4c1d98b70f35e"


@dataclass(frozen=True, slots=True)
class Body:
    """The body of each request: ``parts`` of ``length`` bytes together."""

    content_type: str
    parts: tuple[Part, ...]
    length: int


def plain_body(
    row_bytes: int, rows: int = 1, content_type: str = "application/octet-stream"
) -> Body:
    """Return a body that is ``rows`` rows of the dataset and nothing else."""
    return Body(content_type, (Payload(rows),), rows * row_bytes)


def multipart_body(name: str, row_bytes: int, rows: int) -> Body:
    """Return a form with one file, ``name``, that is ``rows`` rows of the dataset."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = len(head) + rows * row_bytes + len(tail)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return Body(kind, (Text(head), Payload(rows), Text(tail)), length)


def fields_of(target: Target, body: Body, headers: Sequence[str], password: str) -> dict[str, str]:
    """Return the fields of the head, those of the user before those that are usual.

    ``headers``: each ``Name: value``. A user in the URL, or a password, logs in by Basic
    (RFC 7617).
    """
    fields = {
        "Host": _host(target),
        "User-Agent": f"fastbench/{version('fastbench')}",
        "Accept": "*/*",
        "Content-Type": body.content_type,
    }
    if target.user or password:
        login = base64.b64encode(f"{target.user}:{password}".encode()).decode()
        fields["Authorization"] = f"Basic {login}"
    for header in headers:
        name, _, value = header.partition(":")
        known = {known.lower(): known for known in fields}
        fields[known.get(name.lower(), name)] = value.strip()
    return fields


def post(resource: str, fields: Mapping[str, str], body: Body) -> Message:
    """Return the request: one gathered write, or a head before a ``sendfile`` of long rows."""
    lines = [f"POST {resource} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    lines += [f"Content-Length: {body.length}", "", ""]
    return Message((Text("\r\n".join(lines).encode()), *body.parts), replies=1)


def _host(target: Target) -> str:
    """Return host and, where it is not the usual one, port (RFC 9110 7.2)."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == (443 if target.tls else 80) else f"{host}:{target.port}"
