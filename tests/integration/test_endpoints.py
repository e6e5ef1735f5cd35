"""Several servers behind one target: connections take them in turn, models are stored on each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from support import redisserver
from support.cli import fastbench

from fastbench.results import from_json
from fastbench.servers.embedded import EmbeddedServer
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIS = next(iter(redisserver.programs()), None)
SHORT = ("--repetitions", "1", "--quiet", "--no-pin")

needs_redis = pytest.mark.skipif(REDIS is None, reason="no redis-server")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """Return two servers."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with (
        redisserver.running(str(REDIS), folders[0]) as one,
        redisserver.running(str(REDIS), folders[1]) as two,
    ):
        yield one, two


def calls(client: redis.Redis, name: str) -> int:
    """Return how many such commands the server has executed."""
    return int(client.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"])


def places(servers: tuple[redis.Redis, redis.Redis], *, unix: bool) -> str:
    """Return both servers as the target has them."""
    if unix:
        paths = (str(s.connection_pool.connection_kwargs["path"]) for s in servers)
        return "redis+unix://" + ",".join(paths)
    return "redis://" + ",".join(f"127.0.0.1:{redisserver.port_of(s)}" for s in servers)


@needs_redis
@pytest.mark.parametrize("unix", [False, True])
def test_connections_take_servers_in_turn(
    servers: tuple[redis.Redis, redis.Redis], *, unix: bool
) -> None:
    """Of three connections the first server has two; every command reaches one of them, once."""
    url = places(servers, unix=unix)
    done = fastbench(
        "command", url, *SHORT, "--format", "json", "-c", 3, "-n", 900, "--", "INCR", "n:{conn}"
    )
    report = fastbench("command", url, *SHORT, "-c", 2, "-n", 10, "--", "ECHO", "hi")

    assert done.code == 0, done.err
    counts = from_json(done.out.encode()).repetitions[0].counts
    by_key = [{k.decode(): int(s.get(k) or 0) for k in s.keys("n:*")} for s in servers]
    assert [set(found) for found in by_key] == [{"n:0", "n:2"}, {"n:1"}]
    assert sum(calls(s, "incr") for s in servers) == counts.ok == 900
    assert sum(sum(found.values()) for found in by_key) == 900
    assert "".join(url.split()) in "".join(report.out.split())


@needs_redis
def test_result_names_each_server(servers: tuple[redis.Redis, redis.Redis]) -> None:
    """The result says of each server what it is."""
    url = places(servers, unix=False)
    done = fastbench("command", url, *SHORT, "--format", "json", "-c", 2, "-n", 10, "--", "PING")

    target = from_json(done.out.encode()).target
    assert target.url == url
    assert all(e.url in target.details["endpoints"] for e in parse_target(url).endpoints)


@needs_redis
def test_each_server_is_watched(servers: tuple[redis.Redis, redis.Redis]) -> None:
    """Both processes, and what each counted: its own share and a few questions."""
    url = places(servers, unix=False)
    done = fastbench(
        *("command", url, *SHORT, "--format", "json", "-c", 4, "-P", 1, "-n", 1000),
        *("--warmup", 0, "--", "PING"),
    )

    assert done.code == 0, done.err
    (repetition,) = from_json(done.out.encode()).repetitions
    assert [s.url for s in repetition.servers] == [e.url for e in parse_target(url).endpoints]
    assert (repetition.server, repetition.server_metrics) == (None, None)
    pids = [s.process.pid for s in repetition.servers if s.process]
    assert pids == [client.info()["process_id"] for client in servers]
    metrics = [s.metrics for s in repetition.servers if s.metrics]
    counted = [m.deltas["total_commands_processed"] for m in metrics]
    pings = [calls(client, "ping") for client in servers]
    assert sum(counted) >= 1000
    assert all(count <= known + 40 for count, known in zip(counted, pings, strict=True))


@needs_redis
def test_server_named_twice_is_watched_once(servers: tuple[redis.Redis, redis.Redis]) -> None:
    """TCP and unix socket of one server, from two streams and a chain, are one server."""
    first, second = servers
    stream = '[[stream]]\nname = "{}"\ntarget = "{}"\ncommand.commands = ["PING"]\n'
    tcp = f"redis://127.0.0.1:{redisserver.port_of(first)}"
    unix = f"redis+unix://{first.connection_pool.connection_kwargs['path']}"
    text = 'pin = false\nrequests = 50\nwarmup_s = 0\nrepetitions = 1\ncalibrate = "never"\n'
    text += stream.format("tcp", tcp) + stream.format("unix", unix)
    chain = '[[stream]]\nname = "chain"\ntarget = "redis://127.0.0.1:{}"\n'
    text += chain.format(redisserver.port_of(second))
    text += 'command.commands = ["SET k {fetched}"]\n'
    text += f'command.fetches = [["{unix}", "GET", "k"]]\n'
    first.set("k", "value")
    folder = Path(first.connection_pool.connection_kwargs["path"]).parent
    (folder / "run.toml").write_text(text)
    done = fastbench("run", "--config", folder / "run.toml", "--quiet", "--format", "json")

    assert done.code == 0, done.err
    (repetition,) = from_json(done.out.encode()).repetitions
    assert [s.url for s in repetition.servers] == [
        tcp,
        f"redis://127.0.0.1:{redisserver.port_of(second)}",
    ]
    pids = [s.process.pid for s in repetition.servers if s.process]
    assert pids == [client.info()["process_id"] for client in servers]


def test_fewer_connections_than_servers() -> None:
    """A server without a connection would be no part of the run: nothing is started."""
    done = fastbench("command", "redis://127.0.0.1:1,127.0.0.1:2", "-c", 1, "--", "PING")

    assert done.code == 2
    assert "names 2 servers" in done.line


def test_model_on_each_server(ai_server: EmbeddedServer, tiny_model: Path, sample: Path) -> None:
    """A run stores its model on each server and verifies answers of both; so does model load."""
    with EmbeddedServer(options=("--intra-op", "1")) as other:
        url = f"{ai_server.url},{other.url.removeprefix('redisai://')}"
        load = fastbench("model", "load", url, tiny_model, "--key", "both")
        done = fastbench(
            *("run", url, *SHORT, "--format", "json", "--model", tiny_model, "--dataset", sample),
            *("--connections", 4, "--requests", 40, "--warmup", 0, "--verify", 20),
        )
        assert (load.code, done.code) == (0, 0), load.err + done.err
        held = []
        for server in (ai_server, other):
            target = parse_target(server.url)
            with redis.Redis(host=target.host, port=target.port) as client:
                held.append(
                    [
                        client.execute_command("AI.MODELGET", k, "BLOB")
                        for k in ("both", "fastbench:tiny")
                    ]
                )

    repetition = from_json(done.out.encode()).repetitions[0]
    assert repetition.counts.ok == 40
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (20, 0)
    assert held == [[tiny_model.read_bytes()] * 2] * 2
