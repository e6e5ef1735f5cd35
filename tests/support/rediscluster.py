"""A real Redis or Valkey cluster of three masters for a test: own processes, free ports."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.redisserver import LIMIT_S, port_of, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

NODES = 3
SLOTS = 16384
OPTIONS = ("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Nodes:
    """The masters of a cluster, each with a client of its own and an even share of the slots."""

    clients: list[redis.Redis]
    ports: list[int]
    ids: list[str]

    @property
    def url(self) -> str:
        """Of the first node."""
        return f"redis://127.0.0.1:{self.ports[0]}"

    @property
    def tls_url(self) -> str:
        """Of the first node, where the cluster was started with ``--tls-cluster yes``."""
        return f"rediss://127.0.0.1:{_tls_port(self.clients[0])}"

    def slot(self, key: str | bytes) -> int:
        """Return the hash slot of a key, as Redis says."""
        return int(self.clients[0].execute_command("CLUSTER KEYSLOT", key))

    def owner(self, slot: int) -> int:
        """Return the index of the node that has a slot, as the first node knows."""
        return self.owners()[slot]

    def owners(self, seen_by: int = 0) -> list[int]:
        """Return the index of the node of each slot."""
        found = [-1] * SLOTS
        for first, last, master, *_ in self.clients[seen_by].execute_command("CLUSTER", "SLOTS"):
            node = self.ports.index(master[1])
            found[first : last + 1] = [node] * (last + 1 - first)
        return found

    def begin_migration(self, slot: int, source: int, target: int) -> None:
        """From now on the source answers ASK for keys of the slot that it does not have."""
        self._setslot(target, slot, "IMPORTING", self.ids[source])
        self._setslot(source, slot, "MIGRATING", self.ids[target])

    def move_keys(self, slot: int, source: int, target: int) -> int:
        """Move the keys that the source has of a slot now; return how many."""
        moved = 0
        while keys := self.clients[source].execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            self.clients[source].execute_command(
                "MIGRATE", "127.0.0.1", self.ports[target], "", 0, 10_000, "KEYS", *keys
            )
            moved += len(keys)
        return moved

    def end_migration(self, slot: int, source: int, target: int) -> None:
        """Give the slot to the target: the others answer MOVED."""
        for node in (target, source, *range(NODES)):
            self._setslot(node, slot, "NODE", self.ids[target])

    def _setslot(self, node: int, slot: int, *words: str) -> None:
        self.clients[node].execute_command("CLUSTER", "SETSLOT", slot, *words)


@contextlib.contextmanager
def cluster(program: str, folder: Path, *options: str) -> Iterator[Nodes]:
    """Start three masters of ``program`` with their files below ``folder``, and join them."""
    with contextlib.ExitStack() as stack:
        clients = []
        for i in range(NODES):
            place = folder / str(i)
            place.mkdir()
            clients.append(_start_node(stack, program, place, options))
        ports = [port_of(client) for client in clients]
        _join(clients, ports)
        ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        nodes = Nodes(clients, ports, ids)
        _until(lambda: all(-1 not in nodes.owners(seen_by=i) for i in range(NODES)))
        _until(lambda: all(_state(client) == b"ok" for client in clients))
        yield nodes


def _start_node(
    stack: contextlib.ExitStack, program: str, folder: Path, options: tuple[str, ...]
) -> redis.Redis:
    for _ in range(5):  # a port may be taken between choosing and binding
        ports = ["--cluster-port", str(_free_port())]
        ports += ["--tls-port", str(_free_port())] if "--tls-cluster" in options else []
        with contextlib.suppress(RuntimeError):
            return stack.enter_context(running(program, folder, *OPTIONS, *ports, *options))
    msg = f"{program} does not start as a node of a cluster"
    raise RuntimeError(msg)


def _tls_port(client: redis.Redis) -> int:
    return int(client.config_get("tls-port")["tls-port"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _join(clients: list[redis.Redis], ports: list[int]) -> None:
    for i, client in enumerate(clients):
        first, last = SLOTS * i // NODES, SLOTS * (i + 1) // NODES - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
    bus = int(clients[0].config_get("cluster-port")["cluster-port"])
    port = _tls_port(clients[0]) or ports[0]
    for client in clients[1:]:
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)


def _state(client: redis.Redis) -> bytes:
    fields = dict(
        line.split(b":", 1)
        for line in client.execute_command("CLUSTER", "INFO").splitlines()
        if b":" in line
    )
    return fields[b"cluster_state"]


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the nodes do not find together"
        time.sleep(0.05)
