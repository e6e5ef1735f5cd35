"""`fastbench net` as processes: both ends, a result folder, strangers, Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from support.cli import fastbench, running

if TYPE_CHECKING:
    from pathlib import Path

READY = r"ready on (\S+)"
SHORT = ("--duration", 0.2, "--warmup", 0.05)


def test_both_ends(tmp_path: Path) -> None:
    """The tests are printed and kept; the server says what it has served."""
    out = tmp_path / "result"
    with running("net", "serve") as server:
        address = server.wait_for(READY)[1]
        done = fastbench("net", address, *SHORT, "--out", out, "--quiet")
        told = fastbench("net", "test", address, *SHORT, "--format", "json")
        server.process.send_signal(signal.SIGTERM)
        ended = server.end()

    assert done.code == 0
    assert done.err == ""
    assert [line.split(",")[0] for line in done.out.splitlines() if line.startswith("TCP_")] == [
        "TCP_RR",
        "TCP_RR",
        "TCP_STREAM",
        "TCP_MAERTS",
    ]
    kept = json.loads((out / "network.json").read_text())
    assert kept["server"] == address
    assert kept["tests"][1]["request_bytes"] == 602_112
    assert len(json.loads(told.out)["tests"]) == 4
    assert len(told.err.splitlines()) == 4
    assert ended.code == 0
    assert "8 tests served, 0 connections refused, 0 tests broken off" in ended.out


def test_stray_client_is_told_and_the_server_goes_on() -> None:
    """A web browser reads one line; the next test works."""
    with running("net", "serve") as server:
        address = server.wait_for(READY)[1]
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=60) as stray:
            stray.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"fastbench net serve" in stray.makefile("rb").readline()
        assert fastbench("net", address, *SHORT).code == 0
        server.process.send_signal(signal.SIGINT)
        assert "1 connections refused" in server.end().out


def test_ctrl_c_ends_a_long_test(tmp_path: Path) -> None:
    """It ends at once with the code of an interruption, and leaves no folder behind."""
    out = tmp_path / "out"
    with running("net", "serve") as server:
        address = server.wait_for(READY)[1]
        with running("net", address, "--duration", 3000, "--out", out) as client:
            client.wait_for("TCP_RR")
            client.process.send_signal(signal.SIGINT)
            done = client.end()

    assert done.code == 130
    assert "Traceback" not in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere",),
        ("127.0.0.1:1", "--duration", 0),
        ("127.0.0.1:1", "--request-bytes", 0),
        ("127.0.0.1:1", "--format", "html"),
        ("serve", "--host", "localhost"),
    ],
)
def test_wrong_usage(arguments: tuple[object, ...]) -> None:
    """One line, exit code 2."""
    done = fastbench("net", *arguments)

    assert done.code == 2
    assert done.line


def test_nobody_there() -> None:
    """One line names the server and what may be missing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = fastbench("net", f"127.0.0.1:{free.getsockname()[1]}", "--quiet")

    assert done.code == 1
    assert "fastbench net serve" in done.line
