"""``latency.hgrm``: the percentile distribution of response times as text, in milliseconds.

The form that aibench and other HdrHistogram tools write and plot: 100 ticks per half distance to
100 %, here over the successes of all repetitions together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastbench import latency
from fastbench.latency import NS_PER_MS, Counts
from fastbench.report.base import Exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.results import Result

TICKS_PER_HALF_DISTANCE = 100
HEADER = " Value\tPercentile\tTotalCount\t1/(1-Percentile)\n"


def render(result: Result) -> bytes:
    """Return the distribution of all repetitions of ``result`` together."""
    counts = latency.merge(r.response_ms.histogram for r in result.repetitions)
    rows = "".join(_row(*row) for row in distribution(counts))
    return f"{HEADER}\n{rows}{_footer(counts)}".encode()


def distribution(counts: Counts) -> Iterator[tuple[int, float, int]]:
    """Yield (value in ns, fraction, values up to it), in rising order, the last at fraction 1.

    The ticks follow HdrHistogram: the step halves with each halving of the distance to 100 %.
    """
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    if not total:
        return
    percent, index = 0.0, int(np.searchsorted(cumulative, 1))
    highest, reached = latency.highest_ns(), 0
    while reached < total:
        while 100.0 * int(cumulative[index]) / total < percent:
            index = int(np.searchsorted(cumulative, cumulative[index], side="right"))
        reached = int(cumulative[index])
        yield int(highest[index]), percent / 100, reached
        percent += 100.0 / _ticks(percent)
    yield int(highest[index]), 1.0, total


def _ticks(percent: float) -> float:
    """Return the number of steps from 0 to 100 % at the resolution due at ``percent``."""
    halvings = int(math.log(100.0 / (100.0 - percent)) / math.log(2)) + 1
    return float(TICKS_PER_HALF_DISTANCE * 2**halvings)


def _row(value_ns: int, fraction: float, count: int) -> str:
    inverse = f"{1 / (1 - fraction):12.2f}" if fraction < 1 else f"{'inf':>12}"
    return f"{value_ns / NS_PER_MS:12.3f} {fraction:12f} {count:12d} {inverse}\n"


def _footer(counts: Counts) -> str:
    mean, stddev = latency.mean_ms(counts), latency.stddev_ms(counts)
    maximum = latency.quantile_ns(counts, 1.0) / NS_PER_MS
    total = int(counts.sum())
    return (
        f"#[Mean    = {mean:12.3f}, StdDeviation   = {stddev:12.3f}]\n"
        f"#[Max     = {maximum:12.3f}, Total count    = {total:12d}]\n"
        f"#[Buckets = {latency.BUCKETS:12d}, SubBuckets     = {latency.SUB_BUCKETS:12d}]\n"
    )


EXPORTER = Exporter("latency.hgrm", render)
