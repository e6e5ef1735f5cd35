"""Whether the measure phase was steady: warm-up still visible in it, or drift throughout.

Tested on the interval series of inferences/s, p50 and p99 of the response time, over all
repetitions together, with six tests at 0.5 % each: together they raise a false alarm in less than
5 % of runs, also where intervals are autocorrelated (up to about 0.6). A change of 5 % or less of
the median is not worth a word, however certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastbench.statistics.stationarity import (
    FEWEST_INTERVALS,
    beyond_chance,
    common_size,
    drift,
    truncation,
    warm_up,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.results import Interval, Repetition, Result
    from fastbench.statistics.blocks import Floats
    from fastbench.statistics.stationarity import Contrast

#: What is tested, by field of an interval.
METRICS = {
    "inferences_per_s": "inferences/s",
    "response_p50_ms": "response p50",
    "response_p99_ms": "response p99",
}
LEVEL = 0.03 / (2 * len(METRICS))
SMALLEST = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was not steady.

    ``size``: as a fraction of the median; of the first fifth against the rest, or over the rest.
    ``settled_s``: warm-up: about how long it lasted into measure.
    """

    metric: str
    size: float
    settled_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Steadiness:
    """``untested``: why metrics were not tested; empty = all were."""

    warm_up: tuple[Finding, ...] = ()
    drift: tuple[Finding, ...] = ()
    untested: str = ""


def examine(result: Result) -> Steadiness:
    """Test the repetitions of ``result``; a metric that drifts is not also said to warm up.

    One that an error ended is left out: it was not steady, and why is known.
    """
    configs = (result.config, *result.config.get("streams", []))
    if any(config.get("profile") or config.get("arrivals_file") for config in configs):
        return Steadiness(untested="the schedule itself changes with time")
    repetitions = [r for r in result.repetitions if r.status != "partial"]
    warming, drifting, short = [], [], []
    for field, metric in METRICS.items():
        every = [series_of(repetition, field) for repetition in repetitions]
        series = [one for one in every if one.size >= FEWEST_INTERVALS]
        if not series:
            short.append(max((one.size for one in every), default=0))
        elif found := _change(metric, series, drift):
            drifting.append(found)
        elif found := _change(metric, series, warm_up):
            settled_s = _settled_s(repetitions, series)
            warming.append(Finding(metric, found.size, settled_s))
    few = f"{min(short)} intervals, {FEWEST_INTERVALS} are needed" if short else ""
    return Steadiness(tuple(warming), tuple(drifting), few)


def series_of(repetition: Repetition, field: str) -> Floats:
    """Return the values of ``field`` over the intervals of measure; float64, shape (n,).

    Left out: an interval cut short by the end of measure, and for latencies those that cannot yet
    hold a slow reply, because measure had only begun.
    """
    intervals = _whole(repetition.timeseries)
    if field != "inferences_per_s":
        settled_s = (repetition.response_ms.p99 or 0.0) / 1e3
        intervals = [i for i in intervals if i.start_s >= settled_s]
    values = (getattr(interval, field) for interval in intervals)
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _whole(intervals: Sequence[Interval]) -> list[Interval]:
    during = [i for i in intervals if i.inferences_per_s is not None]
    longest_s = max((i.end_s - i.start_s for i in during), default=0.0)
    return [i for i in during if i.end_s - i.start_s > longest_s / 2]


def _change(
    metric: str, series: list[Floats], test: Callable[[Floats], Contrast]
) -> Finding | None:
    contrasts = [test(one) for one in series]
    size = common_size(contrasts)
    if abs(size) <= SMALLEST or not beyond_chance(contrasts, LEVEL):
        return None
    return Finding(metric, size)


def _settled_s(repetitions: Sequence[Repetition], series: list[Floats]) -> float:
    """Return how long it took until the mean over repetitions was steady, about."""
    n = min(one.size for one in series)
    steps = max(truncation(np.mean([one[:n] for one in series], axis=0)), 1)
    whole = _whole(repetitions[0].timeseries)
    return whole[min(steps + len(whole) - n, len(whole)) - 1].end_s
