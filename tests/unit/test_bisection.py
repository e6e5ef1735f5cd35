"""The search against simulated servers whose limit is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from fastbench.bisection import (
    CLIENT_LIMITED,
    FAILED,
    HELD,
    MAX_TRIALS,
    Finding,
    Goal,
    Trial,
    next_step,
)

#: Rate and repetitions to outcome.
Server = Callable[[float, int], str]
RESOLUTION = 0.05


def explore(server: Server, first: float, repetitions: int = 3) -> tuple[Finding, list[Trial]]:
    """Search against ``server`` until the end."""
    trials: list[Trial] = []
    goal = Goal(first, RESOLUTION, repetitions)
    while not isinstance(step := next_step(trials, goal), Finding):
        assert len(trials) < MAX_TRIALS
        outcome = server(step.rate_per_s, step.repetitions)
        trials.append(Trial(step.rate_per_s, step.repetitions, outcome))
    return step, trials


def cliff(limit: float) -> Server:
    """Return a server that holds every rate up to ``limit`` and none above."""
    return lambda rate, _: HELD if rate <= limit else FAILED


def mm1(mu: float, p99_below_s: float, noise: float, seed: int) -> Server:
    """Return an M/M/1 server: P(T > t) = exp(-(mu - rate) t), so p99 = ln 100 / (mu - rate).

    Each repetition measures p99 with log-normal noise; a trial is the median of its repetitions.
    """
    generator = random.Random(seed)

    def measured(rate: float) -> float:
        p99 = math.log(100) / (mu - rate) if rate < mu else math.inf
        return p99 * math.exp(generator.gauss(0, noise))

    def tried(rate: float, repetitions: int) -> str:
        p99 = sorted(measured(rate) for _ in range(repetitions))[repetitions // 2]
        return HELD if p99 < p99_below_s else FAILED

    return tried


@pytest.mark.parametrize("limit", [20.5, 333.0, 500.0, 501.0, 64_000.0, 1.7e6])
@pytest.mark.parametrize("first", [1.0, 499.9, 10_000.0])
def test_cliff_is_found(limit: float, first: float) -> None:
    """Wherever the search begins, the limit lies between the two rates that it names."""
    found, _ = explore(cliff(limit), max(first, limit / 1000))

    assert found.finding == "found"
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s <= limit < found.failed_per_s
    assert found.failed_per_s / found.held_per_s - 1 <= RESOLUTION
    assert found.held_above_failed_per_s == ()


def test_both_ends_are_decided_by_all_repetitions() -> None:
    """The two rates of the answer were tried with the repetitions asked for, others need not."""
    found, trials = explore(cliff(700), 500, repetitions=5)

    decided = {t.rate_per_s: t.outcome for t in trials if t.repetitions == 5}
    assert decided[found.held_per_s or 0.0] == HELD
    assert decided[found.failed_per_s or 0.0] == FAILED
    assert len(trials) > len(decided)


def test_mm1_answer_is_that_of_queueing_theory() -> None:
    """With noise of 5 % in p99, 100 searches come out within 10 % of mu - ln(100) / limit."""
    mu, limit_s = 1000.0, 0.0115
    truth = mu - math.log(100) / limit_s

    answers = [
        explore(mm1(mu, limit_s, 0.05, seed), 500)[0].held_per_s or 0.0 for seed in range(100)
    ]

    assert 590 < truth < 610
    assert all(abs(answer / truth - 1) < 0.10 for answer in answers)


def test_overload_without_end_is_none_holds() -> None:
    """A server that holds nothing is given up after a thousandth of the first rate."""
    found, trials = explore(lambda _rate, _n: FAILED, 1000)

    assert found.finding == "none-holds"
    assert found.held_per_s is None
    assert found.failed_per_s == min(t.rate_per_s for t in trials)
    assert 1000 / 1024 <= found.failed_per_s <= 2


def test_no_limit_is_said() -> None:
    """When everything holds, the search ends at the greatest rate that can be asked for."""
    found, trials = explore(lambda _rate, _n: HELD, 1000)

    assert found.finding == "no-limit"
    assert found.failed_per_s is None
    assert found.held_per_s == max(t.rate_per_s for t in trials)


def test_client_limit_ends_the_search() -> None:
    """Where the client is the limit the server's own is unknown, and bisecting is pointless."""

    def server(rate: float, _: int) -> str:
        return HELD if rate <= 900 else CLIENT_LIMITED

    found, trials = explore(server, 500)

    assert found == Finding(CLIENT_LIMITED, 500, None)
    assert [(t.rate_per_s, t.repetitions) for t in trials] == [
        (500, 1),
        (1000, 1),
        (1000, 3),
        (500, 3),
    ]


def test_client_limit_by_noise_is_overruled() -> None:
    """One hiccup of the client in a single repetition does not end the search."""
    hiccups = iter([CLIENT_LIMITED])

    def server(rate: float, repetitions: int) -> str:
        if rate >= 1000 and repetitions == 1:
            return next(hiccups, FAILED)
        return HELD if rate <= 1100 else FAILED

    found, _ = explore(server, 500)

    assert found.finding == "found"
    assert found.held_per_s is not None
    assert found.held_per_s <= 1100 < (found.failed_per_s or 0)


def test_client_limit_everywhere_is_not_the_servers() -> None:
    """When nothing holds because of the client, no limit of the server is named."""
    found, _ = explore(lambda _rate, _n: CLIENT_LIMITED, 1000)

    assert found == Finding(CLIENT_LIMITED, None, None)


def test_hole_below_a_rate_that_holds_is_said() -> None:
    """A server that fails from 600 to 700 only is no cliff: the answer is below, the hole named."""

    def server(rate: float, _: int) -> str:
        return FAILED if 600 <= rate <= 700 else HELD

    found, _ = explore(server, 325)

    assert found.finding == "found"
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s < 600 <= found.failed_per_s <= 700
    assert found.held_above_failed_per_s
    assert min(found.held_above_failed_per_s) > 700


def test_first_rate_that_fails_by_noise_is_tried_again() -> None:
    """One bad repetition at the beginning does not send the search down."""
    hiccups = iter([FAILED])

    def server(rate: float, _: int) -> str:
        return next(hiccups, HELD if rate <= 1500 else FAILED)

    _, trials = explore(server, 1000)

    assert [(t.rate_per_s, t.repetitions) for t in trials[:2]] == [(1000, 1), (1000, 3)]
    assert min(t.rate_per_s for t in trials) == 1000


def test_noise_alone_does_not_go_on_for_ever() -> None:
    """A coin in place of a server ends with some finding within the trials allowed."""
    for seed in range(50):
        coin = random.Random(seed)
        found, trials = explore(lambda _rate, _n, coin=coin: coin.choice([HELD, FAILED]), 100)
        assert len(trials) <= MAX_TRIALS
        assert found.finding in {"found", "none-holds", "undecided", "no-limit"}


def test_one_repetition_is_never_confirmed() -> None:
    """With one repetition no rate is tried twice."""
    _, trials = explore(cliff(700), 500, repetitions=1)

    rates = [t.rate_per_s for t in trials]
    assert len(set(rates)) == len(rates)
