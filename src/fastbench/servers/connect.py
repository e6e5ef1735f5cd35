"""From a target to a server that answers, started first where it is the embedded one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from fastbench.config import check_tls
from fastbench.errors import UsageError
from fastbench.servers.embedded import EmbeddedServer
from fastbench.servers.redisai import RedisAI
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from fastbench.config import TlsConfig
    from fastbench.results import TargetInfo
    from fastbench.servers.redis_server import RedisServer
    from fastbench.targets import Target


@contextlib.contextmanager
def started(target: Target, cpus: Collection[int] = ()) -> Iterator[Target]:
    """Start the embedded server where that is the target; it lives as long as the block.

    ``cpus``: that it may use; empty = all.
    """
    if target.kind != "embedded":
        yield target
        return
    with EmbeddedServer(unix=target.path == "unix", cpus=cpus) as embedded:
        yield parse_target(embedded.url)


@contextlib.contextmanager
def connect(target: Target, tls: TlsConfig | None = None) -> Iterator[list[RedisAI]]:
    """Connect to each server of a RedisAI target; ``tls``: how, where it is over TLS."""
    with contextlib.ExitStack() as stack:
        reachable = stack.enter_context(started(target))
        yield [stack.enter_context(RedisAI(e, tls)) for e in endpoints(reachable, tls)]


def lasting(url: str, tls: TlsConfig | None) -> Target:
    """Return a target whose servers are there before and after this command.

    Raises :class:`UsageError` for the embedded server, and TLS where the target has none.
    """
    target = parse_target(url)
    check_tls(tls, url)
    if target.kind == "embedded":
        msg = f"target {url}: would end with this command; start 'fastbench serve' and give its URL"
        raise UsageError(msg)
    return target


def endpoints(target: Target, tls: TlsConfig | None = None) -> tuple[Target, ...]:
    """Return the servers of a target, that connections can take in turn.

    Raises :class:`UsageError` where TLS would have to expect several names.
    """
    found = target.endpoints
    if target.tls and len({e.host for e in found}) > 1 and not (tls and tls.server_name):
        msg = f"{target.url}: over TLS several hosts need one name: --tls-server-name"
        raise UsageError(msg)
    return found


def check_connections(target: Target, connections: int) -> None:
    """Raise :class:`UsageError` where a server of the target would get no connection."""
    if connections < len(target.endpoints):
        msg = (
            f"--connections {connections}: {target.url} names {len(target.endpoints)} servers, "
            "each needs one"
        )
        raise UsageError(msg)


def describe_all(info: TargetInfo, target: Target, servers: Sequence[RedisServer]) -> TargetInfo:
    """Return ``info``, of the first server, with the URL of all and what each is."""
    if len(servers) == 1:
        return info
    each = "; ".join(f"{server.target.url} ({server.name})" for server in servers)
    details = info.details | {"endpoints": each}
    return msgspec.structs.replace(info, url=target.url, details=details)
