"""Intervals, bootstrap and stationarity tests against tables, formulas and simulations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulated import autocorrelated

from fastbench.statistics.blocks import autocovariance, block_length, block_weights
from fastbench.statistics.bounds import at_rank, median, upper_limit
from fastbench.statistics.intervals import median_ranks, student_t
from fastbench.statistics.stationarity import beyond_chance, drift, truncation, warm_up


@pytest.mark.parametrize(
    ("n", "ranks"),
    [
        (0, None),
        (1, None),
        (5, None),
        (6, (0, 5)),
        (8, (0, 7)),
        (9, (1, 7)),
        (12, (2, 9)),
        (20, (5, 14)),
        (25, (7, 17)),
        (50, (17, 32)),
    ],
)
def test_ranks_around_the_median(n: int, ranks: tuple[int, int] | None) -> None:
    """As in the published tables (there from rank 1): none below six values."""
    assert median_ranks(n) == ranks


@pytest.mark.parametrize("n", [6, 9, 12, 15])
def test_coverage_of_the_ranks_by_enumeration(n: int) -> None:
    """Over all ways in which n values can lie around the median 95 % or more are enclosed."""
    ranks = median_ranks(n)
    assert ranks is not None
    below = [sum(sides) for sides in itertools.product((0, 1), repeat=n)]

    covered = sum(ranks[0] < count <= ranks[1] for count in below) / 2**n
    narrower = sum(ranks[0] + 1 < count <= ranks[1] - 1 for count in below) / 2**n

    assert narrower < 0.95 <= covered


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (10, 2.228), (30, 2.042), (1e9, 1.960)],
)
def test_student_t_as_in_tables(freedom: float, t: float) -> None:
    """Two-sided 95 %."""
    assert student_t(freedom) == pytest.approx(t, abs=6e-4)


def test_student_t_at_other_levels_and_below_one_degree() -> None:
    """99.5 % as in tables; fewer degrees than one are taken as one."""
    assert student_t(4, 0.995) == pytest.approx(5.598, abs=2e-3)
    assert student_t(0.3) == student_t(1)
    assert student_t(2) > student_t(2.5) > student_t(3)


def test_block_length_grows_with_autocorrelation() -> None:
    """It follows the known optimum for AR(1), and is about 1 without autocorrelation."""
    generator = np.random.default_rng(1)
    found = {
        phi: np.median([block_length(x) for x in autocorrelated(generator, (60, 400), phi)])
        for phi in (0.0, 0.5, 0.8)
    }

    # Patton, Politis & White: (2 G²/D n)^(1/3) with, for AR(1), G/g(0) = 2 phi / (1 - phi²).
    for phi in (0.5, 0.8):
        best = (400 * (2 * phi / (1 - phi**2)) ** 2) ** (1 / 3)
        assert best / 1.5 < found[phi] < best * 1.5, phi
    assert found[0.0] < 4


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 20])
def test_block_length_of_short_and_constant_series(n: int) -> None:
    """There is always one, between 1 and a third of the series."""
    generator = np.random.default_rng(n)

    assert block_length(np.full(n, 7.0)) == 1.0
    for _ in range(50):
        length = block_length(np.cumsum(generator.normal(size=n)))
        assert 1.0 <= length <= max(1, math.ceil(n / 3))


def test_autocovariance_by_definition() -> None:
    """At lag k: the mean product of deviations k apart, over n."""
    x = np.array([1.0, 4.0, 2.0, 5.0])
    d = x - 3

    assert autocovariance(x, 2) == pytest.approx(
        [
            np.sum(d * d) / 4,
            (d[0] * d[1] + d[1] * d[2] + d[2] * d[3]) / 4,
            d[0] * d[2] / 4 + d[1] * d[3] / 4,
        ]
    )


@given(st.integers(1, 60), st.floats(1.0, 20.0), st.integers(0, 2**32 - 1))
def test_block_weights_take_n_intervals_each(n: int, length: float, seed: int) -> None:
    """Each resample is as long as the series."""
    weights = block_weights(n, length, 7, np.random.default_rng(seed))

    assert weights.shape == (7, n)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == n).all()


def test_block_bootstrap_sees_autocorrelation() -> None:
    """The standard error of an AR(1) mean is near the true one; drawing singly is far too small."""
    generator = np.random.default_rng(2)
    n, phi = 300, 0.6
    series = autocorrelated(generator, (40, n), phi)
    true = math.sqrt((1 + phi) / (1 - phi) / n)

    def mean_error(length: float | None) -> float:
        return float(
            np.mean(
                [
                    np.std(block_weights(n, length or block_length(x), 400, generator) @ x / n)
                    for x in series
                ]
            )
        )

    assert mean_error(None) == pytest.approx(true, rel=0.2)
    assert mean_error(1.0) == pytest.approx(true / 2, rel=0.1)


def test_truncation_finds_the_end_of_a_warm_up() -> None:
    """The leading values that differ are left out; of an even series none or few."""
    noise = np.random.default_rng(3).normal(0, 1, 60)
    slow = noise + np.where(np.arange(60) < 7, -30.0, 0.0)

    assert 7 <= truncation(slow) <= 11
    assert truncation(np.full(20, 5.0)) == 0


def test_a_trend_and_a_slow_start_are_told_apart() -> None:
    """A rise is drift with its sign and size; a slow start is warm-up and no drift."""
    noise = np.random.default_rng(4).normal(0, 0.5, (3, 40))
    rising = [drift(100 + n + np.linspace(0, 20, 40)) for n in noise]
    starting = [100 + n - np.where(np.arange(40) < 8, 20, 0) for n in noise]

    assert beyond_chance(rising, 0.005)
    assert rising[0].size == pytest.approx(0.8 * 20 / 112, rel=0.15)
    assert beyond_chance([warm_up(x) for x in starting], 0.005)
    assert warm_up(starting[0]).size == pytest.approx(-0.2, abs=0.02)
    assert not beyond_chance([drift(x) for x in starting], 0.005)


def test_opposite_trends_are_no_common_one() -> None:
    """What rises in one repetition and falls in the other is not drift of the run."""
    up = drift(np.linspace(1, 2, 30))
    down = drift(np.linspace(2, 1, 30))

    assert not beyond_chance([up, down], 0.005)


@pytest.mark.parametrize("series", [np.full(25, 3.0), np.zeros(25), np.repeat([1.0, 2.0], 20)])
def test_ties_and_zeros_are_no_trouble(series: np.ndarray) -> None:
    """Constant series show nothing, and nothing divides by zero."""
    for test in (drift, warm_up):
        found = test(series)
        assert math.isfinite(found.size)
        assert not beyond_chance([found], 0.005) or np.ptp(series) > 0


def test_false_alarms_of_one_test_are_rare() -> None:
    """At 5 % each test alone stays near 5 % for independent values, where theory says so."""
    series = np.random.default_rng(5).normal(0, 1, (1000, 40))

    for test in (drift, warm_up):
        alarms = np.mean([beyond_chance([test(x)], 0.05) for x in series])
        assert alarms < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


NUMBERS = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=6)


@given(numbers=NUMBERS, data=st.data())
def test_what_bounds_leave_open_is_never_said(
    numbers: list[tuple[bool, float]], data: st.DataObject
) -> None:
    """Whatever hides behind the bounds, every rank and the median are as they are said to be."""
    truth = sorted(
        value + data.draw(st.integers(0, 20)) if is_bound else value for is_bound, value in numbers
    )

    for rank, true in enumerate(truth):
        is_bound, value = at_rank(numbers, rank)
        assert true >= value if is_bound else true == value
        assert true <= upper_limit(numbers, rank)
    is_bound, value = median(numbers)
    middle = float(np.median(truth))
    assert middle >= value if is_bound else middle == value


@given(numbers=NUMBERS)
def test_bounds_are_not_wider_than_need_be(numbers: list[tuple[bool, float]]) -> None:
    """Each rank's bound is reached where all that is hidden lies at its own bound, and else not."""
    at_bounds = sorted(value for _, value in numbers)
    far_above = sorted(1000 if is_bound else value for is_bound, value in numbers)

    for rank, (low, high) in enumerate(zip(at_bounds, far_above, strict=True)):
        assert at_rank(numbers, rank) == (low != high, low)
