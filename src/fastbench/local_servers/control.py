"""Install, start and stop a server, and say what there is."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.errors import LocalServerError
from fastbench.local_servers import install as installing
from fastbench.local_servers import processes
from fastbench.local_servers.launch import end, launch
from fastbench.local_servers.state import Folder, Installed, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastbench.local_servers.base import LocalServer

    Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a server. ``running``: None = no; ``installed``: None = not whole or old."""

    server: LocalServer
    installed: Installed | None
    running: Running | None


def status(server: LocalServer, state: Path) -> Status:
    """Return how it stands with a server."""
    folder = Folder(state, server.name)
    running = folder.running
    alive = running is not None and processes.is_alive(running)
    whole = installing.is_installed(server, folder)
    return Status(server, folder.installed if whole else None, running if alive else None)


def install(server: LocalServer, state: Path, say: Say) -> None:
    """Install a server where it is not; ``say`` gets lines for people.

    Raises :class:`LocalServerError` where that fails, or it runs in what would be replaced.
    """
    folder = Folder(state, server.name)
    with _held(folder):
        _install(server, folder, say)


def start(server: LocalServer, state: Path, say: Say) -> Running:
    """Start a server, installed first where it is not, and wait until its models answer.

    One that runs already is left as it is. Raises :class:`LocalServerError`; nothing of it runs
    then, and ``say`` got the last lines of its log. What is left of an earlier start is ended
    first; where it does not end nothing is started.
    """
    folder = Folder(state, server.name)
    with _held(folder):
        before = folder.running
        if before is not None and before.ready and processes.is_alive(before):
            say(f"{server.name}: runs already, pid {before.pid}")
            return before
        if before is not None:  # what an interrupted start or a crash has left
            end(server, before)
        _install(server, folder, say)
        return launch(server, folder, say)


def stop(server: LocalServer, state: Path, say: Say) -> None:
    """End all processes of a server. Raises :class:`LocalServerError` where some remain."""
    folder = Folder(state, server.name)
    if not folder.path.exists():
        say(f"{server.name}: not running")
        return
    with _held(folder):
        running = folder.running
        runs = running is not None and bool(processes.members(running))
        if running is not None:
            end(server, running)  # after a crash it cleans up only
        say(f"{server.name}: {'stopped' if runs else 'not running'}")
        folder.running = None


@contextlib.contextmanager
def _held(folder: Folder) -> Iterator[None]:
    """Keep others out; what the system refuses meanwhile is a :class:`LocalServerError`."""
    with folder.locked():
        try:
            yield
        except OSError as e:
            msg = f"{folder.path.name}: {e.filename or folder.path}: {e.strerror or e}"
            raise LocalServerError(msg) from e


def _install(server: LocalServer, folder: Folder, say: Say) -> None:
    if (missing := server.missing()) is not None:
        msg = f"{server.name} cannot run here: {missing}"
        raise LocalServerError(msg)
    if installing.is_installed(server, folder):
        return
    running = folder.running
    if running is not None and processes.members(running):
        msg = f"{server.name} runs (pid {running.pid}) in what is to be replaced: stop it first"
        raise LocalServerError(msg)
    installing.install(server, folder, say)
