"""From the repetitions of a run to its :class:`fastbench.results.Summary`."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from fastbench.results import (
    QUANTILES,
    Counts,
    ErrorClass,
    Latency,
    LatencySummary,
    Repetition,
    Spread,
    StreamResult,
    StreamSummary,
    Summary,
)
from fastbench.statistics.intervals import median_ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STATISTICS = ("min", "mean", "stddev", "max", *QUANTILES)


def summarize(repetitions: Sequence[Repetition]) -> Summary | None:
    """Return medians with minimum and maximum beside them; None where nothing succeeded."""
    if not any(r.counts.ok for r in repetitions):
        return None
    rates = [r.inferences_per_s for r in repetitions]
    return Summary(
        repetitions=len(repetitions),
        inferences_per_s=statistics.median(rates),
        inferences_per_s_spread=spread_of([(False, rate) for rate in rates]),
        samples_per_s=statistics.median(r.samples_per_s for r in repetitions),
        cpu_us_per_inference=median_of(r.client.cpu_us_per_inference for r in repetitions),
        response_ms=summarize_latency([r.response_ms for r in repetitions]),
        service_ms=summarize_latency([r.service_ms for r in repetitions]),
        counts=total_counts([r.counts for r in repetitions]),
        streams=[_summarize_stream(s) for s in streams_of(repetitions)],
    )


def streams_of(repetitions: Sequence[Repetition]) -> list[list[StreamResult]]:
    """Return each stream with what it did in each repetition that has it; none of a single one."""
    found: dict[str, list[StreamResult]] = {}
    for repetition in repetitions:
        for stream in repetition.streams:
            found.setdefault(stream.name, []).append(stream)
    return list(found.values())


def _summarize_stream(repetitions: Sequence[StreamResult]) -> StreamSummary:
    rates = [r.inferences_per_s for r in repetitions]
    return StreamSummary(
        name=repetitions[0].name,
        inferences_per_s=statistics.median(rates),
        inferences_per_s_spread=Spread(min=min(rates), max=max(rates)),
        samples_per_s=statistics.median(r.samples_per_s for r in repetitions),
        response_ms=summarize_latency([r.response_ms for r in repetitions]),
        service_ms=summarize_latency([r.service_ms for r in repetitions]),
        counts=total_counts([r.counts for r in repetitions]),
    )


def summarize_latency(latencies: Sequence[Latency]) -> LatencySummary:
    """Return the median of each statistic over the repetitions that have it, and its spread."""
    ranked = {name: _ranked(latencies, name) for name in STATISTICS}
    ranked = {name: values for name, values in ranked.items() if values}
    medians = {name: _middle(values) for name, values in ranked.items()}
    return LatencySummary(
        beyond=[name for name, (bound, _) in medians.items() if bound],
        few_samples=[n for n in QUANTILES if any(n in lat.few_samples for lat in latencies)],
        spread={name: spread_of(values) for name, values in ranked.items()},
        **{name: value for name, (_, value) in medians.items()},
    )


def spread_of(values: Iterable[tuple[bool, float]]) -> Spread:
    """Return both ends of (is a lower bound, value), one or more, and the median's interval."""
    ranked = sorted(values)
    ranks = median_ranks(len(ranked))
    low, high = (ranked[ranks[0]], ranked[ranks[1]]) if ranks else (None, None)
    return Spread(
        min=ranked[0][1],
        max=ranked[-1][1],
        low=low[1] if low else None,
        high=high[1] if high and not high[0] else None,
    )


def total_counts(counts: Sequence[Counts]) -> Counts:
    """Return the sums over the repetitions; the first text seen of each error class stays."""
    numbers = [name for name in Counts.__struct_fields__ if name != "errors_by_class"]
    sums = {name: sum(getattr(c, name) for c in counts) for name in numbers}
    return Counts(**sums, errors_by_class=_merged_classes(counts))


def median_of(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are not None; None where there is none."""
    present = _present(values)
    return statistics.median(present) if present else None


def _ranked(latencies: Sequence[Latency], name: str) -> list[tuple[bool, float]]:
    """Return (is a lower bound, value) of each latency that has the statistic, in order."""
    pairs = ((name in lat.beyond, getattr(lat, name)) for lat in latencies)
    return sorted(pair for pair in pairs if pair[1] is not None)


def _middle(ranked: list[tuple[bool, float]]) -> tuple[bool, float]:
    """Return the median; the mean of the two in the middle is a bound if one of them is."""
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    return high[0], (low[1] + high[1]) / 2


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _merged_classes(counts: Sequence[Counts]) -> dict[str, ErrorClass]:
    merged: dict[str, ErrorClass] = {}
    for name, new in (item for c in counts for item in c.errors_by_class.items()):
        old = merged.get(name, ErrorClass(count=0))
        merged[name] = ErrorClass(
            count=old.count + new.count, first_text=old.first_text or new.first_text
        )
    return merged
