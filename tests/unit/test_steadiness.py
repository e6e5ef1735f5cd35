"""Warm-up and drift in whole runs: rarely seen where there is none, seen where there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from support.sample_result import repetition, result
from support.simulated import autocorrelated, steady, with_series

from fastbench.steadiness import examine, series_of
from fastbench.warnings import assess

if TYPE_CHECKING:
    from fastbench.results import Result

changed = msgspec.structs.replace

RUNS = 150


def run_of(rates: np.ndarray, p50: np.ndarray, p99: np.ndarray) -> Result:
    """Return a run whose repetitions have these series, shape (repetitions, intervals) each."""
    reps = [
        with_series(repetition(1), *series, length_s=0.25)
        for series in zip(1000 * rates, 3 * p50, 8 * p99, strict=True)
    ]
    return result(*reps)


@pytest.mark.parametrize(("intervals", "correlation"), [(25, 0.0), (25, 0.6), (50, 0.4)])
def test_stationary_runs_raise_few_alarms(intervals: int, correlation: float) -> None:
    """In at most 5 % of autocorrelated stationary runs, within binomial error, anything is seen."""
    generator = np.random.default_rng(int(10 * correlation) + intervals)
    series = 1 + 0.1 * autocorrelated(generator, (RUNS, 3, 3, intervals), correlation)

    found = [examine(run_of(*one)) for one in series]

    assert not any(f.untested for f in found)
    alarms = sum(bool(f.warm_up or f.drift) for f in found)
    assert alarms <= RUNS * 0.05 + 2.33 * math.sqrt(RUNS * 0.05 * 0.95)


def test_drift_is_found() -> None:
    """A fall by a fifth over 25 intervals of 2 % noise is seen in nearly all runs, as drift."""
    generator = np.random.default_rng(8)
    noise = 0.02 * autocorrelated(generator, (50, 3, 3, 25), 0.3)
    noise[:, 0] -= np.linspace(0, 0.2, 25)

    found = [examine(run_of(*(1 + one))) for one in noise]

    assert sum([f.metric for f in one.drift] == ["inferences/s"] for one in found) >= 45
    sizes = [one.drift[0].size for one in found if one.drift]
    assert np.median(sizes) == pytest.approx(-0.2 * 0.8 / 0.88, abs=0.03)


def test_warm_up_is_found_with_its_length() -> None:
    """A start at twice the p99 that decays is mostly seen as warm-up, and how long it lasted."""
    generator = np.random.default_rng(9)
    noise = 0.03 * autocorrelated(generator, (50, 3, 3, 40), 0.3)
    noise[:, 2] += np.where(np.arange(40) < 6, 1.0, 0.0)

    found = [examine(run_of(*(1 + one))) for one in noise]

    assert sum([f.metric for f in one.warm_up] == ["response p99"] for one in found) >= 35
    seen = [one.warm_up[0].settled_s for one in found if one.warm_up]
    assert np.median(seen) == pytest.approx(6 * 0.25)


def test_small_change_is_not_worth_a_word() -> None:
    """A certain drift of 3 % says nothing."""
    rates = np.tile(1 + np.linspace(0, 0.03, 40), (3, 1))

    assert examine(run_of(rates, np.ones((3, 40)), np.ones((3, 40)))).drift == ()


def test_too_few_intervals_are_said() -> None:
    """Below 20 intervals nothing is tested, and the warning says so with both numbers."""
    run = result(*[changed(steady(n, intervals=12), measured_s=30.0) for n in (1, 2, 3)])

    warnings = {w.code: w.message for w in assess(run)}
    assert warnings["steadiness-untested"].endswith("11 intervals, 20 are needed")


@pytest.mark.parametrize("key", ["profile", "arrivals_file"])
def test_changing_load_is_not_called_drift(key: str) -> None:
    """Where the schedule changes with time nothing is tested, and that is said."""
    run = result(*[steady(n) for n in (1, 2, 3)])

    assert examine(run).untested == ""
    assert "schedule" in examine(changed(run, config={**run.config, key: "x"})).untested


@pytest.mark.parametrize("key", ["profile", "arrivals_file"])
def test_changing_load_of_one_stream(key: str) -> None:
    """One stream whose schedule changes makes the load of all together change."""
    run = result(*[steady(n) for n in (1, 2, 3)])
    streams = [{"name": "a", key: None}, {"name": "b", key: "x"}]

    assert examine(changed(run, config={**run.config, "streams": streams[:1]})).untested == ""
    assert "schedule" in examine(changed(run, config={**run.config, "streams": streams})).untested


def test_intervals_that_cannot_be_compared_are_left_out() -> None:
    """Cut at the end, after measure, without replies, or before a slow reply could have come."""
    rep = steady(1)
    series = list(rep.timeseries)
    cut = changed(series[-1], end_s=series[-1].start_s + 0.3)
    after = changed(series[-1], start_s=30.0, end_s=31.0, inferences_per_s=None)
    silent = changed(series[10], response_p50_ms=None)
    rep = changed(rep, timeseries=[*series[:10], silent, *series[11:-1], cut, after])
    rep = changed(rep, response_ms=changed(rep.response_ms, p99=1500.0))

    assert series_of(rep, "inferences_per_s").size == 29
    assert series_of(rep, "response_p50_ms").size == 26


def test_warnings_say_what_and_by_how_much() -> None:
    """Drift and warm-up have codes of their own, figures and an advice."""
    falling, flat = np.tile(1 - np.linspace(0, 0.3, 40), (3, 1)), np.ones((3, 40))
    slow = flat + np.where(np.arange(40) < 8, 0.5, 0)

    (warning,) = [w for w in assess(run_of(falling, flat, slow)) if w.code == "drift"]
    assert warning.message.startswith("during measure inferences/s fell by ")
    (warning,) = [w for w in assess(run_of(flat, flat, slow)) if w.code == "warm-up-visible"]
    assert "response p99 was above the rest by 50%" in warning.message
    assert "--warmup 3 " in warning.advice
