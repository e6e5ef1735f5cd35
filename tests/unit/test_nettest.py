"""The network test from Python: both ends in this process, and what is refused before it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from fastbench import nettest
from fastbench._netprobe import NetServer
from fastbench.errors import ConnectError, FastbenchError, ProtocolError, UsageError
from fastbench.nettest import Spec, Times
from fastbench.network import read

if TYPE_CHECKING:
    from pathlib import Path

SHORT = Times(duration_s=0.1, warmup_s=0.02, timeout_s=60.0)


def test_usual_tests_on_loopback() -> None:
    """Counts, bytes and latencies of all four tests fit each other."""
    told: list[str] = []
    with NetServer() as server:
        found = nettest.measure(
            f"127.0.0.1:{server.port}", nettest.usual_tests(602_112, 4004), SHORT, told.append
        )
        assert server.counts() == (4, 0, 0)

    names = ["TCP_RR", "TCP_RR", "TCP_STREAM", "TCP_MAERTS"]
    assert [test.test for test in found.tests] == names
    assert [line.split()[0] for line in told] == names
    for test in found.tests[:2]:
        assert test.latency_ms is not None
        assert test.transactions is not None
        assert test.transactions_per_s is not None
        assert test.transactions == test.latency_ms.count >= 1
        assert test.bytes_sent % test.request_bytes == 0
        assert test.bytes_sent // test.request_bytes == test.bytes_received // test.response_bytes
        assert test.transactions_per_s == pytest.approx(test.transactions / test.measured_s)
        # One at a time: together they cannot have taken longer than the whole.
        assert test.latency_ms.mean is not None
        assert test.latency_ms.mean * test.transactions <= 1e3 * test.measured_s * 1.001
    for test in found.tests[2:]:
        assert test.mbit_per_s is not None
        moved = max(test.bytes_sent, test.bytes_received)
        assert 0 < test.mbit_per_s * test.measured_s * 1e6 / 8 <= moved * 1.001
        assert min(test.bytes_sent, test.bytes_received) == 0
    assert all(test.client.nodelay and test.server.nodelay for test in found.tests)


def test_written_into_a_folder(tmp_path: Path) -> None:
    """The folder is made, holds the baseline, and a second test replaces the first."""
    folder = tmp_path / "a" / "b"
    with NetServer() as server:
        for _ in range(2):
            found = nettest.measure_into(
                folder, f"127.0.0.1:{server.port}", [Spec("TCP_RR", 10, 10)], SHORT
            )
            assert read(folder) == found

    assert [path.name for path in folder.iterdir()] == ["network.json"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    """No server: one line that names it, and no folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConnectError, match=where):
            nettest.measure_into(tmp_path / "new", where, [Spec("TCP_RR", 1)], SHORT)

    assert list(tmp_path.iterdir()) == []


def test_wrong_server() -> None:
    """Whoever answers with other bytes is named as no such server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"-ERR unknown command\r\n")
                while peer.recv(100):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        times = Times(duration_s=0.1, warmup_s=0, timeout_s=0.3)
        with pytest.raises(ProtocolError, match="no `fastbench net serve`"):
            nettest.measure(f"127.0.0.1:{listener.getsockname()[1]}", [Spec("TCP_RR", 1)], times)
        thread.join()


@pytest.mark.parametrize(
    "server", ["", "host", "host:", ":7400", "host:0", "host:99999", "a:1/x", "me@a:1", "[::1:5"]
)
def test_what_is_no_address(server: str) -> None:
    """The form is named before anything is tried."""
    with pytest.raises(UsageError, match="HOST:PORT"):
        nettest.resolve(server)


def test_addresses() -> None:
    """Names, IPv4 and IPv6 are resolved to numbers."""
    assert nettest.resolve("127.0.0.1:7400") == ("127.0.0.1", 7400)
    assert nettest.resolve("[::1]:7400") == ("::1", 7400)
    assert nettest.resolve("localhost:1")[0] in {"127.0.0.1", "::1"}
    with pytest.raises(ConnectError, match="no address is known"):
        nettest.resolve("name.invalid:1")


@pytest.mark.parametrize(
    ("spec", "times"),
    [
        (Spec("TCP_RR", 0), SHORT),
        (Spec("TCP_RR", 1, 2**30 + 1), SHORT),
        (Spec("TCP_RR", 1), Times(duration_s=0)),
        (Spec("TCP_RR", 1), Times(duration_s=float("nan"))),
        (Spec("TCP_RR", 1), Times(duration_s=4000)),
        (Spec("TCP_RR", 1), Times(warmup_s=-1)),
        (Spec("TCP_RR", 1), Times(timeout_s=0)),
        (Spec("TCP_RR", 1), Times(timeout_s=float("inf"))),
    ],
)
def test_limits(spec: Spec, times: Times) -> None:
    """Sizes and times outside the limits are wrong usage, before any connection."""
    with pytest.raises(UsageError):
        nettest.measure("127.0.0.1:1", [spec], times)


def test_server_needs_a_numeric_address() -> None:
    """Names are for clients; a port in use is named."""
    with pytest.raises(FastbenchError, match="numeric"):
        NetServer("localhost")
    with NetServer() as server, pytest.raises(FastbenchError, match="cannot listen"):
        NetServer("127.0.0.1", server.port)
