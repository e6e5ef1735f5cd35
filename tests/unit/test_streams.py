"""How the streams of a run come by their configurations: shares, inheritance, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbench.config import CommandConfig, RunConfig, StreamConfig, TlsConfig
from fastbench.errors import UsageError
from fastbench.load import make_plan
from fastbench.plan import Message, Stream, Text
from fastbench.streams import deal, describe, parts_of

PING = CommandConfig(commands=(("PING",),))


def stream(name: str, weight: float | None = None, **own: Any) -> StreamConfig:
    """Return a stream that sets ``own``."""
    return StreamConfig(name=name, weight=weight, own={"command": PING, **own})


def run(*streams: StreamConfig, **values: Any) -> RunConfig:
    """Return a run of these streams on one server."""
    return RunConfig(**({"target": "redis://h"} | values), streams=streams)


def test_run_without_streams_is_one_part() -> None:
    """A run that is not divided is itself its only part."""
    config = RunConfig()

    (part,) = parts_of(config)

    assert part.config is config
    assert part.name == ""


def test_streams_inherit_and_set() -> None:
    """What a stream does not set is the run's; what it sets is its own."""
    config = run(
        stream("a", pipeline=4, rate_per_s=10.0),
        stream("b", target="redisai://i", workload="vision", command=None),
        pipeline=2,
        timeout_s=7.0,
        seed=9,
    )

    a, b = (part.config for part in parts_of(config))

    assert (a.target, a.workload, a.pipeline, a.rate_per_s) == ("redis://h", "command", 4, 10.0)
    assert (b.target, b.workload, b.pipeline, b.rate_per_s) == ("redisai://i", "vision", 2, None)
    assert {(c.timeout_s, c.seed, c.streams) for c in (a, b)} == {(7.0, 9, ())}


def test_weights_share_the_rate() -> None:
    """In an open loop each stream gets its part of the run's rate; connections are shared too."""
    config = run(stream("a", 3), stream("b"), rate_per_s=1000.0, connections=8)

    parts = parts_of(config)

    assert [p.config.rate_per_s for p in parts] == [750.0, 250.0]
    assert [p.config.total_connections for p in parts] == [6, 2]


def test_weights_share_the_connections() -> None:
    """In a closed loop the weights are those of connections."""
    parts = parts_of(run(stream("a", 3), stream("b", 1), connections=8, threads=2))

    assert [p.config.connections for p in parts] == [6, 2]
    assert not any(p.is_open for p in parts)


def test_connections_of_their_own_lie_beside_shared_ones() -> None:
    """The run's connections are for the streams that have none of their own."""
    config = run(stream("a", connections=5), stream("b"), stream("c"), connections=4)

    assert [p.config.connections for p in parts_of(config)] == [5, 2, 2]


@given(
    st.integers(0, 10_000),
    st.lists(st.floats(0.01, 100.0), min_size=1, max_size=10),
)
def test_deal(total: int, weights: list[float]) -> None:
    """Parts are whole, add up, and are less than one away from their exact share."""
    parts = deal(total, weights)

    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1 + 1e-6


@pytest.mark.parametrize(
    ("streams", "values", "words"),
    [
        ((stream("a"), stream("a")), {}, "'a' is there twice"),
        ((stream("a b"),), {}, "'a b': a name has"),
        ((stream(""),), {}, "a name has"),
        ((stream("a", 0.0),), {"connections": 2}, "weight 0.0: must be positive"),
        ((stream("a", float("nan")),), {"connections": 2}, "must be positive"),
        ((stream("a", threads=2),), {}, "threads belongs to the run"),
        ((stream("a", duration_s=2),), {}, "duration_s belongs to the run"),
        ((stream("a", 1), stream("b", rate_per_s=5.0)), {}, "'b' a schedule of its own"),
        ((stream("a"), stream("b", rate_per_s=5.0)), {"rate_per_s": 9.0}, "to be shared by all"),
        ((stream("a", 1), stream("b")), {}, "share --connections of the run"),
        ((stream("a", 1), stream("b", connections=2)), {"connections": 3}, "no stream connections"),
        ((stream("a"), stream("b")), {"profile": "1:1s"}, "give it to a stream"),
        ((stream("a", 9), stream("b", 1)), {"connections": 5}, "'b' gets 0 of --connections 5"),
        ((stream("a"), stream("b")), {"connections": 3, "threads": 2}, "gets 1 of --connections 3"),
        ((stream("a", connections=1),), {"threads": 2}, "stream 'a': --connections 1 is less"),
        ((stream("a", pipeline=0),), {}, "stream 'a': --pipeline 0"),
        ((stream("a", profile="1:1s"),), {"duration_s": 3.0}, "stream 'a': --profile"),
        ((stream("a"),), {"spin": True}, "--spin without a schedule"),
        ((stream("a"),), {"arrivals": "poisson"}, "--arrivals poisson without a schedule"),
        ((), {"arrivals": "poisson"}, "--arrivals poisson without a schedule"),
        ((stream("a", tls=TlsConfig(insecure=True)),), {}, "stream 'a': --tls options"),
        (
            (stream("a", pipeline=65_536), stream("b", pipeline=65_536)),
            {"connections": 128},
            "8388608 inferences in flight together",
        ),
    ],
)
def test_refused(streams: tuple[StreamConfig, ...], values: dict[str, Any], words: str) -> None:
    """What does not fit together is refused by the stream's name and what is wrong."""
    with pytest.raises(UsageError) as refused:
        parts_of(run(*streams, **values))

    assert words in str(refused.value)


def test_tls_of_the_run_is_for_tls_targets() -> None:
    """The run's options of TLS hold for the streams whose targets speak it."""
    tls = TlsConfig(insecure=True)
    config = run(stream("a", target="rediss://h"), stream("b"), tls=tls)

    assert [p.config.tls for p in parts_of(config)] == [tls, None]


def test_description_has_what_holds_for_each_stream() -> None:
    """The configuration in a result is plain data and says what each stream really had."""
    config = run(
        stream("a", 3, dataset=Path("d")), stream("b", 1), rate_per_s=100.0, connections=4, seed=5
    )

    told = describe(config)

    assert told["seed"] == 5
    assert [s["name"] for s in told["streams"]] == ["a", "b"]
    assert [s["rate_per_s"] for s in told["streams"]] == [75.0, 25.0]
    assert [s["connections"] for s in told["streams"]] == [3, 1]
    assert told["streams"][0]["dataset"] == "d"
    assert told["streams"][1]["command"]["commands"] == (("PING",),)
    assert describe(RunConfig())["streams"] == []


def plan_of(config: RunConfig) -> Any:
    """Return the plan of a run whose streams all send PING."""
    engine_stream = Stream(
        addresses=("/s",), connections=1, pipeline=1, messages=(Message((Text(b"x"),), 1),)
    )
    return make_plan(config, [(p.config, engine_stream) for p in parts_of(config)], ())


def test_measure_lasts_as_long_as_the_profiles() -> None:
    """Streams with profiles of equal length set the length; rates go beside them."""
    config = run(
        stream("a", profile="10:1s,20:1s"), stream("b", profile="5:2s"), stream("c", rate_per_s=3.0)
    )

    plan = plan_of(config)

    assert plan.duration_ns == 2_000_000_000
    assert [len(s.schedule.rates) for s in plan.streams] == [3, 2, 2]


def test_profiles_of_different_length() -> None:
    """A profile that ends before another is refused: what should follow it is not said."""
    with pytest.raises(UsageError, match="ends after 1 s, another stream's schedule after 2 s"):
        plan_of(run(stream("a", profile="10:1s"), stream("b", profile="5:2s")))
