"""Redis clusters: the nodes, which of them has which hash slots, and where a command's key is."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from typing import TYPE_CHECKING, Any

from fastbench.config import TlsConfig
from fastbench.errors import ConnectError, ServerError, UsageError
from fastbench.plan import SLOTS, Cluster
from fastbench.servers.redis_server import RedisServer
from fastbench.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECT_TIMEOUT_S = 10.0

#: How COMMAND GETKEYS begins where there is none: no key, an unknown command, wrong arguments.
_NO_KEY = ("The command has no key", "Invalid ")
_MARK = b"\0fastbench\0"


def read_cluster(server: RedisServer) -> tuple[tuple[tuple[str, int], ...], Cluster]:
    """Return the numeric addresses of a cluster's masters, and who has which hash slots.

    Raises :class:`UsageError` where ``server`` is not a node of a cluster, :class:`ServerError`
    where hash slots have no node, :class:`ConnectError` naming the node that cannot be reached.
    """
    try:
        ranges = server.execute("CLUSTER", "SLOTS")
    except ServerError as error:
        msg = f"--cluster: {server.target.url} is not a node of a Redis cluster: {error}"
        raise UsageError(msg) from error
    names: dict[str, int] = {}
    owners: list[int | None] = [None] * SLOTS
    for first, last, master, *_ in ranges:
        owner = names.setdefault(_name(master), len(names))
        owners[first : last + 1] = [owner] * (last + 1 - first)
    missing = owners.count(None)
    if missing:
        msg = (
            f"{server.target.url}: {missing} of {SLOTS} hash slots have no node: "
            "the cluster is not whole, see redis-cli --cluster check"
        )
        raise ServerError(msg)
    addresses = tuple(_reach(name, server) for name in names)
    return addresses, Cluster(tuple(names), tuple(owners))


def _name(node: Sequence[Any]) -> str:
    """Return ``host:port`` as MOVED says it; the host is empty where nodes do not announce one."""
    host = (node[0] or b"").decode()
    return f"{host}:{node[1]}"


def _reach(name: str, server: RedisServer) -> tuple[str, int]:
    """Return the numeric address at which a node answers."""
    host, _, port = name.rpartition(":")
    try:
        pair = (host or server.target.host, int(port))
        with socket.create_connection(pair, CONNECT_TIMEOUT_S) as probe:
            peer: tuple[str, int] = probe.getpeername()[:2]
    except OSError as error:
        msg = (
            f"cannot connect to {name}, a node of the cluster at {server.target.url}: "
            f"{error.strerror or error}; can the addresses that the nodes announce be reached "
            "from here?"
        )
        raise ConnectError(msg) from error
    return peer


@contextlib.contextmanager
def connect_nodes(
    server: RedisServer, addresses: Sequence[tuple[str, int]], tls: TlsConfig | None
) -> Iterator[list[RedisServer]]:
    """Connect to each node as the engine will: with the login and the TLS of ``server``.

    Raises as :class:`fastbench.servers.redis_server.RedisServer`.
    """
    if server.tls:
        tls = dataclasses.replace(tls or TlsConfig(), server_name=server.tls.server_name)
    with contextlib.ExitStack() as stack:
        targets = (_node_target(server.target, address) for address in addresses)
        yield [stack.enter_context(RedisServer(target, tls)) for target in targets]


def _node_target(entry: Target, address: tuple[str, int]) -> Target:
    """Return a node as a target of its own; ``entry``: that of the cluster."""
    host, port = address
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    url = f"{'rediss' if entry.tls else 'redis'}://{place}"
    return Target(url, "redis", host=host, port=port, user=entry.user, tls=entry.tls)


def first_key(server: RedisServer, arguments: Sequence[bytes]) -> int:
    """Return the place of the first key among the words of a command; 0 = it has none.

    The server is asked, which knows its modules' commands too (COMMAND GETKEYS).

    Raises :class:`ServerError` where the user may not ask.
    """
    if len(arguments) == 1:
        return 0  # some servers refuse the question then
    key = _first_key(server, arguments)
    places = [i for i, word in enumerate(arguments) if i > 0 and _text(word) == key]
    for place in places[:-1]:
        marked = [*arguments[:place], _MARK, *arguments[place + 1 :]]
        if _first_key(server, marked) == _text(_MARK):
            return place
    return places[-1] if places else 0


def _first_key(server: RedisServer, arguments: Sequence[bytes]) -> str | None:
    try:
        keys = server.execute("COMMAND GETKEYS", *arguments)
    except ServerError as error:
        if str(error).startswith(_NO_KEY):
            return None
        msg = f"--cluster needs COMMAND GETKEYS to find a command's key: {error}"
        raise ServerError(msg) from error
    return _text(keys[0]) if keys else None


def _text(word: bytes | str) -> str:
    return word if isinstance(word, str) else word.decode(errors="replace")
