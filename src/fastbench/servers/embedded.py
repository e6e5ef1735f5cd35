"""The embedded server as a process of its own: started, waited for, stopped whatever happens."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastbench.errors import ServerError
from fastbench.password import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType
    from typing import Self

READY = "fastbench serve: ready on "
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
STDERR_TAIL_BYTES = 2000


class EmbeddedServer:
    """A ``fastbench serve`` process, to be used in a ``with`` statement.

    ``unix``: listen on a socket in a private folder instead of a free loopback port.
    ``cpus``: that its threads may use; empty = those of the thread that starts it.
    ``options``: further options of ``fastbench serve``, e.g. ``("--intra-op", "1")``.
    The server holds the reading end of a pipe from this process and ends when that closes, so
    it also ends when this process is killed.

    Raises :class:`ServerError` with the last words of the server when it does not start.
    """

    def __init__(
        self,
        *,
        unix: bool = False,
        cpus: Collection[int] = (),
        options: tuple[str, ...] = (),
    ) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None  # of the unix socket
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
        self._unix = unix
        self._cpus = cpus
        self._options = options
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the server, which must have been started."""
        if self._process is None:
            msg = "the embedded server is not running"
            raise ServerError(msg)
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it accepts connections; sets ``url``."""
        try:
            self._process = self._spawn()
            self.url = _url(self._wait_ready(self._process))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, by force if need be, and remove its files. May be called again."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._stderr.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        where = ["--port", "0"]
        if self._unix:
            self._folder = Path(tempfile.mkdtemp(prefix="fastbench-serve-"))
            where = ["--unix", str(self._folder / "socket")]
        command = [sys.executable, "-m", "fastbench", "serve", "--announce", "--watch-stdin"]
        # A password meant for other servers must not close this one, which is ours alone.
        secret = ("FASTBENCH_REQUIREPASS", PASSWORD_VARIABLE)
        environment = {k: v for k, v in os.environ.items() if k not in secret}
        with _affinity(self._cpus):
            return subprocess.Popen(
                [*command, *where, *self._options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=environment,
                # Ctrl-C in the terminal is for the client, which still needs the server then.
                start_new_session=True,
            )

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> str:
        """Return the address in the line that the server prints when it is ready."""
        line = _read_line(process, time.monotonic() + START_TIMEOUT_S)
        if not line.startswith(READY):
            code = process.poll()
            state = "did not get ready in time" if code is None else f"ended with exit code {code}"
            msg = f"the embedded server {state}: {self._stderr_tail()}"
            raise ServerError(msg)
        return line.removeprefix(READY).strip()

    def _stderr_tail(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read()[-STDERR_TAIL_BYTES:].decode(errors="replace")
        return " ".join(text.split()) or "it printed nothing"


@contextlib.contextmanager
def _affinity(cpus: Collection[int]) -> Iterator[None]:
    """Let this thread use ``cpus`` alone for a moment: a process that it starts inherits that."""
    before = os.sched_getaffinity(0)
    try:
        if cpus:
            os.sched_setaffinity(0, cpus)
        yield
    finally:
        os.sched_setaffinity(0, before)


def _url(address: str) -> str:
    kind, _, path = address.partition(":")
    return f"redisai+unix://{path}" if kind == "unix" else f"redisai://{address}"


def _read_line(process: subprocess.Popen[bytes], deadline: float) -> str:
    """Read stdout up to the end of the first line, the end of the file or the deadline."""
    assert process.stdout is not None  # noqa: S101  it was opened as a pipe
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_TIMEOUT_S)
                break
            line += piece
    return line.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
