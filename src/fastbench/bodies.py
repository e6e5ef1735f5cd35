"""The forms that an inference over HTTP or gRPC may have, by the kind of server."""

from __future__ import annotations

from fastbench.errors import UsageError

_BYTES = ("raw", "json", "multipart")
_PROTOCOL = ("raw", "json")
_JSON = ("json", "json-columns")

_HTTP = {
    "rest": _BYTES,
    "rests": _BYTES,
    "triton+http": _PROTOCOL,
    "triton+https": _PROTOCOL,
    "tfserving+http": _JSON,
    "tfserving+https": _JSON,
    "torchserve": _BYTES,
}
_GRPC = {
    "triton+grpc": ("raw", "typed"),
    "triton+grpcs": ("raw", "typed"),
    "tfserving+grpc": ("raw",),
    "tfserving+grpcs": ("raw",),
    "torchserve+grpc": ("raw", "multipart"),
}
#: By scheme of the target; the first is the usual one.
BODIES = _HTTP | _GRPC
HTTP_SCHEMES = tuple(f"{scheme}://" for scheme in _HTTP)
GRPC_SCHEMES = tuple(f"{scheme}://" for scheme in _GRPC)
_OPEN_INFERENCE = ("triton+http://", "triton+https://", "triton+grpc://", "triton+grpcs://")


def is_json(body: str) -> bool:
    """Tell whether all of a body is JSON text."""
    return body in _JSON


def bodies_of(target: str) -> tuple[str, ...]:
    """Return the forms for a target, the usual one first; none for Redis' protocol."""
    return BODIES.get(target.partition("://")[0], ())


def body_of(target: str, wanted: str | None) -> str:
    """Return the form of what is sent to such a target; ``wanted``: None = the usual one."""
    return wanted or bodies_of(target)[0]


def is_open_inference(target: str) -> bool:
    """Tell whether a target speaks the Open Inference Protocol: Triton and others."""
    return target.startswith(_OPEN_INFERENCE)


def check_shm(target: str, body: str | None, *, fetched: bool) -> None:
    """Check ``--shm`` against the target; ``fetched``: an inference also carries what a chain got.

    Raises :class:`UsageError` naming what does not go together, and the remedy.
    """
    if not is_open_inference(target):
        msg = f"--shm is for targets triton+http:// and triton+grpc://, not for {target}"
        raise UsageError(msg)
    if body not in {None, "raw"}:
        msg = f"--shm and --body {body}: rows lie in shared memory as bytes; leave out one"
        raise UsageError(msg)
    if fetched:
        msg = "--shm and --reference-from: what is fetched is not in shared memory; leave out one"
        raise UsageError(msg)


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
