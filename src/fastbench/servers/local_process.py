"""Which process of this machine is a server: what it says of itself, checked against the kernel.

A process id from INFO alone proves nothing: behind a tunnel or in a container it is a number of
another machine or of another namespace. So the process must hold the listening socket.

Sources: proc(5) (/proc/net/tcp, /proc/net/unix, /proc/PID/fd), pid_namespaces(7) and the kernel's
Documentation/filesystems/proc.rst (``NSpid``), unix(7) (SO_PEERCRED).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.plan import Address

ROOT = Path("/")
#: What a server's program may be called where its sockets cannot be seen (another user's).
SERVERS = ("redis", "valkey", "keydb", "dragonfly", "fastbench")

_LISTENS = "0A"  # the state TCP_LISTEN in /proc/net/tcp
_ACCEPTS = "00010000"  # the flag of a listening socket in /proc/net/unix
_WORD_BYTES = 4


def find(address: Address, told_pid: int, root: Path = ROOT) -> int | None:
    """Return the id, as seen from here, of the server that listens on ``address``.

    ``told_pid``: its id as it sees itself. None where no process is both.
    """
    sockets = _listening(address, root)
    if not told_pid or not sockets:
        return None
    candidates = (pid for pid in _with_inner_pid(told_pid, root) if _owns(pid, sockets, root))
    return next(candidates, None)


def _with_inner_pid(told_pid: int, root: Path) -> Iterator[int]:
    """Yield the processes that know themselves as ``told_pid``, the one named so here first."""
    proc = root / "proc"
    others = (int(entry.name) for entry in proc.glob("[0-9]*"))
    for pid in (told_pid, *(other for other in others if other != told_pid)):
        with contextlib.suppress(OSError):
            status = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
            inner = re.search(r"^NSpid:.*?(\d+)$", status, re.MULTILINE)
            if int(inner[1]) == told_pid if inner else pid == told_pid:
                yield pid


def _owns(pid: int, sockets: dict[str, int | None], root: Path) -> bool:
    """Tell whether the process holds one of ``sockets`` (inode → user).

    Where its descriptors may not be seen, its name and its user must fit.
    """
    folder = root / "proc" / str(pid)
    try:
        held = {_target(fd) for fd in (folder / "fd").iterdir()}
    except OSError:
        return _looks_like_a_server(folder) and _user(folder) in sockets.values()
    return any(f"socket:[{inode}]" in held for inode in sockets)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _looks_like_a_server(folder: Path) -> bool:
    try:
        program = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return False
    return any(name in program for name in SERVERS)


def _user(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def _listening(address: Address, root: Path) -> dict[str, int | None]:
    """Return the inodes of the sockets that listen on ``address``, and their users if known."""
    net = root / "proc/net"
    if isinstance(address, str):
        return dict(_unix_sockets(net / "unix", address))
    host, port = address
    if not _is_here(host):
        return {}
    hosts = (host, "0.0.0.0", "::", f"::ffff:{host}")  # noqa: S104 - nothing is bound
    wanted = {f"{_hex(name)}:{port:04X}" for name in hosts}
    found = (line for file in ("tcp", "tcp6") for line in _tcp_sockets(net / file))
    return {inode: user for local, inode, user in found if local in wanted}


def _is_here(host: str) -> bool:
    """Tell whether ``host`` is an address of this machine: nothing else can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _tcp_sockets(file: Path) -> Iterator[tuple[str, str, int]]:
    """Yield local address, inode and user of each listening socket."""
    for line in _lines(file):
        words = line.split()
        if words[9:] and words[3] == _LISTENS:
            yield words[1], words[9], int(words[7])


def _unix_sockets(file: Path, path: str) -> Iterator[tuple[str, None]]:
    for line in _lines(file):
        words = line.split(maxsplit=7)
        if words[7:] == [path] and words[3] == _ACCEPTS:
            yield words[6], None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError:
        return []


def _hex(host: str) -> str:
    """Return an address as /proc/net/tcp writes it: 32-bit words in the machine's byte order."""
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        return ""
    words = (packed[i : i + _WORD_BYTES] for i in range(0, len(packed), _WORD_BYTES))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
