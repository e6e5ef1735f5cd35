"""Into an environment of its own, whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from fastbench.errors import LocalServerError
from fastbench.local_servers.state import Folder, Installed, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fastbench.local_servers.base import LocalServer

#: Byte code is made when a module is first used: of the large packages little ever is.
PIP = ("-m", "pip", "install", "--no-input", "--no-compile", "--disable-pip-version-check")


def is_installed(server: LocalServer, folder: Folder) -> bool:
    """Tell whether what this version of fastbench wants is installed, for this Python."""
    found = folder.installed
    return (
        found is not None and found.installs == server.installs and found.python == _this_python()
    )


def install(server: LocalServer, folder: Folder, say: Callable[[str], None]) -> None:
    """Make the environment anew; ``say`` gets lines for people.

    Raises :class:`LocalServerError` where that fails; nothing of it is left then but the log.
    """
    say(f"{server.name}: installing into {folder.venv} (log: {folder.install_log})")
    shutil.rmtree(folder.venv, ignore_errors=True)
    try:
        with folder.install_log.open("wb") as log:
            steps = [[sys.executable, "-m", "venv", str(folder.venv)]]
            steps += [[str(folder.python), *PIP, *words] for words in server.installs]
            failed = next((s for s in steps if subprocess.call(s, stdout=log, stderr=log)), None)
        if failed is not None:
            _fail(server, folder, failed, say)
        folder.installed = Installed(server.installs, _this_python(), _size_bytes(folder.venv))
    except BaseException:
        shutil.rmtree(folder.venv, ignore_errors=True)
        raise


def _fail(
    server: LocalServer, folder: Folder, step: Sequence[str], say: Callable[[str], None]
) -> None:
    for line in tail(folder.install_log):
        say(f"    {line}")
    msg = f"{server.name} could not be installed: {' '.join(step[1:])} failed: see "
    raise LocalServerError(msg + str(folder.install_log))


def _this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
