"""From what was asked for to what the engine is told: units, ends, limits."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fastbench import plan
from fastbench.config import RunConfig
from fastbench.load import DEFAULT_DURATION_S, make_plan
from fastbench.plan import ANY_LENGTH, Expect, Message, Plan, Stream, Text

MESSAGE = Message(
    (Text(b"*1\r\n$4\r\nPING\r\n"),), 2, (Expect(b"*", 2), Expect(b"+"), Expect(b"$", 4004))
)


def planned(**values: Any) -> Plan:
    """Return the plan of a configuration with these values."""
    stream = Stream(
        addresses=(("127.0.0.1", 6379),), connections=1, pipeline=1, messages=(MESSAGE,)
    )
    config = RunConfig(**values)
    return make_plan(config, [(config, stream)], (0,))


def test_times_are_nanoseconds() -> None:
    """Seconds become nanoseconds, exactly."""
    made = planned(duration_s=2.5, warmup_s=0.1, timeout_s=30.0)

    assert (made.duration_ns, made.warmup_ns) == (2_500_000_000, 100_000_000)
    assert made.timeout_ns == 30_000_000_000


def test_ends_by_duration_or_by_requests() -> None:
    """Exactly one of the two ends measure; the duration has a default."""
    assert planned().duration_ns == round(DEFAULT_DURATION_S * 1e9)
    assert planned().requests == 0
    assert planned(requests=7).requests == 7
    assert planned(requests=7).duration_ns == 0


@pytest.mark.parametrize(
    ("values", "limit"),
    [({}, -1), ({"max_errors": 3}, 3), ({"fail_fast": True}, 0), ({"max_errors": 0}, 0)],
)
def test_max_errors(values: dict[str, Any], limit: int) -> None:
    """No limit unless asked for; failing fast is a limit of none."""
    assert planned(**values).max_errors == limit


def test_captures_have_room_for_a_reply() -> None:
    """Replies are kept only for verification, with room for the bulk string and the frames."""
    assert (planned().captures, planned().capture_bytes) == (0, 0)
    assert planned(verify=5).captures == 5
    assert planned(verify="all").captures == plan.ALL_CAPTURES
    assert planned(verify="all").capture_room * planned(verify="all").capture_bytes <= 64 << 20
    assert planned(verify=5).capture_bytes >= 4004 + len("*2\r\n+OK\r\n$4004\r\n\r\n")


def test_plan_is_frozen() -> None:
    """What the engine was given cannot be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        planned().threads = 2


def test_length_is_not_checked_by_default() -> None:
    """An expectation without a length accepts any, and 0 is a length."""
    assert Expect(b"$").length == ANY_LENGTH
    assert ANY_LENGTH not in {0, 1}
    assert plan.FIELD_CONNECTION != plan.FIELD_ROW
