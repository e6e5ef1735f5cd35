"""Several streams in one run on real servers: books that agree with the server's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hdrh.log import HistogramLogReader
from support import redisserver
from support.cli import fastbench, running
from support.fakeserver import FakeServer, Reply

from fastbench import latency
from fastbench.report.folder import ResultFolder
from fastbench.salvage import salvage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from fastbench.results import Counts, Result, StreamResult
    from fastbench.servers.embedded import EmbeddedServer

REDIS = next(iter(redisserver.programs()), None)
PAIR = """
[[stream]]
name = "get"
{get}
command.commands = ["GET {{key}}"]
[[stream]]
name = "set"
{set}
command.commands = ["SET {{key}} {{data:100}}"]
"""

needs_redis = pytest.mark.skipif(REDIS is None, reason="no redis-server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """Return a server."""
    with redisserver.running(str(REDIS), tmp_path) as client:
        yield client


def run(folder: Path, text: str, *options: object) -> Result:
    """Run a configuration and return its result."""
    path, out = folder / "run.toml", folder / "out"
    path.write_text("pin = false\n" + text)
    done = fastbench("run", "--config", path, "--quiet", "--out", out, *options)
    assert done.code == 0, done.err
    return ResultFolder.read(out)


def target_of(client: redis.Redis) -> str:
    """Return the server's URL as a line of a configuration."""
    return f'target = "redis://127.0.0.1:{redisserver.port_of(client)}"\n'


def calls(client: redis.Redis, name: str) -> int:
    """Return how many such commands the server has executed."""
    return int(client.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"])


def named(result: Result) -> dict[str, StreamResult]:
    """Return the streams of the first repetition by name."""
    return {stream.name: stream for stream in result.repetitions[0].streams}


def check_books(result: Result) -> None:
    """Check conservation in each stream, and that all together is the sum."""
    for repetition in result.repetitions:
        parts = [s.counts for s in repetition.streams]
        for counts in (repetition.counts, *parts):
            assert counts.intended == counts.sent + counts.never_sent
            ended = counts.ok + counts.errors + counts.timeouts + counts.lost
            assert counts.sent == ended + counts.unfinished
        for name in ("intended", "sent", "ok", "errors", "timeouts", "lost"):
            assert getattr(repetition.counts, name) == sum(getattr(c, name) for c in parts)
        merged = latency.merge(s.response_ms.histogram for s in repetition.streams)
        assert (merged == latency.decode(repetition.response_ms.histogram)).all()
        for part in (repetition, *repetition.streams):
            assert part.response_ms.count == part.counts.ok
            assert sum(i.ok for i in part.timeseries) == part.counts.ok


@needs_redis
@pytest.mark.parametrize("threads", [1, 2])
def test_two_rates(server: redis.Redis, tmp_path: Path, threads: int) -> None:
    """Two open loops each offer their own rate; the server saw exactly what the books say."""
    load = f"duration_s = 2\nwarmup_s = 0\nrepetitions = 1\nthreads = {threads}\n"
    text = (
        target_of(server)
        + load
        + PAIR.format(get="rate_per_s = 600", set="rate_per_s = 200\narrivals = 'poisson'")
    )

    result = run(tmp_path, text)

    streams = named(result)
    check_books(result)
    assert streams["get"].counts.intended == 1200
    assert 300 < streams["set"].counts.intended < 500
    # Load that is not measured goes on until the last measured inference ended.
    for name, stream in streams.items():
        assert stream.counts.ok == stream.counts.intended
        assert 0 <= calls(server, name) - stream.counts.ok < 0.2 * stream.counts.ok + 50
    assert [s["rate_per_s"] for s in result.config["streams"]] == [600.0, 200.0]
    repetition = result.repetitions[0]
    assert repetition.target_per_s == 800.0
    assert repetition.send_lag_ms is not None
    assert repetition.send_lag_ms.count == repetition.counts.sent


@needs_redis
def test_exact_numbers_by_requests(server: redis.Redis, tmp_path: Path) -> None:
    """--requests is for each stream; the server's own counts equal ours exactly."""
    text = target_of(server) + "requests = 3000\nwarmup_s = 0\nrepetitions = 2\nthreads = 2\n"
    text += PAIR.format(get="connections = 3", set="rate_per_s = 4000\nconnections = 2")

    result = run(tmp_path, text)

    check_books(result)
    assert result.summary is not None
    assert {s.name: s.counts.ok for s in result.summary.streams} == {"get": 6000, "set": 6000}
    assert result.summary.counts.ok == 12_000
    assert (calls(server, "get"), calls(server, "set")) == (6000, 6000)
    assert all(r.target_per_s is None for r in result.repetitions)  # one of them has no schedule


@needs_redis
def test_weights_in_a_closed_loop(server: redis.Redis, tmp_path: Path) -> None:
    """Weights 3 and 1 share the connections, which the server confirms by their names."""
    text = target_of(server) + "connections = 8\nduration_s = 1\nrepetitions = 1\n"
    text += """
        [[stream]]
        name = "three"
        weight = 3
        command.commands = ["INCR three:{conn}"]
        [[stream]]
        name = "one"
        weight = 1
        command.commands = ["INCR one:{conn}"]
    """

    result = run(tmp_path, text)

    check_books(result)
    assert [s["connections"] for s in result.config["streams"]] == [6, 2]
    assert {k.decode() for k in server.keys("three:*")} == {f"three:{i}" for i in range(6)}
    assert {k.decode() for k in server.keys("one:*")} == {"one:6", "one:7"}
    assert all(stream.counts.ok > 0 for stream in named(result).values())


@needs_redis
def test_streams_draw_apart(server: redis.Redis, tmp_path: Path) -> None:
    """Two streams with the same placeholders and seed draw different keys."""
    text = target_of(server) + "requests = 50\nwarmup_s = 0\nrepetitions = 1\n"
    text += """
        [[stream]]
        name = "a"
        command.commands = ["SADD a {int:0-1000000000}"]
        [[stream]]
        name = "b"
        command.commands = ["SADD b {int:0-1000000000}"]
    """

    run(tmp_path, text)

    assert (server.scard("a"), server.scard("b")) == (50, 50)
    assert server.sinter(["a", "b"]) == set()


@needs_redis
def test_slow_stream_leaves_the_other_alone(server: redis.Redis, tmp_path: Path) -> None:
    """A stream whose server takes 300 ms lengthens its own latencies and no others."""
    with FakeServer(lambda _: Reply(after_s=0.3)) as slow:
        host, port = slow.address
        text = f"""
            duration_s = 2
            warmup_s = 0
            repetitions = 1
            timeout_s = 20
            [[stream]]
            name = "slow"
            target = "redis://{host}:{port!s}"
            command.commands = ["PING"]
            [[stream]]
            name = "quick"
            {target_of(server)}
            rate_per_s = 500
            command.commands = ["GET k"]
        """
        result = run(tmp_path, text)

    streams = named(result)
    check_books(result)
    assert (streams["slow"].response_ms.min or 0.0) >= 300
    assert streams["quick"].response_ms.count == 1000
    assert (streams["quick"].response_ms.p95 or 1e9) < 200
    assert [info.target.url for info in result.streams] == [
        f"redis://{host}:{port!s}",
        f"redis://127.0.0.1:{redisserver.port_of(server)}",
    ]


@needs_redis
def test_errors_stay_in_their_stream(server: redis.Redis, tmp_path: Path) -> None:
    """Error replies of one stream are its own, by class, and make no latency."""
    text = target_of(server) + "requests = 200\nwarmup_s = 0\nrepetitions = 1\n"
    text += PAIR.format(get="", set="").replace("SET {key} {data:100}", "HGET s x")
    server.set("s", "text")

    result = run(tmp_path, text)

    streams = named(result)
    check_books(result)
    assert (streams["get"].counts.ok, streams["get"].counts.errors) == (200, 0)
    assert (streams["set"].counts.ok, streams["set"].counts.errors) == (0, 200)
    assert set(streams["set"].counts.errors_by_class) == {"WRONGTYPE"}
    assert result.repetitions[0].counts.errors_by_class["WRONGTYPE"].count == 200


@needs_redis
def test_report_and_files_show_each_stream(server: redis.Redis, tmp_path: Path) -> None:
    """Console report, hlog tags and the time series have every stream."""
    text = target_of(server) + "duration_s = 1\nrepetitions = 2\n"
    result = run(tmp_path, text + PAIR.format(get="rate_per_s = 300", set="rate_per_s = 100"))
    out = tmp_path / "out"
    report = fastbench("report", out)

    assert "stream get" in report.out
    assert "open loop at 100/s" in report.out
    log = (out / "latency.hlog").read_text()
    tags = {line.split(",")[0] for line in log.splitlines() if line[:1] not in {"#", '"'}}
    assert tags == {"Tag=get", "Tag=set"}
    reader = HistogramLogReader(str(out / "latency.hlog"), latency_histogram())
    total = 0
    while (histogram := reader.get_next_interval_histogram()) is not None:
        total += histogram.get_total_count()
    reader.close()
    assert total == sum(r.counts.ok for r in result.repetitions)
    rows = [line.split(",")[1] for line in (out / "timeseries.csv").read_text().splitlines()[1:]]
    assert set(rows) == {"", "get", "set"}


@needs_redis
def test_live_lines_and_a_killed_run(server: redis.Redis, tmp_path: Path) -> None:
    """While it runs each stream has its line; what a killed run leaves has each stream too."""
    path, out = tmp_path / "run.toml", tmp_path / "out"
    text = target_of(server) + "pin = false\nduration_s = 60\nrepetitions = 1\n"
    path.write_text(text + PAIR.format(get="rate_per_s = 300", set="rate_per_s = 100"))
    with running("run", "--config", path, "--out", out) as process:
        process.wait_for(r"(?m)^  get +[1-9][\d,.]* (?s:.)*^  set +[1-9][\d,.]* ")
        process.process.kill()
        process.process.wait(60)

    result = salvage((out / "journal.jsonl").read_bytes())

    assert [info.name for info in result.streams] == ["get", "set"]
    assert set(named(result)) == {"get", "set"}
    assert all(stream.counts.ok > 0 for stream in named(result).values())


def test_two_models_on_one_embedded_server(
    ai_server: EmbeddedServer, tiny_model: Path, sample: Path, tmp_path: Path
) -> None:
    """Two vision streams do not share tensor keys: every sampled answer of both is right."""
    text = f"""
        target = "{ai_server.url}"
        requests = 40
        warmup_s = 0
        repetitions = 1
        model = "{tiny_model}"
        dataset = "{sample}"
        verify = 10
        [[stream]]
        name = "one"
        connections = 2
        [[stream]]
        name = "two"
        form = "dag"
        batch = 2
    """

    result = run(tmp_path, text)

    check_books(result)
    streams = named(result)
    for stream in streams.values():
        assert stream.verification is not None
        assert (stream.verification.checked, stream.verification.mismatches) == (10, 0)
    together = result.repetitions[0].verification
    assert together is not None
    assert (together.requested, together.checked) == (20, 20)
    two = streams["two"]
    assert two.samples_per_s == pytest.approx(2 * two.inferences_per_s)


def test_embedded_server_is_shared(tmp_path: Path) -> None:
    """Streams that name the embedded server get one between them."""
    text = "requests = 20\nwarmup_s = 0\nrepetitions = 1\n" + PAIR.format(get="", set="")

    result = run(tmp_path, 'target = "embedded:"\n' + text)

    assert len({info.target.url for info in result.streams}) == 1
    assert total(result).ok == 40


def test_stream_that_cannot_begin(tmp_path: Path) -> None:
    """A server that is not there is named with its stream, in one line, and nothing is left."""
    path = tmp_path / "run.toml"
    path.write_text('target = "redis://127.0.0.1:1"\n' + PAIR.format(get="", set=""))

    done = fastbench("run", "--config", path, "--out", tmp_path / "out")

    assert done.code == 1
    assert "stream 'get': cannot connect to redis://127.0.0.1:1" in done.line
    assert not (tmp_path / "out").exists()


def total(result: Result) -> Counts:
    """Return the counts of the first repetition."""
    return result.repetitions[0].counts


def latency_histogram() -> object:
    """Return an empty histogram of the layout."""
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(latency.LOWEST_NS, latency.HIGHEST_NS, latency.DIGITS)
