"""From the repetitions of a run to its :class:`fastbench.results.Summary`."""

from __future__ import annotations

import math
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
from fastbench.statistics.bounds import at_rank, median, upper_limit
from fastbench.statistics.intervals import median_ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastbench.statistics.bounds import Bounded

STATISTICS = ("min", "mean", "stddev", "max", *QUANTILES)


def counted(repetitions: Sequence[Repetition]) -> list[Repetition]:
    """Return the repetitions that medians are of: the complete ones; all where none is."""
    return [r for r in repetitions if r.status == "complete"] or list(repetitions)


def summarize(repetitions: Sequence[Repetition]) -> Summary | None:
    """Return medians with minimum and maximum beside them; None where nothing succeeded.

    They are of the repetitions that count; the totals are of all.
    """
    whole = counted(repetitions)
    if not any(r.counts.ok for r in whole):
        return None
    rates = [r.inferences_per_s for r in whole]
    return Summary(
        repetitions=len(whole),
        inferences_per_s=statistics.median(rates),
        inferences_per_s_spread=spread_of([(False, rate) for rate in rates]),
        samples_per_s=statistics.median(r.samples_per_s for r in whole),
        cpu_us_per_inference=median_of(r.client.cpu_us_per_inference for r in whole),
        response_ms=summarize_latency([r.response_ms for r in whole]),
        service_ms=summarize_latency([r.service_ms for r in whole]),
        counts=total_counts([r.counts for r in repetitions]),
        streams=_summarize_streams(whole, repetitions),
    )


def streams_of(repetitions: Sequence[Repetition]) -> list[list[StreamResult]]:
    """Return each stream with what it did in each repetition that has it; none of a single one."""
    found: dict[str, list[StreamResult]] = {}
    for repetition in repetitions:
        for stream in repetition.streams:
            found.setdefault(stream.name, []).append(stream)
    return list(found.values())


def _summarize_streams(
    whole: Sequence[Repetition], repetitions: Sequence[Repetition]
) -> list[StreamSummary]:
    everywhere = {each[0].name: each for each in streams_of(repetitions)}
    return [_summarize_stream(each, everywhere[each[0].name]) for each in streams_of(whole)]


def _summarize_stream(
    whole: Sequence[StreamResult], everywhere: Sequence[StreamResult]
) -> StreamSummary:
    rates = [r.inferences_per_s for r in whole]
    return StreamSummary(
        name=whole[0].name,
        inferences_per_s=statistics.median(rates),
        inferences_per_s_spread=Spread(min=min(rates), max=max(rates)),
        samples_per_s=statistics.median(r.samples_per_s for r in whole),
        response_ms=summarize_latency([r.response_ms for r in whole]),
        service_ms=summarize_latency([r.service_ms for r in whole]),
        counts=total_counts([r.counts for r in everywhere]),
    )


def summarize_latency(latencies: Sequence[Latency]) -> LatencySummary:
    """Return the median of each statistic over the repetitions that have it, and its spread."""
    numbers = {name: _numbers(latencies, name) for name in STATISTICS}
    numbers = {name: each for name, each in numbers.items() if each}
    medians = {name: median(each) for name, each in numbers.items()}
    return LatencySummary(
        beyond=[name for name, (bound, _) in medians.items() if bound],
        few_samples=[n for n in QUANTILES if any(n in lat.few_samples for lat in latencies)],
        spread={name: spread_of(each) for name, each in numbers.items()},
        **{name: value for name, (_, value) in medians.items()},
    )


def spread_of(numbers: Sequence[Bounded]) -> Spread:
    """Return both ends of (is a lower bound, value), one or more, and the median's interval."""
    least, most = at_rank(numbers, 0), at_rank(numbers, len(numbers) - 1)
    ranks = median_ranks(len(numbers))
    high = upper_limit(numbers, ranks[1]) if ranks else math.inf
    return Spread(
        min=least[1],
        max=most[1],
        min_beyond=least[0],
        max_beyond=most[0],
        low=at_rank(numbers, ranks[0])[1] if ranks else None,
        high=high if math.isfinite(high) else None,
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


def _numbers(latencies: Sequence[Latency], name: str) -> list[Bounded]:
    """Return (is a lower bound, value) of each latency that has the statistic."""
    pairs = ((name in lat.beyond, getattr(lat, name)) for lat in latencies)
    return [pair for pair in pairs if pair[1] is not None]


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
