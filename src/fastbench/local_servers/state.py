"""What is kept of a server for trials: one folder each, and what is known of it in two files.

``NAME/venv`` is whole when it holds ``installed.json``, which is written last; ``running.json``
is there from the moment a server's process exists until it is stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fastbench.cache import cache_folder
from fastbench.errors import LocalServerError, UsageError
from fastbench.local_servers import processes
from fastbench.models.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

_Record = TypeVar("_Record", bound=msgspec.Struct)
#: Of the environment: the folder that keeps servers.
VARIABLE = "FASTBENCH_SERVERS"
TAIL_LINES, TAIL_CHARACTERS = 15, 300


class Installed(msgspec.Struct, frozen=True):
    """What was installed: the arguments of pip, by which Python, and its size in bytes."""

    installs: tuple[tuple[str, ...], ...]
    python: str
    size_bytes: int


class Running(msgspec.Struct, frozen=True):
    """A server that was started.

    ``pid``: of its first process, whose session and group has the same number. ``started_ticks``:
    when that began, as the kernel says: no other process has both while the machine runs, which
    ``boot`` names. ``token``: what no other start has put into the environment of its processes.
    ``ready``: whether it answered.
    """

    pid: int
    started_ticks: int
    boot: str
    token: str
    ports: dict[str, int]
    targets: list[str]
    ready: bool = False


class Folder:
    """The folder of one server in the state folder."""

    def __init__(self, state: Path, name: str) -> None:
        self.path = state / name
        self.venv, self.work = self.path / "venv", self.path / "work"
        self.python = self.venv / "bin" / "python"
        self.install_log, self.log = self.path / "install.log", self.path / "server.log"
        self._installed, self._running = self.venv / "installed.json", self.path / "running.json"

    @property
    def packages(self) -> Path:
        """Where its packages lie."""
        return next(iter(self.venv.glob("lib/python*/site-packages")))

    @property
    def installed(self) -> Installed | None:
        """What is installed; None where nothing is, or not all of it."""
        return _read(self._installed, Installed)

    @installed.setter
    def installed(self, record: Installed) -> None:
        _write(self._installed, record)

    @property
    def running(self) -> Running | None:
        """What was started last and not stopped since; its process may have ended."""
        return _read(self._running, Running)

    @running.setter
    def running(self, record: Running | None) -> None:
        if record is None:
            self._running.unlink(missing_ok=True)
        else:
            _write(self._running, record)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep others out of it.

        Raises :class:`LocalServerError` where another process is at it, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context((self.path / "lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                msg = f"{self.path.name}: another fastbench installs, starts or stops it just now"
                raise LocalServerError(msg) from e
            except OSError as e:
                where = e.filename or self.path
                msg = f"{self.path.name}: {where}: {e.strerror or e}: choose --state"
                raise LocalServerError(msg) from e
            yield


def default_state() -> Path:
    """Return the folder in which servers are kept unless another is chosen."""
    return cache_folder() / "servers"


def holds_random_models(target: str) -> bool:
    """Tell whether ``target`` was started by ``fastbench servers``, whose models are all random.

    It is looked for in the folder that the commands use unless told otherwise.
    """
    with contextlib.suppress(OSError, UsageError):
        folders = [Folder(path.parent, path.name) for path in state_folder(None).iterdir()]
        started = [running for folder in folders if (running := folder.running)]
        return any(target in r.targets and processes.is_alive(r) for r in started)
    return False


def state_folder(given: Path | None) -> Path:
    """Return the folder ``given``, else that of ``$FASTBENCH_SERVERS``, else the default."""
    named = given or (Path(found) if (found := os.environ.get(VARIABLE)) else None)
    return named.absolute() if named is not None else default_state()


def emptied(folder: Path) -> Path:
    """Return ``folder``, which is empty now."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def tail(log: Path) -> list[str]:
    """Return the last lines of a log that say something, none of them very long."""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line[:TAIL_CHARACTERS] for line in lines if line.strip()][-TAIL_LINES:]
    return []


def _read(path: Path, kind: type[_Record]) -> _Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, record: msgspec.Struct) -> None:
    write_atomically(path, [msgspec.json.encode(record)])
