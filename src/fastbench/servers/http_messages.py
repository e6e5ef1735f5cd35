"""Requests over HTTP/1.1: a head that never changes, and a body around the rows of a dataset.

Sources: RFC 9112 (messages), RFC 7617 (Basic), RFC 7578 (multipart/form-data).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastbench.password import hide_too
from fastbench.plan import Fetched, Length, Message, Payload, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.plan import Field, Part
    from fastbench.targets import Target

#: What separates parts. It must not occur in a payload: 16 random bytes do not, by any chance.
BOUNDARY = "fastbench-5d0c7e1f9b3a48f2a6e4c1d98b70f35e"
BYTES = "application/octet-stream"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Sent:
    """One input of an inference as it is sent.

    ``name``: of the input or of the part of a form; ``shape``: with the batch; ``dtype``: NumPy's
    name. ``part``: rows of the dataset, or what a chain got, of ``length`` bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    part: Payload | Fetched
    length: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output of an inference as it is asked for.

    ``offset``: where in shared memory its ``size`` bytes are put; None = over the connection.
    """

    name: str
    size: int = 0
    offset: Field | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The body of each request: ``parts`` of ``length`` bytes together.

    ``fields``: of the head, that say more of the body than its type.
    """

    content_type: str
    parts: tuple[Part, ...]
    length: int
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JsonForm:
    """What stands around the numbers of a batch in JSON.

    ``flat``: they are one list, else nested as their shape is.
    """

    before: str
    after: str
    flat: bool = False


#: As TensorFlow Serving and KServe v1 take it.
INSTANCES = JsonForm('{"instances":', "}")


def plain_body(sent: Sequence[Sent]) -> Body:
    """Return a body that is the bytes of each input, one after the other, and nothing else."""
    return Body(BYTES, tuple(s.part for s in sent), sum(s.length for s in sent))


def json_body(length: int) -> Body:
    """Return a body that is one row of rendered JSON, of ``length`` bytes."""
    return Body(JSON, (Payload(1),), length)


def multipart_body(sent: Sequence[Sent]) -> Body:
    """Return a form with one file for each input, named as it is."""
    parts: list[Part] = []
    for each in sent:
        head = (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{each.name}"; filename="{each.name}"\r\n'
            f"Content-Type: {BYTES}\r\n\r\n"
        )
        parts += [Text(head.encode()), each.part, Text(b"\r\n")]
    parts.append(Text(f"--{BOUNDARY}--\r\n".encode()))
    length = sum(len(p.data) for p in parts if isinstance(p, Text)) + sum(s.length for s in sent)
    return Body(f"multipart/form-data; boundary={BOUNDARY}", tuple(parts), length)


def fields_of(
    target: Target, body: Body | None, headers: Sequence[str], password: str
) -> dict[str, str]:
    """Return the fields of the head, those of the user before those that are usual.

    ``body``: None for a request without one. ``headers``: each ``Name: value``. A user in the URL,
    or a password, logs in by Basic (RFC 7617); from then on the login is shown nowhere.
    """
    fields = {
        "Host": _host(target),
        "User-Agent": f"fastbench/{version('fastbench')}",
        "Accept": "*/*",
    }
    if body is not None:
        fields |= {"Content-Type": body.content_type, **body.fields}
    if target.user or password:
        login = base64.b64encode(f"{target.user}:{password}".encode()).decode()
        hide_too(login)
        fields["Authorization"] = f"Basic {login}"
    for header in headers:
        name, _, value = header.partition(":")
        known = {known.lower(): known for known in fields}
        fields[known.get(name.lower(), name)] = value.strip()
    return fields


def post(resource: str, fields: Mapping[str, str], body: Body) -> Message:
    """Return the request: one gathered write, or a head before long rows.

    Where a part of the body is what a chain got, the request says its true length each time.
    """
    lines = [f"POST {resource} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([*lines, "Content-Length: "]).encode()
    if any(isinstance(part, Fetched) for part in body.parts):
        length = Length(len(body.parts), skip=1)
        return Message((Text(head), length, Text(b"\r\n\r\n"), *body.parts), replies=1)
    return Message((Text(head + b"%d\r\n\r\n" % body.length), *body.parts), replies=1)


def _host(target: Target) -> str:
    """Return host and, where it is not the usual one, port (RFC 9110 7.2)."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == (443 if target.tls else 80) else f"{host}:{target.port}"
