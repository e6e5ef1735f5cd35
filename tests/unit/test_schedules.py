"""Open-loop schedules from a rate, a profile or a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbench.config import RunConfig
from fastbench.errors import UsageError
from fastbench.plan import (
    ARRIVALS_CONSTANT,
    ARRIVALS_POISSON,
    ARRIVALS_RECORDED,
    CLOSED_LOOP,
    Rate,
    Schedule,
)
from fastbench.schedules import make_schedule, parse_profile, scheduled_ns, target_rate

S = 1_000_000_000


def test_no_rate_is_a_closed_loop() -> None:
    """Without a schedule nothing is due."""
    config = RunConfig()

    assert make_schedule(config) == CLOSED_LOOP
    assert target_rate(config) is None
    assert scheduled_ns(config, CLOSED_LOOP) == 0


def test_rate_begins_with_warm_up() -> None:
    """Warm-up offers the same rate; measure has no length of its own."""
    config = RunConfig(rate_per_s=50.0, warmup_s=2.0, arrivals="poisson")
    schedule = make_schedule(config)

    assert schedule == Schedule(ARRIVALS_POISSON, (Rate(50, 50, 2 * S), Rate(50, 50)))
    assert scheduled_ns(config, schedule) == 0
    assert target_rate(config) == 50


def test_profile_of_steps_and_ramps() -> None:
    """A profile sets the length of measure and its mean rate."""
    config = RunConfig(profile="100:10s,100-300:500ms, 0:1m", warmup_s=1.0)
    schedule = make_schedule(config)

    assert schedule == Schedule(
        ARRIVALS_CONSTANT,
        (Rate(100, 100, S), Rate(100, 100, 10 * S), Rate(100, 300, S // 2), Rate(0, 0, 60 * S)),
    )
    assert scheduled_ns(config, schedule) == 70 * S + S // 2
    assert target_rate(config) == pytest.approx((1000 + 100) / 70.5)


def test_profile_units() -> None:
    """Seconds need no unit."""
    assert [r.duration_ns for r in parse_profile("1:2,1:2s,1:2ms,1:2m,1:0.5h")] == [
        2 * S,
        2 * S,
        S // 500,
        120 * S,
        1800 * S,
    ]


@pytest.mark.parametrize(
    "text", ["", "100", "100:", ":5s", "100:5x", "-5:1s", "100:0s", "1e12:1s", "0:5s", "1:1000h"]
)
def test_bad_profiles(text: str) -> None:
    """Each is one line that names the option."""
    with pytest.raises(UsageError, match=r"^--profile"):
        parse_profile(text)


def test_recorded_instants(tmp_path: Path) -> None:
    """Seconds become nanoseconds after warm-up; the last one lies within measure."""
    file = tmp_path / "arrivals"
    file.write_text("# recorded\n0\n0.25\n0.25\n2.5\n")
    config = RunConfig(arrivals_file=file, warmup_s=1.0)
    schedule = make_schedule(config)

    assert schedule == Schedule(
        ARRIVALS_RECORDED, instants=(S, S + S // 4, S + S // 4, 3 * S + S // 2)
    )
    assert scheduled_ns(config, schedule) == 2 * S + S // 2 + 1
    assert target_rate(config) == pytest.approx(4 / 2.5)


@pytest.mark.parametrize("text", ["", "1\n0.5\n", "-1\n", "x\n", "1 2\n", "nan\n"])
def test_bad_files(tmp_path: Path, text: str) -> None:
    """Each is one line that names the option and the file."""
    file = tmp_path / "arrivals"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"^--arrivals-file .*arrivals"):
        make_schedule(RunConfig(arrivals_file=file))


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(UsageError, match="nowhere"):
        make_schedule(RunConfig(arrivals_file=tmp_path / "nowhere"))


def test_only_one_schedule_and_one_end() -> None:
    """Two schedules, or a schedule with its own end and another end, are refused."""
    for wrong in (
        {"rate_per_s": 1.0, "profile": "1:1s"},
        {"profile": "1:1s", "arrivals_file": Path("x")},
        {"profile": "1:1s", "duration_s": 1.0},
        {"arrivals_file": Path("x"), "requests": 1},
    ):
        with pytest.raises(UsageError):
            RunConfig(**wrong)
