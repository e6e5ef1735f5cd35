"""The server's own figures and its process, over real servers, sockets, logins and TLS."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from support.certificates import OPENSSL, Authority
from support.cli import fastbench
from support.redisserver import port_of, programs, running
from support.tlsserver import TlsServer

from fastbench import runner
from fastbench.config import RunConfig, StreamConfig, TlsConfig
from fastbench.errors import ServerError
from fastbench.results import Result, from_json
from fastbench.servers.redis_server import RedisServer
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from fastbench.results import ServerMetrics

PROGRAM = next(iter(programs()), None)

needs_redis = pytest.mark.skipif(PROGRAM is None, reason="no Redis server is installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """Return a client of a fresh server."""
    assert PROGRAM is not None
    with running(PROGRAM, tmp_path) as client:
        yield client


def tcp(client: redis.Redis) -> str:
    """Return the server's target on TCP."""
    return f"redis://127.0.0.1:{port_of(client)}"


def unix(client: redis.Redis) -> str:
    """Return the server's target on its unix socket."""
    return f"redis+unix://{client.connection_pool.connection_kwargs['path']}"


def pings(target: str, *options: str, **variables: str) -> Result:
    """Send 500 PINGs in one repetition."""
    load = ("--repetitions", 1, "--warmup", 0, "-n", 500, "--format", "json", "--quiet")
    done = fastbench("command", target, *load, *options, "--", "PING", **variables)
    assert done.code == 0, done.err
    return from_json(done.out.encode())


def metrics_of(result: Result) -> ServerMetrics:
    """Return the metrics of the only repetition."""
    (repetition,) = result.repetitions
    assert repetition.server_metrics is not None
    return repetition.server_metrics


@needs_redis
@pytest.mark.parametrize("where", [tcp, unix])
def test_commands_that_the_server_counted(server: redis.Redis, where: object) -> None:
    """Its counter rose by what was sent and by the few questions; the process is the server's."""
    result = pings(where(server))
    metrics = metrics_of(result)

    assert metrics.unavailable == ""
    assert 500 <= metrics.deltas["total_commands_processed"] <= 500 + 20
    assert metrics.deltas["total_net_input_bytes"] >= 500 * len("*1\r\n$4\r\nPING\r\n")
    assert metrics.samples[0].values["connected_clients"] >= 1
    usage = result.repetitions[0].server
    assert usage is not None
    assert usage.pid == server.info()["process_id"]


@needs_redis
def test_nothing_is_reset_and_nothing_written(server: redis.Redis) -> None:
    """Only INFO is asked besides what is measured; statistics go on from where they were."""
    server.ping()
    pings(tcp(server))
    stats = server.info("commandstats")

    assert stats["cmdstat_ping"]["calls"] > 500
    asked = {name.removeprefix("cmdstat_") for name in stats}
    assert asked <= {"ping", "info", "client|setinfo", "config|get", "hello", "command"}


@needs_redis
def test_login_with_a_password(tmp_path: Path) -> None:
    """The own connection logs in as the measured ones do."""
    assert PROGRAM is not None
    with running(PROGRAM, tmp_path, "--requirepass", "secret"):
        result = pings(f"redis+unix://{tmp_path}/s", FASTBENCH_PASSWORD="secret")

    assert metrics_of(result).deltas["total_commands_processed"] >= 500


@needs_redis
def test_service_that_forbids_info(server: redis.Redis) -> None:
    """The run is measured all the same, and the result says why there are no figures."""
    server.execute_command("ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all", "-info")
    target = tcp(server).replace("redis://", "redis://u@")
    result = pings(target, FASTBENCH_PASSWORD="pw")
    metrics = metrics_of(result)

    assert result.repetitions[0].counts.ok == 500
    assert metrics.deltas == {}
    assert "INFO" in metrics.unavailable
    assert "permissions" in metrics.unavailable
    assert result.repetitions[0].server is None


@needs_redis
@pytest.mark.skipif(OPENSSL is None or not shutil.which("redis-server"), reason="needs openssl")
def test_over_tls(tmp_path: Path) -> None:
    """The own connection is as safe as the measured ones."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "IP:127.0.0.1")
    with TlsServer("redis-server", tmp_path, authority, pair) as server:
        result = pings(server.url, "--tls-ca", str(authority.cert))
        config = TlsConfig(ca=authority.cert)
        with RedisServer(parse_target(server.url), config) as control:
            assert control.local_pid == server.client.info()["process_id"]

    assert metrics_of(result).deltas["total_commands_processed"] >= 500


@needs_redis
def test_server_that_hangs_when_asked(server: redis.Redis) -> None:
    """A stopped server is given up after the time-outs, in one line."""
    with RedisServer(parse_target(tcp(server))) as control:
        metrics = control.metrics()
        assert metrics.read().counters["total_commands_processed"] > 0
        pid = control.local_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ServerError, match=r"^asking for metrics: "):
                metrics.read()
        finally:
            os.kill(pid, signal.SIGCONT)
        metrics.close()


@contextlib.contextmanager
def forwarder(port: int) -> Iterator[int]:
    """Yield a port of this process that leads to ``port``, as a tunnel does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def copy(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", port))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=copy, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@needs_redis
def test_server_behind_a_tunnel_is_not_taken_for_a_local_one(server: redis.Redis) -> None:
    """The number that INFO tells exists here, but that process does not listen there."""
    with (
        forwarder(port_of(server)) as port,
        RedisServer(parse_target(f"redis://127.0.0.1:{port}")) as control,
    ):
        assert control.info["process_id"] > 0
        assert control.local_pid is None


@pytest.mark.parametrize("target", ["embedded:", "embedded:unix"])
def test_model_calls_of_the_embedded_server(target: str, sample: Path, tiny_model: Path) -> None:
    """AI.INFO's calls are the inferences that were sent; its process is watched."""
    result = runner.run(
        RunConfig(
            target=target,
            dataset=sample,
            model=tiny_model,
            requests=100,
            warmup_s=0,
            repetitions=1,
            batch=2,
        )
    )
    metrics = metrics_of(result)

    assert metrics.unavailable == ""
    assert metrics.deltas["model_calls"] == 100
    assert metrics.deltas["model_samples"] == 200
    assert metrics.deltas["model_duration_us"] > 0
    usage = result.repetitions[0].server
    assert usage is not None
    assert usage.rss_max_bytes > 0


def test_models_of_two_streams_in_one_server(
    sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """One server is asked once, about both models, and their calls are added up."""
    other = tmp_path / "other.onnx"
    shutil.copy(tiny_model, other)
    streams = tuple(
        StreamConfig(name=model.stem, own={"model": str(model)} | load)
        for model, load in ((tiny_model, {"pipeline": 1}), (other, {"pipeline": 2}))
    )
    result = runner.run(
        RunConfig(
            target="embedded:",
            dataset=sample,
            requests=30,
            warmup_s=0,
            repetitions=1,
            calibrate="never",
            streams=streams,
        )
    )
    (repetition,) = result.repetitions

    assert [s.counts.ok for s in repetition.streams] == [30, 30]
    assert repetition.servers == []
    metrics = metrics_of(result)
    assert metrics.unavailable == ""
    assert metrics.deltas["model_calls"] == 60


def test_report_shows_the_servers_account(sample: Path, tiny_model: Path) -> None:
    """CPU, commands and execution time stand beside what the client saw."""
    load = ("--requests", 50, "--warmup", 0, "--repetitions", 1, "--quiet")
    done = fastbench("run", "embedded:", "--dataset", sample, "--model", tiny_model, *load)

    assert done.code == 0, done.err
    head = done.out.index("server, by its own account")
    for label in ("CPU, %", "commands/s", "execution mean, ms", "service mean, ms"):
        assert label in done.out[head:]


def test_null_server_has_no_figures() -> None:
    """It counts nothing, so nothing is asked and nothing is claimed."""
    from fastbench._nullserver import NullServer

    with NullServer("127.0.0.1", 0, None, 1) as null:
        done = fastbench(
            *("command", f"redis://127.0.0.1:{null.port}", "-n", 10, "--format", "json", "--quiet"),
            *("--repetitions", 1, "--", "PING"),
        )

    assert done.code == 0, done.err
    assert json.loads(done.out)["repetitions"][0]["server_metrics"] is None
