"""Target URLs: what is benchmarked, and how it is reached."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_PORTS = {
    "redisai": 6379,
    "redis": 6379,
    "rest": 80,
    "triton+http": 8000,
    "triton+grpc": 8001,
    "tfserving+http": 8501,
    "tfserving+grpc": 8500,
    "torchserve": 8080,
    "torchserve+grpc": 7070,
}
SECURE = {
    "redisais": "redisai",
    "rediss": "redis",
    "rests": "rest",
    "triton+https": "triton+http",
    "tfserving+https": "tfserving+http",
    "triton+grpcs": "triton+grpc",
    "tfserving+grpcs": "tfserving+grpc",
}
SECURE_PORTS = dict.fromkeys(("rest", "triton+http", "tfserving+http"), 443)  # another one
HTTP_KINDS = ("rest", "triton+http", "tfserving+http", "torchserve")
GRPC_KINDS = ("triton+grpc", "tfserving+grpc", "torchserve+grpc")
#: Servers whose URL ends in /MODEL or /MODEL/VERSION.
MODEL_KINDS = (*HTTP_KINDS[1:], *GRPC_KINDS)
SCHEMES = (
    *("redisai", "redisai+unix", "redisais"),
    *("redis", "redis+unix", "rediss"),
    *("rest", "rests"),
    *("triton+http", "triton+https", "triton+grpc", "triton+grpcs"),
    *("tfserving+http", "tfserving+https", "tfserving+grpc", "tfserving+grpcs"),
    *("torchserve", "torchserve+grpc"),
    "embedded",
)
MANAGEMENT_PORT = 8081  # of TorchServe, unless its URL says otherwise


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target URL.

    ``kind``: which server kind speaks to it, e.g. ``redisai``. ``host`` and ``port``, or ``path``
    of a unix socket; for ``rest`` also ``resource``, the path and query of the requests, as they
    stand in the URL. For MODEL_KINDS ``model`` and ``version`` (may be empty), as they stand there
    too; ``management``: the port of TorchServe's management API; ``signature``: of a model in
    TensorFlow Serving, empty = the usual one. For ``embedded`` all are empty until it is started,
    and ``path`` is ``unix`` when a unix socket was asked for.
    ``tls``: for the keys of SECURE.
    ``others``: where a URL names several servers, those after the first, which is described here;
    all have ``url``.
    """

    url: str
    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    resource: str = ""
    model: str = ""
    version: str = ""
    management: int = 0
    signature: str = ""
    user: str = ""
    tls: bool = False
    others: tuple[Target, ...] = ()

    @property
    def endpoints(self) -> tuple[Target, ...]:
        """Each server that the URL names, in order; each with a URL of its own."""
        if not self.others:
            return (self,)
        return (parse_target(next(single_urls(self.url))), *self.others)


def parse_target(url: str) -> Target:
    """Parse ``redisai://[user@]host[:port]``, ``redisai+unix:///path`` or ``embedded:[unix]``.

    ``redisais://`` is ``redisai://`` over TLS; ``redis://``, ``redis+unix://`` and ``rediss://``
    are the same for plain commands. ``rest://host[:port]/path?query`` is an HTTP/1.1 server,
    ``rests://`` one over TLS. ``triton+http://host[:port]/MODEL[/VERSION]``, ``tfserving+http://``
    and ``torchserve://`` are model servers by name, the first two with ``https`` over TLS;
    ``triton+grpc://``, ``tfserving+grpc://`` and ``torchserve+grpc://`` are the same over gRPC,
    the first two with ``grpcs`` over TLS.
    TensorFlow Serving's may end in ``?signature=NAME``, TorchServe's in ``?management=PORT``.
    Several servers of one kind are written with commas:
    ``redis://h1:6379,h2:6380``, ``redis+unix:///a,/b`` (``%2C`` is a comma in a path).

    Raises :class:`UsageError` naming what is wrong with it and what would be right; a password in
    it is not repeated.
    """
    first, *others = single_urls(url)
    if others:
        return dataclasses.replace(
            parse_target(first), url=url, others=tuple(parse_target(other) for other in others)
        )
    if url in {"embedded:", "embedded:unix"}:
        return Target(url, "embedded", path=url.removeprefix("embedded:"))
    parts = _split(url)
    if "://" not in url or parts.scheme not in SCHEMES or parts.scheme == "embedded":
        raise _wrong(
            url,
            "unknown scheme; use redisai://host:port, redisais://host:port for TLS, "
            "redisai+unix:///path/of/socket, rest://host:port/path, triton+http://host:port/MODEL, "
            "tfserving+http://…, torchserve://…, triton+grpc://… or embedded:",
        )
    if parts.password is not None:
        raise _wrong(
            url,
            "a password on the command line is visible to every user; "
            "use FASTBENCH_PASSWORD, --password-file or --ask-password instead",
        )
    return _unix_target(url, parts) if parts.scheme.endswith("+unix") else _tcp_target(url, parts)


def single_urls(url: str) -> Iterator[str]:
    """Yield one URL for each server that the target ``url`` names, right or not."""
    scheme, colon, rest = url.partition("://")
    login, at, places = rest.rpartition("@")
    places, *follows = (
        re.split(r"(?=[/?#])", places, maxsplit=1) if "+unix" not in scheme else [places]
    )
    for place in places.split(","):
        yield "".join((scheme, colon, login, at, place, *follows))


def is_local(url: str) -> bool:
    """Tell whether the one server of ``url`` certainly runs on this machine.

    Embedded, a unix socket, or loopback.
    """
    parts = urlsplit(url)
    on_it = parts.scheme == "embedded" or parts.scheme.endswith("+unix")
    return on_it or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is certainly that of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
    except ValueError as e:
        raise _wrong(url, "not a valid host name; use e.g. redisai://127.0.0.1:6379") from e
    return parts


def _unix_target(url: str, parts: SplitResult) -> Target:
    if parts.netloc.rpartition("@")[2] or not parts.path.startswith("/"):
        raise _wrong(url, "a unix socket needs an absolute path, e.g. redisai+unix:///run/r.sock")
    if parts.query or parts.fragment:
        raise _wrong(url, "nothing may follow the path; write ? as %3F and # as %23")
    kind = parts.scheme.removesuffix("+unix")
    return Target(url, kind, path=unquote(parts.path), user=unquote(parts.username or ""))


def _tcp_target(url: str, parts: SplitResult) -> Target:
    kind, tls = SECURE.get(parts.scheme, parts.scheme), parts.scheme in SECURE
    usual = (SECURE_PORTS if tls else {}).get(kind, DEFAULT_PORTS[kind])
    try:
        port = parts.port
    except ValueError as e:
        raise _wrong(url, "the port must be a number from 1 to 65535") from e
    if not parts.hostname or port == 0:
        raise _wrong(url, f"needs a host and a port, e.g. {parts.scheme}://127.0.0.1:{usual}")
    if kind not in {"rest", *MODEL_KINDS} and (
        parts.path not in {"", "/"} or parts.query or parts.fragment
    ):
        raise _wrong(url, "nothing may follow the port")
    if kind in GRPC_KINDS and parts.username is not None:
        raise _wrong(url, "over gRPC nobody logs in by name: leave out the user and the @")
    target = Target(
        url,
        kind,
        host=parts.hostname,
        port=port or usual,
        resource=_resource(url, parts) if kind == "rest" else "",
        user=unquote(parts.username or ""),
        tls=tls,
    )
    return _with_model(target, parts) if kind in MODEL_KINDS else target


def _with_model(target: Target, parts: SplitResult) -> Target:
    """Return the target with the model that its path names."""
    found = re.fullmatch(r"/([!-.0-~]+)(?:/([!-.0-~]+))?/?", parts.path)
    if found is None:
        example = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/MODEL or /MODEL/VERSION"
        raise _wrong(target.url, f"needs the name of a model, in ASCII: {example}")
    model, version = found[1], found[2] or ""
    server = target.kind.partition("+")[0]
    if server == "tfserving" and version and not version.isdecimal():
        raise _wrong(target.url, "TensorFlow Serving's versions are numbers: /MODEL/VERSION")
    if parts.fragment or (parts.query and server == "triton"):
        raise _wrong(target.url, "nothing may follow the model and its version")
    return dataclasses.replace(
        target,
        model=model,
        version=version,
        management=_management(target, parts) if server == "torchserve" else 0,
        signature=_signature(target, parts) if server == "tfserving" else "",
    )


def _management(target: Target, parts: SplitResult) -> int:
    found = re.fullmatch(r"management=(\d{1,5})", parts.query or f"management={MANAGEMENT_PORT}")
    if found is None or not 0 < int(found[1]) < 2**16:
        raise _wrong(target.url, "only ?management=PORT may follow the model and its version")
    return int(found[1])


def _signature(target: Target, parts: SplitResult) -> str:
    found = re.fullmatch(r"(?:signature=([^&=]+))?", parts.query)
    if found is None:
        raise _wrong(target.url, "only ?signature=NAME may follow the model and its version")
    return unquote(found[1] or "")


def _resource(url: str, parts: SplitResult) -> str:
    """Return what stands in the request line: RFC 9112 3.2.1, the origin-form."""
    if parts.fragment:
        raise _wrong(url, "nothing may follow the path and query; write # as %23")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not re.fullmatch(r"[!-~]+", resource):
        raise _wrong(url, "the path may hold no blanks and no letters beyond ASCII: write %XX")
    return resource


def _wrong(url: str, why: str) -> UsageError:
    shown = re.sub(r":[^:@/]*@", ":***@", url)
    return UsageError(f"target {shown!r}: {why}")
