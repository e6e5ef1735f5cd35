"""Logging in: the password from a file or a terminal, and never in what anybody can see."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import redisserver
from support.certificates import Authority
from support.cli import TIMEOUT_S, command, environment, fastbench, running
from support.fakeserver import FakeServer, Reply, Request
from support.tlsserver import TlsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

SECRET = "s3cret-word"
SHORT = ("--repetitions", "1", "--quiet", "-n", "50", "--no-pin")
REDIS = next(iter(redisserver.programs()), None)

pytestmark = pytest.mark.skipif(REDIS is None, reason="no redis-server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """Return a server with a user ``ann``."""
    with redisserver.running(str(REDIS), tmp_path) as client:
        allow(client)
        yield client


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """Return a private file with the password."""
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def allow(client: redis.Redis) -> None:
    """Let ``ann`` do everything, with the password."""
    client.execute_command("ACL", "SETUSER", "ann", "on", f">{SECRET}", "~*", "+@all")


def url_of(client: redis.Redis) -> str:
    """Return the target with the user."""
    return f"redis://ann@127.0.0.1:{redisserver.port_of(client)}"


def logins(client: redis.Redis) -> int:
    """Return how many AUTH and HELLO commands the server has executed."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("auth", "hello"))


@pytest.mark.parametrize("resp", [2, 3])
def test_password_file(server: redis.Redis, secret_file: Path, tmp_path: Path, resp: int) -> None:
    """The ACL user of the URL logs in with the file's password, which no output has."""
    out = tmp_path / "out"
    options = (*SHORT, "--resp", resp, "--password-file", secret_file, "--out", out)

    done = fastbench("command", url_of(server), *options, "--", "PING")

    written = "".join(path.read_text() for path in out.iterdir())
    assert done.code == 0, done.err
    assert done.err == ""
    assert logins(server) >= 2  # of the control plane and of the engine
    assert json.loads((out / "result.json").read_text())["repetitions"][0]["counts"]["ok"] == 50
    assert SECRET not in done.out + done.err + written


def test_password_file_over_tls(secret_file: Path, tmp_path: Path) -> None:
    """The same over TLS, for a run and for a model, which this server cannot take."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "IP:127.0.0.1")
    with TlsServer(str(REDIS), tmp_path, authority, pair) as server:
        allow(server.client)
        url = server.url.replace("://", "://ann@")
        how = ("--tls-ca", authority.cert, "--password-file", secret_file)
        run = fastbench("command", url, *SHORT, *how, "--", "PING")
        load = fastbench("model", "load", url.replace("rediss", "redisais"), "mean_rgb_224", *how)
        anyone = fastbench("model", "check", url.replace("rediss", "redisais"), "mean_rgb_224")

    assert run.code == 0, run.err
    assert load.code == 1
    assert "without the RedisAI module" in load.line  # it logged in and asked
    assert "--tls-ca" in anyone.line


def test_model_tls_options_need_tls() -> None:
    """Options of TLS for a plain target are a mistake, not ignored."""
    done = fastbench("model", "check", "redisai://127.0.0.1:1", "mean_rgb_224", "--tls-insecure")

    assert done.code == 2
    assert "target without TLS" in done.line


def test_ask_password(server: redis.Redis) -> None:
    """A terminal is asked, does not echo, and what it gave logs in."""
    words = command(
        "command", url_of(server), *SHORT, "--ask-password", "--format", "json", "--", "PING"
    )
    main, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            words,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            preexec_fn=lambda: take_terminal(terminal),  # noqa: PLW1509 - it only makes a call
        )
        shown = read_until(main, b"Password: ")
        os.write(main, f"{SECRET}\n".encode())
        out, err = process.communicate(timeout=TIMEOUT_S)
        os.set_blocking(main, False)
        shown += os.read(main, 10_000)
    finally:
        os.close(main)
        os.close(terminal)

    assert process.returncode == 0, err
    assert json.loads(out)["repetitions"][0]["counts"]["ok"] == 50
    assert SECRET.encode() not in shown + out + err


def test_password_is_not_in_ps(server: redis.Redis, secret_file: Path) -> None:
    """Neither arguments nor environment of the running process hold the password."""
    options = ("--password-file", secret_file, "--duration", "60", "--repetitions", "1")
    with running("command", url_of(server), *options, "--no-pin", "--", "PING") as run:
        run.wait_for("measure ")
        folder = Path("/proc", str(run.process.pid))
        seen = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()

    assert b"command" in seen
    assert SECRET.encode() not in seen


def test_password_in_the_url() -> None:
    """A password in a URL is refused, not repeated, and the remedy is named."""
    done = fastbench("command", f"redis://ann:{SECRET}@127.0.0.1:1", *SHORT, "--", "PING")

    assert done.code == 2
    assert SECRET not in done.err
    assert "--password-file" in done.line


def test_server_that_repeats_the_password(secret_file: Path) -> None:
    """What a server says of a command that it does not know is shown without the password."""

    def repeat(request: Request) -> Reply:
        words = b" ".join(request.words)
        return Reply(b"-ERR unknown command, with args beginning with: " + words + b"\r\n")

    with FakeServer(repeat) as server:
        host, port = server.address
        url = f"redis://ann@{host}:{port!s}"
        done = fastbench("command", url, *SHORT, "--password-file", secret_file, "--", "PING")

    assert done.code == 1
    assert "***" in done.line
    assert SECRET not in done.out + done.err


def take_terminal(terminal: int) -> None:
    """Make ``terminal`` the controlling one of this process."""
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def read_until(fd: int, text: bytes) -> bytes:
    """Read until ``text`` has come."""
    seen, end = b"", time.monotonic() + TIMEOUT_S
    while text not in seen and time.monotonic() < end:
        seen += os.read(fd, 1000)
    return seen
