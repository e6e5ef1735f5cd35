"""Journals for tests, written as a run writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from support.sample_result import counters, result

from fastbench.collector import Collector
from fastbench.journal import Begin, Head
from fastbench.measured import RawHistogram, RawInterval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.journal import Journal

SECOND_NS = 1_000_000_000

_RUN = result()
HEAD = Head(**{name: getattr(_RUN, name) for name in Head.__struct_fields__})
BEGIN = Begin(index=1, started_at=_RUN.started_at, batch=2, duration_s=4.0, target_per_s=100.0)


def histogram(values_ns: np.ndarray) -> RawHistogram:
    """Return the histogram of these values as the engine would hand it out."""
    return RawHistogram(
        counts=counters(values_ns),
        total=values_ns.size,
        clipped=0,
        min_ns=int(values_ns.min()) if values_ns.size else None,
        max_ns=int(values_ns.max(initial=0)),
        sum_ns=float(values_ns.sum()),
    )


def raw(index: int, values_ns: np.ndarray, timeouts: int = 0) -> RawInterval:
    """Return an interval with these response times; service times are half as long."""
    return RawInterval(
        index=index,
        completed=values_ns.size,
        ok=values_ns.size,
        errors=0,
        timeouts=timeouts,
        lost=0,
        response=histogram(values_ns),
        service=histogram(values_ns // 2),
        lag=histogram(np.full(values_ns.size, 5000)),
    )


def fill(
    journal: Journal, seconds: Sequence[np.ndarray], stream: str = "", timeouts: int = 0
) -> Collector:
    """Measure one interval after the other, each written as it is closed; return the collector."""
    collector = Collector(SECOND_NS, journal.stream(stream))
    for index, values_ns in enumerate(seconds):
        collector.add([raw(index, values_ns, timeouts)])
    return collector
