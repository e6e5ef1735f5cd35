"""A real Redis server that speaks TLS, for a test: it can be stopped and started again."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from support.certificates import Authority, Pair

LIMIT_S = 60.0


class TlsServer:
    """``program`` on a TLS port, a plain port and a unix socket; use as a context manager.

    ``client``: over the unix socket. ``options``: e.g. ``--tls-auth-clients yes``.
    """

    def __init__(
        self, program: str, folder: Path, authority: Authority, pair: Pair, *options: str
    ) -> None:
        """Choose the ports; nothing is started yet."""
        self.port, self.plain_port = _free_ports()
        self.client = redis.Redis(unix_socket_path=str(folder / "s"))
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(program, "--port", str(self.plain_port), "--tls-port", str(self.port)),
            *("--bind", "127.0.0.1", "--dir", str(folder), "--unixsocket", str(folder / "s")),
            *("--tls-cert-file", str(pair.cert), "--tls-key-file", str(pair.key)),
            *("--tls-ca-cert-file", str(authority.cert), "--save", "", "--appendonly", "no"),
            *(options if "--tls-auth-clients" in options else ("--tls-auth-clients", "no")),
            *(() if "--tls-auth-clients" in options else options),
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self.client.close()

    @property
    def url(self) -> str:
        """The target for plain commands over TLS."""
        return f"rediss://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + LIMIT_S
        while self._process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
                if self.client.ping():
                    return
            time.sleep(0.02)
        msg = "the server does not start"
        raise RuntimeError(msg)

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)

    def calls(self, command: str) -> int:
        """Return how many such commands it has executed."""
        stats = self.client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def _free_ports() -> tuple[int, int]:
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        return a.getsockname()[1], b.getsockname()[1]
