"""Which process is the server: found in trees that stand for machines, and on this one."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from support import faketree

from fastbench.servers import local_process
from fastbench.servers.local_process import find

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.plan import Address

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the trees are little-endian's")

TCP = "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode"
V4 = " 0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 {uid} 0 777 1 0 100"
ANY = V4.replace("0100007F", "00000000")
MAPPED = V4.replace("0100007F", "0000000000000000FFFF00000100007F")
CONNECTED = V4.replace(" 0A ", " 01 ")
OTHER_PORT = V4.replace("18EB", "18EC")
HERE: Address = ("127.0.0.1", 6379)


def tree(root: Path, line: str, *, pid: int = 42, inner: str = "42", **files: str) -> Path:
    """Return a machine where ``pid`` holds the socket 777 and ``line`` stands in /proc/net/tcp."""
    faketree.plant(
        root,
        {
            "proc/net/tcp": f"{TCP}\n{line.format(uid=os.getuid())}",
            f"proc/{pid}/status": f"Name:\tredis-server\nNSpid:\t{inner}",
            f"proc/{pid}/cmdline": "/usr/bin/redis-server\0*:6379\0",
            **files,
        },
    )
    descriptors = root / f"proc/{pid}/fd"
    descriptors.mkdir()
    (descriptors / "6").symlink_to("socket:[777]")
    return root


@pytest.mark.parametrize("line", [V4, ANY, MAPPED])
def test_process_that_holds_the_listening_socket(tmp_path: Path, line: str) -> None:
    """The address itself, any address, and IPv4 in IPv6."""
    assert find(HERE, 42, tree(tmp_path, line)) == 42


@pytest.mark.parametrize("line", [CONNECTED, OTHER_PORT, "garbage", ""])
def test_sockets_of_other_kinds(tmp_path: Path, line: str) -> None:
    """A connected socket, or another port, is not the server's."""
    assert find(HERE, 42, tree(tmp_path, line)) is None


def test_told_process_without_the_socket(tmp_path: Path) -> None:
    """A tunnel's far end tells a number that is somebody else's here."""
    root = tree(tmp_path, V4, pid=99, inner="99")
    faketree.plant(root, {"proc/42/status": "Name:\tcron\nNSpid:\t42"})
    (root / "proc/42/fd").mkdir()

    assert find(HERE, 42, root) is None


def test_process_in_a_container(tmp_path: Path) -> None:
    """It tells 1, as it sees itself; here it is the process whose innermost id is 1."""
    root = tree(tmp_path, V4, pid=5000, inner="5000\t1")
    faketree.plant(root, {"proc/1/status": "Name:\tinit\nNSpid:\t1"})
    (root / "proc/1/fd").mkdir()

    assert find(HERE, 1, root) == 5000


@pytest.mark.parametrize(
    ("command", "found"),
    [("/usr/bin/redis-server\0*:6379", 42), ("valkey-server\0", 42), ("stunnel\0redis", None)],
)
def test_process_of_another_user(tmp_path: Path, command: str, found: int | None) -> None:
    """Where descriptors cannot be seen, the program's name and the socket's user must fit."""
    root = tree(tmp_path, V4)
    faketree.plant(root, {"proc/42/cmdline": command})
    (root / "proc/42/fd/6").unlink()
    (root / "proc/42/fd").rmdir()

    assert find(HERE, 42, root) == found


def test_other_users_server_on_the_same_port(tmp_path: Path) -> None:
    """A fitting name is not enough: the socket must be that user's."""
    root = tree(tmp_path, V4.replace("{uid}", "4242"))
    (root / "proc/42/fd/6").unlink()
    (root / "proc/42/fd").rmdir()

    assert find(HERE, 42, root) is None


def test_unix_socket(tmp_path: Path) -> None:
    """The path as the server bound it, in the listening state."""
    lines = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 778 /run/r.sock\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 777 /run/r.sock"
    )
    root = tree(tmp_path, "", **{"proc/net/unix": lines})

    assert find("/run/r.sock", 42, root) == 42
    assert find("/run/other.sock", 42, root) is None


def test_no_number_told_and_nothing_to_see(tmp_path: Path) -> None:
    """A server that does not tell its number, and a /proc that hides all: unknown, no error."""
    assert find(HERE, 0, tree(tmp_path / "a", V4)) is None
    assert find(HERE, 42, tmp_path / "b") is None


def test_address_of_another_machine(tmp_path: Path) -> None:
    """A socket that listens on any address here says nothing about another machine."""
    assert find(("192.0.2.1", 6379), 42, tree(tmp_path, ANY)) is None


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_sockets_of_this_process(host: str, family: socket.AddressFamily) -> None:
    """The kernel's own files, read for a socket that this process has opened."""
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        listener.listen()
        address = (host, listener.getsockname()[1])

        assert find(address, os.getpid()) == os.getpid()
        assert find(address, os.getppid()) is None
    assert find(address, os.getpid()) is None


def test_addresses_are_written_as_the_kernel_does() -> None:
    """32-bit words in the machine's byte order; IPv6 has four of them."""
    assert local_process._hex("127.0.0.1") == "0100007F"
    assert local_process._hex("::1") == 24 * "0" + "01000000"
    assert local_process._hex("no address") == ""
