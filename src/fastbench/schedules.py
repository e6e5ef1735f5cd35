"""Open-loop schedules: from a rate, a profile or a file of instants to a plan's schedule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fastbench.errors import UsageError
from fastbench.plan import (
    ARRIVALS_CONSTANT,
    ARRIVALS_POISSON,
    ARRIVALS_RECORDED,
    CLOSED_LOOP,
    Rate,
    Schedule,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.config import RunConfig

MAX_RATE_PER_S = 1e9
MAX_STRETCHES = 10_000
MAX_SCHEDULE_S = 30 * 86400.0
_NS_PER_S = 1e9
_NUMBER = r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_STRETCH = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?:{_NUMBER}(ms|s|m|h)?")
_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def make_schedule(config: RunConfig) -> Schedule:
    """Return when inferences are due; its time begins with warm-up, at the first rate.

    Raises :class:`UsageError` naming what is wrong with a profile or a file.
    """
    if config.arrivals_file is not None:
        return _recorded(config.arrivals_file, config.warmup_s)
    stretches = _stretches(config)
    if not stretches:
        return CLOSED_LOOP
    first = stretches[0].from_per_s
    warmup = Rate(first, first, round(config.warmup_s * _NS_PER_S))
    kind = ARRIVALS_POISSON if config.arrivals == "poisson" else ARRIVALS_CONSTANT
    return Schedule(kind, ((warmup,) if warmup.duration_ns else ()) + stretches)


def scheduled_ns(config: RunConfig, schedule: Schedule) -> int:
    """Return the length of measure that a profile or a file sets; 0 where none does."""
    warmup_ns = round(config.warmup_s * _NS_PER_S)
    if config.profile is not None:
        return sum(rate.duration_ns for rate in schedule.rates) - warmup_ns
    if config.arrivals_file is not None:
        return schedule.instants[-1] - warmup_ns + 1  # the last one still lies within
    return 0


def target_rate(config: RunConfig) -> float | None:
    """Return the mean rate per second that is asked for; None in a closed loop."""
    if config.rate_per_s is not None:
        return config.rate_per_s
    schedule = make_schedule(config)
    length_s = scheduled_ns(config, schedule) / _NS_PER_S
    if schedule.instants:
        return len(schedule.instants) / length_s
    if config.profile is None:
        return None
    stretches = parse_profile(config.profile)
    arrivals = sum((r.from_per_s + r.to_per_s) / 2 * r.duration_ns for r in stretches)
    return arrivals / _NS_PER_S / length_s


def parse_profile(text: str) -> tuple[Rate, ...]:
    """Parse ``100:10s,100-500:20s``: inferences per second, or a ramp between two, and how long.

    Units are ms, s (also without one), m and h. Raises :class:`UsageError`.
    """
    stretches = tuple(_stretch(part.strip(), text) for part in text.split(","))
    if len(stretches) > MAX_STRETCHES:
        msg = f"--profile: has {len(stretches)} stretches, at most {MAX_STRETCHES} are possible"
        raise UsageError(msg)
    if not any(r.from_per_s or r.to_per_s for r in stretches):
        msg = f"--profile {text!r}: asks for no inference at all"
        raise UsageError(msg)
    if sum(r.duration_ns for r in stretches) > MAX_SCHEDULE_S * _NS_PER_S:
        msg = f"--profile {text!r}: is longer than 30 days"
        raise UsageError(msg)
    return stretches


def _stretches(config: RunConfig) -> tuple[Rate, ...]:
    if config.profile is not None:
        return parse_profile(config.profile)
    if config.rate_per_s is not None:
        return (Rate(config.rate_per_s, config.rate_per_s),)
    return ()


def _stretch(part: str, text: str) -> Rate:
    match = _STRETCH.fullmatch(part)
    if match is None:
        msg = f"--profile {text!r}: {part!r} is not RATE:TIME, e.g. 100:10s, or 100-500:20s"
        raise UsageError(msg)
    first, last = float(match[1]), float(match[2] or match[1])
    duration_ns = round(float(match[3]) * _UNITS_S[match[4]] * _NS_PER_S)
    if max(first, last) > MAX_RATE_PER_S or duration_ns < 1:
        msg = f"--profile {text!r}: {part!r} needs a rate up to {MAX_RATE_PER_S:g} and some time"
        raise UsageError(msg)
    return Rate(first, last, duration_ns)


def _recorded(path: Path, warmup_s: float) -> Schedule:
    """Read instants in seconds, one a line, ascending; ``#`` begins a comment."""
    try:
        lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
        offsets_s = np.array([float(line) for line in lines if line])
    except OSError as error:
        msg = f"--arrivals-file {path}: cannot be read: {error.strerror or error}"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"--arrivals-file {path}: must have one number of seconds a line: {error}"
        raise UsageError(msg) from error
    in_order = offsets_s.size > 0 and bool((np.diff(offsets_s) >= 0).all())
    if not in_order or not 0 <= offsets_s[0] <= offsets_s[-1] <= MAX_SCHEDULE_S:
        msg = f"--arrivals-file {path}: needs instants from 0 on, in ascending order, one a line"
        raise UsageError(msg)
    instants = np.round((offsets_s + warmup_s) * _NS_PER_S).astype(np.int64)
    return Schedule(ARRIVALS_RECORDED, instants=tuple(instants.tolist()))
