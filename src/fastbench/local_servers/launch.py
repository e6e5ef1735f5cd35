"""From an installed server to one that answers."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from fastbench.errors import LocalServerError
from fastbench.interrupts import deferred
from fastbench.local_servers import processes
from fastbench.local_servers.base import HOST, MODELS, Place
from fastbench.local_servers.state import Folder, Running, emptied, tail
from fastbench.models.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastbench.local_servers.base import LocalServer

START_S = 300.0
LOOK_S = 0.1
#: A port may be taken between choosing and binding it, and Triton's Python backend was seen to
#: abort on a busy machine (boost::interprocess::lock_exception).
ATTEMPTS = 3
#: Would lead a server's Python away from its own packages.
DROPPED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV")


class EndedError(LocalServerError):
    """A server ended before it was ready."""


def launch(server: LocalServer, folder: Folder, say: Callable[[str], None]) -> Running:
    """Start a server on free ports and wait until its models answer; where it ends, try again.

    Raises :class:`LocalServerError` where that fails: nothing of it runs then, or the line says
    what does not end, and ``say`` got the last lines of its log.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(EndedError):
            return _launch(server, folder, say)
    return _launch(server, folder, say)


def _launch(server: LocalServer, folder: Folder, say: Callable[[str], None]) -> Running:
    place = _place(server, folder)
    (folder.work / "tmp").mkdir()
    say(f"{server.name}: starting (log: {folder.log})")
    command, process, running = server.prepare(place), None, None
    try:
        with deferred():  # no process without a record
            process, running = spawn(server, command, place, folder)
            folder.running = running
        _wait(server, folder, place.ports, process, say)
        running = msgspec.structs.replace(running, ready=True)
        folder.running = running
    except BaseException:
        if running is not None:
            end(server, running)  # the record stays where it does not end
        folder.running = None
        raise
    finally:
        if process is not None and process.poll() is None:
            process.returncode = 0  # it goes on without us, which is no mistake
    return running


def end(server: LocalServer, running: Running) -> None:
    """End a server. Raises :class:`LocalServerError` where some of its processes remain."""
    gone = processes.end(running)
    server.clean_up(running.ports)
    if not gone:
        pids = ", ".join(map(str, processes.members(running)))
        msg = f"{server.name}: processes of it do not end, pid {pids}: end them by hand, then again"
        raise LocalServerError(msg)


def _place(server: LocalServer, folder: Folder) -> Place:
    models = [load_model(name) for name in MODELS]
    ports = _free_ports(server.ports)
    return Place(folder.python, folder.packages, emptied(folder.work), ports, models)


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """Return a port for each name that nobody listens on."""
    probes = [socket.create_server((HOST, 0)) for _ in names]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return dict(zip(names, ports, strict=True))


def spawn(
    server: LocalServer, command: list[str], place: Place, folder: Folder
) -> tuple[subprocess.Popen[bytes], Running]:
    """Start the first process, which leads a session; the log before this one is kept, too.

    Raises OSError where it cannot be started.
    """
    token = secrets.token_hex()
    own = {**server.environment(place), processes.VARIABLE: token}
    ports, targets = dict(place.ports), server.targets(place.ports)
    if folder.log.exists():
        folder.log.replace(folder.log.with_suffix(".log.1"))
    with folder.log.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder.work,
            env=_environment(folder, own),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    began = _started_ticks(process.pid)
    return process, Running(process.pid, began, processes.boot(), token, ports, targets)


def _environment(folder: Folder, own: Mapping[str, str]) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if name not in DROPPED}
    path = f"{folder.python.parent}{os.pathsep}{usual.get('PATH', os.defpath)}"
    return {**usual, "PATH": path, "TMPDIR": str(folder.work / "tmp"), **own}


def _started_ticks(pid: int) -> int:
    process = processes.look(pid)
    assert process is not None  # noqa: S101 - its number is its own until we wait for it
    return process.started_ticks


def _wait(
    server: LocalServer,
    folder: Folder,
    ports: Mapping[str, int],
    process: subprocess.Popen[bytes],
    say: Callable[[str], None],
) -> None:
    """Wait until it is ready. Raises :class:`LocalServerError` where it ends or takes too long."""
    deadline = time.monotonic() + START_S
    while not _is_ready(server, ports):
        code, late = process.poll(), time.monotonic() > deadline
        if code is not None or late:
            for line in tail(folder.log):
                say(f"    {line}")
            why = f"not ready in {START_S:g} s" if code is None else f"it ended with code {code}"
            msg = f"{server.name} did not start: {why}: see {folder.log}"
            raise LocalServerError(msg) if code is None else EndedError(msg)
        time.sleep(LOOK_S)


def _is_ready(server: LocalServer, ports: Mapping[str, int]) -> bool:
    try:
        return server.ready(ports)
    except (OSError, ValueError):
        return False
