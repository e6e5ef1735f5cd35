"""Where to look next for the highest rate that holds: pure logic, no clock and no server.

The next step follows from the trials so far alone, so that a search can be resumed. A rate holds
or not; noise makes that uncertain, so both ends of the last bracket are tried again with all
repetitions, and the trial with more repetitions overrules. At the end one rate above the bracket
is tried, for a server that fails at one rate and holds a higher one has no single limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HELD = "held"
FAILED = "failed"
CLIENT_LIMITED = "client-limited"

GROWTH = 2.0  # between rates until one holds and one does not
LOWEST_SHARE = 1 / 1024  # of the first rate: below it no rate is tried
LOWEST_PER_S = 1e-3
HIGHEST_PER_S = 1e9
BEYOND = 1.25  # times the lowest rate that failed: is it really the end?
CLEARLY_ABOVE = 1.1
MAX_TRIALS = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate that was tried.

    ``outcome``: HELD, FAILED, or CLIENT_LIMITED: it failed, and the client was the limit.
    """

    rate_per_s: float
    repetitions: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Goal:
    """``resolution``: the bracket is narrow enough when failed / held - 1 is at most that.

    ``repetitions``: of the trials that decide.
    """

    first_per_s: float
    resolution: float
    repetitions: int


@dataclass(frozen=True, slots=True)
class Step:
    """Try this next."""

    rate_per_s: float
    repetitions: int


@dataclass(frozen=True, slots=True)
class Finding:
    """The end; fields as in :class:`fastbench.searches.SearchResult`."""

    finding: str
    held_per_s: float | None
    failed_per_s: float | None
    held_above_failed_per_s: tuple[float, ...] = ()


def next_step(trials: list[Trial], goal: Goal) -> Step | Finding:
    """Return what to try after ``trials``, or what they have shown."""
    state = _State.of(trials)
    if len(trials) >= MAX_TRIALS:
        return state.finding("undecided")
    if state.held is None or state.failed is None:
        return _bracket(state, goal)
    if state.final[state.failed].outcome == CLIENT_LIMITED:
        return (
            state.confirm(state.failed, goal)
            or state.confirm(state.held, goal)
            or state.finding(CLIENT_LIMITED)
        )
    middle = _rounded(math.sqrt(state.held * state.failed))
    if state.failed / state.held - 1 > goal.resolution and state.held < middle < state.failed:
        return Step(middle, 1)
    return (
        state.confirm(state.held, goal)
        or state.confirm(state.failed, goal)
        or _beyond(state)
        or state.finding("found")
    )


@dataclass(frozen=True, slots=True)
class _State:
    """What is known: the trial that counts for each rate, and the bracket."""

    final: dict[float, Trial]
    held: float | None  # the highest below every failure
    failed: float | None  # the lowest

    @classmethod
    def of(cls, trials: list[Trial]) -> _State:
        final = {t.rate_per_s: t for t in sorted(trials, key=lambda t: t.repetitions)}
        failed = min((r for r, t in final.items() if t.outcome != HELD), default=math.inf)
        held = max((r for r in final if r < failed), default=None)
        return cls(final, held, None if failed == math.inf else failed)

    def confirm(self, rate: float, goal: Goal) -> Step | None:
        """Return the trial that decides about ``rate``; None when it was made."""
        made = self.final[rate].repetitions >= goal.repetitions
        return None if made else Step(rate, goal.repetitions)

    def finding(self, finding: str) -> Finding:
        above = (r for r, t in self.final.items() if t.outcome == HELD and r > (self.failed or r))
        limited = finding == CLIENT_LIMITED  # the server's own limit is then not known
        return Finding(finding, self.held, None if limited else self.failed, tuple(sorted(above)))


def _bracket(state: _State, goal: Goal) -> Step | Finding:
    """Double until a rate fails, or halve until one holds."""
    if state.held is None and state.failed is None:
        return Step(_rounded(goal.first_per_s), 1)
    if state.held is not None:
        rate = _rounded(state.held * GROWTH)
        return state.finding("no-limit") if rate > HIGHEST_PER_S else Step(rate, 1)
    failed = state.failed or 0.0
    if len(state.final) == 1 and (again := state.confirm(failed, goal)):
        return again  # by noise at the very first rate the search would go far astray
    rate = _rounded(failed / GROWTH)
    if rate >= max(goal.first_per_s * LOWEST_SHARE, LOWEST_PER_S):
        return Step(rate, 1)
    by_client = state.final[failed].outcome == CLIENT_LIMITED
    return state.confirm(failed, goal) or state.finding(
        CLIENT_LIMITED if by_client else "none-holds"
    )


def _beyond(state: _State) -> Step | None:
    """Look above the bracket, unless a rate clearly above it was tried on the way."""
    failed = state.failed or math.inf
    rate = failed * BEYOND
    if max(state.final) > failed * CLEARLY_ABOVE or rate > HIGHEST_PER_S:
        return None
    return Step(_rounded(rate), 1)


def _rounded(rate: float) -> float:
    """Return the rate with four digits, for names that people read."""
    return float(f"{rate:.4g}")
