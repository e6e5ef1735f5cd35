"""The forms that the body of a request over HTTP may have, by the kind of server."""

from __future__ import annotations

from fastbench.errors import UsageError

_BYTES = ("raw", "json", "multipart")
_PROTOCOL = ("raw", "json")
_JSON = ("json", "json-columns")

#: By scheme of the target; the first is the usual one.
BODIES = {
    "rest": _BYTES,
    "rests": _BYTES,
    "triton+http": _PROTOCOL,
    "triton+https": _PROTOCOL,
    "tfserving+http": _JSON,
    "tfserving+https": _JSON,
    "torchserve": _BYTES,
}
HTTP_SCHEMES = tuple(f"{scheme}://" for scheme in BODIES)
GRPC_SCHEMES = ("triton+grpc://",)


def is_json(body: str) -> bool:
    """Tell whether all of a body is JSON text."""
    return body in _JSON


def bodies_of(target: str) -> tuple[str, ...]:
    """Return the forms for a target, the usual one first; none where it is not HTTP."""
    return BODIES.get(target.partition("://")[0], ())


def body_of(target: str, wanted: str | None) -> str:
    """Return the form of the bodies sent to an HTTP target; ``wanted``: None = the usual one."""
    return wanted or bodies_of(target)[0]


def check_body(target: str, wanted: str | None, *, fetched: bool) -> None:
    """Check a form against the target; ``fetched``: the body also carries what a chain got.

    Raises :class:`UsageError` naming what does not go together, and the remedy.
    """
    known = bodies_of(target)
    if wanted is not None and wanted not in known:
        msg = f"--body {wanted!r}: for {target} must be one of {', '.join(known)}"
        raise UsageError(msg)
    form = body_of(target, wanted)
    if fetched and is_json(form):
        bytes_too = [body for body in known if not is_json(body)]
        remedy = f"--body {' or '.join(bytes_too)}, or " if bytes_too else ""
        msg = (
            f"--reference-from and --body {form}: what is fetched are bytes, which stand in no "
            f"JSON; use {remedy}--no-reference"
        )
        raise UsageError(msg)
