"""The command line as a user meets it: real processes, their output, their end."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT_S = 120.0
PROGRAM = Path(sysconfig.get_path("scripts"), "fastbench")
COMMAND = [str(PROGRAM)] if PROGRAM.exists() else [sys.executable, "-m", "fastbench"]


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error; fails where there is more, or a traceback."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("fastbench: "), self.err
        return lines[0]


def command(*arguments: object) -> list[str]:
    """Return the words that start a command."""
    return [*COMMAND, *map(str, arguments)]


def environment(**changes: str | None) -> dict[str, str]:
    """Return the environment with these changes; None = unset."""
    usual = {"COLUMNS": None, "NO_COLOR": None, "FORCE_COLOR": None, "FASTBENCH_PASSWORD": None}
    merged = {**os.environ, **usual, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def fastbench(*arguments: object, timeout_s: float = TIMEOUT_S, **variables: str | None) -> Done:
    """Run a command to its end; a variable given as None is unset.

    A run is calibrated only where a test asks for it: that takes most of a second.
    """
    done = subprocess.run(
        command(*_uncalibrated(arguments)),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=environment(**variables),
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _uncalibrated(arguments: tuple[object, ...]) -> tuple[object, ...]:
    if arguments[:1] not in {("run",), ("command",)} or "--calibrate" in arguments:
        return arguments
    return (arguments[0], "--calibrate", "never", *arguments[1:])


class Running:
    """A command that runs in a process group of its own, as a terminal would start it."""

    def __init__(self, *arguments: object) -> None:
        # Files, not pipes: nobody has to read them for the command to go on.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - read when it has ended
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
            env=environment(),
        )

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until standard output or error holds ``pattern``."""
        self.wait_until(lambda: re.search(pattern, self.err() + self.out()) is not None)
        found = re.search(pattern, self.err() + self.out())
        assert found is not None
        return found

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; fails where the command ends before."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert self.process.poll() is None, f"ended too early: {self.err()}"
            assert time.monotonic() < deadline, f"waited in vain: {self.err()}"
            time.sleep(0.01)

    def server(self) -> psutil.Process:
        """Wait for the embedded server of a ``fastbench run`` and return its process."""
        found: list[psutil.Process] = []

        def started() -> bool:
            found[:] = [p for p in children(self.process.pid) if "serve" in cmdline(p)]
            return bool(found)

        self.wait_until(started)
        return found[0]

    def signal_group(self, number: int) -> None:
        """Send a signal to all processes of the group, as the terminal does for Ctrl-C."""
        os.killpg(self.process.pid, number)

    def end(self) -> Done:
        """Wait for the end."""
        code = self.process.wait(TIMEOUT_S)
        return Done(code, self.out(), self.err())

    def out(self) -> str:
        """Return standard output so far."""
        return _content(self._out.fileno())

    def err(self) -> str:
        """Return standard error so far."""
        return _content(self._err.fileno())

    def close(self) -> None:
        """Kill what still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(TIMEOUT_S)
        self._out.close()
        self._err.close()


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[Running]:
    """Start a command; it is gone after the ``with`` block."""
    run = Running(*arguments)
    try:
        yield run
    finally:
        run.close()


def children(pid: int) -> list[psutil.Process]:
    """Return the child processes of a process that may have ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children()
    return []


def cmdline(process: psutil.Process) -> list[str]:
    """Return the arguments of a process that may have ended."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def gone(process: psutil.Process) -> bool:
    """Wait for the end of a process; False where it still runs after a long while."""
    _, alive = psutil.wait_procs([process], timeout=TIMEOUT_S)
    return not alive


def _content(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0).decode(errors="replace")
