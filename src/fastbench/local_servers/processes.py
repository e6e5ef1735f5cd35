"""The processes of a server: all those of the session that its first one leads.

Source: proc(5), /proc/PID/stat and environ; random(4), boot_id.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastbench.local_servers.state import Running

PROC = Path("/proc")
ENDED = frozenset("ZX")  # states of a process that only waits to be noticed
#: The variable that tells a server's processes from those of others.
VARIABLE = "FASTBENCH_SERVER_TOKEN"
GENTLE_S, HARSH_S, LOOK_S = 20.0, 10.0, 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says of a process. ``started_ticks``: since the machine was started."""

    state: str
    session: int
    started_ticks: int


def look(pid: int) -> Process | None:
    """Return a process, None where there is none of this number."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    words = text.rpartition(")")[2].split()  # the third field and those after it
    return Process(words[0], int(words[3]), int(words[19]))


def boot() -> str:
    """Return the kernel's name for the time since the machine was started, "" where unknown."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def members(running: Running) -> list[int]:
    """Return the processes of a server that have not ended.

    The kernel may have given its number to another session since. Its own one has the leader that
    was recorded: no two began in the same tick of one boot. Where the leader is gone, processes
    are those of the server that have its token.
    """
    leader = look(running.pid)
    if running.boot != boot() or (leader and leader.started_ticks != running.started_ticks):
        return []
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    found = ((pid, look(pid)) for pid in pids)
    alive = [p for p, it in found if it and it.session == running.pid and it.state not in ENDED]
    return [pid for pid in alive if leader or _has_token(pid, running.token)]


def _has_token(pid: int, token: str) -> bool:
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{VARIABLE}={token}".encode() in variables


def is_alive(running: Running) -> bool:
    """Tell whether the first process of a server still runs."""
    return running.pid in members(running)


def end(running: Running) -> bool:
    """End a server: tell whether all its processes are gone.

    First the first one alone, which may have its own to end in order, then those that are left,
    then by force.
    """
    _signal([running.pid] if is_alive(running) else [], signal.SIGTERM)
    _wait(lambda: not is_alive(running), GENTLE_S)
    for number, seconds in ((signal.SIGTERM, GENTLE_S), (signal.SIGKILL, HARSH_S)):
        _signal(members(running), number)
        if _wait(lambda: not members(running), seconds):
            return True
    return False


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
