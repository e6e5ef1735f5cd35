"""Reading a cluster's layout and finding keys, against a server that answers from a list."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from fastbench.errors import ConnectError, ServerError, UsageError
from fastbench.plan import SLOTS
from fastbench.servers.cluster import first_key, read_cluster
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbench.servers.redis_server import RedisServer


class _Server:
    """What :mod:`fastbench.servers.cluster` needs of a :class:`RedisServer`."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.target = parse_target("redis://127.0.0.1:7000")
        self.execute = answer


def _server(answer: Callable[..., Any]) -> RedisServer:
    return cast("RedisServer", _Server(answer))


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _layout(*ranges: list[Any]) -> RedisServer:
    return _server(lambda *_: list(ranges))


def test_layout_is_read(port: int) -> None:
    """Masters are named as redirects name them, replicas left out; ranges become owners."""
    replica = [b"10.0.0.1", 1, b"id"]
    addresses, cluster = read_cluster(
        _layout(
            [0, 99, [b"127.0.0.1", port, b"id"], replica],
            [100, 199, [b"localhost", port, b"id", []]],
            [200, SLOTS - 1, [b"127.0.0.1", port, b"id"]],
        )
    )

    assert addresses[0] == ("127.0.0.1", port)
    assert cluster.names == (f"127.0.0.1:{port}", f"localhost:{port}")
    assert cluster.owners == (0,) * 100 + (1,) * 100 + (0,) * (SLOTS - 200)


@pytest.mark.parametrize("host", [None, b""])
def test_a_node_without_a_host_is_at_the_target(port: int, host: bytes | None) -> None:
    """Nodes may announce only a port: redirects then begin with the colon."""
    addresses, cluster = read_cluster(_layout([0, SLOTS - 1, [host, port, b"id"]]))

    assert addresses == (("127.0.0.1", port),)
    assert cluster.names == (f":{port}",)


def test_slots_without_a_node(port: int) -> None:
    """A cluster with holes is refused, with their number."""
    with pytest.raises(ServerError, match="16284 of 16384 hash slots have no node"):
        read_cluster(_layout([0, 99, [b"127.0.0.1", port, b"id"]]))


def test_a_node_out_of_reach() -> None:
    """The line names the node, which may have announced an address that is no use here."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{closed.getsockname()[1]}"
        layout = _layout([0, SLOTS - 1, [b"127.0.0.1", closed.getsockname()[1], b"id"]])
        with pytest.raises(ConnectError, match=f"cannot connect to {name}, a node of the cluster"):
            read_cluster(layout)


def test_no_cluster() -> None:
    """A server alone says so, and the line repeats it."""

    def refuse(*_: object) -> None:
        msg = "This instance has cluster support disabled"
        raise ServerError(msg)

    with pytest.raises(UsageError, match="is not a node of a Redis cluster: This instance"):
        read_cluster(_server(refuse))


def _keys_of_eval(_: str, *words: bytes) -> list[str]:
    """Answer COMMAND GETKEYS as Redis does for EVAL."""
    count = int(words[2]) if words[2].isdigit() else 0
    return [w.decode(errors="replace") for w in words[3 : 3 + count]]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ((b"EVAL", b"s", b"1", b"k"), 3),
        ((b"EVAL", b"k", b"1", b"k", b"k"), 3),
        ((b"EVAL", b"1", b"1", b"1"), 3),
        ((b"EVAL", b"s", b"2", b"a", b"b"), 3),
        ((b"EVAL", b"s", b"1", b"\xff"), 3),
        ((b"EVAL", b"s", b"0"), 0),
        ((b"PING",), 0),
    ],
)
def test_first_key(words: tuple[bytes, ...], place: int) -> None:
    """The key is found by its place, also among words that look the same."""
    assert first_key(_server(_keys_of_eval), words) == place


@pytest.mark.parametrize(
    "text",
    [
        "The command has no key arguments",
        "Invalid command specified",
        "Invalid number of arguments specified for command",
    ],
)
def test_no_key(text: str) -> None:
    """A command without a key, unknown or wrong: its own reply will say more than we could."""

    def refuse(*_: object) -> None:
        raise ServerError(text)

    assert first_key(_server(refuse), (b"X", b"y")) == 0


def test_who_may_not_ask() -> None:
    """A user without COMMAND GETKEYS cannot have keys routed: that is said, not guessed."""

    def refuse(*_: object) -> None:
        msg = "NOPERM this user has no permissions to run the 'command|getkeys' command"
        raise ServerError(msg)

    with pytest.raises(ServerError, match="--cluster needs COMMAND GETKEYS"):
        first_key(_server(refuse), (b"GET", b"k"))
