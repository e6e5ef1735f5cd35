"""``latency.hlog``: response times as an HdrHistogram log, format 1.3.

One line per interval and all repetitions in sequence. Time stamps are seconds since the start of
the first repetition; ``Interval_Max`` is in milliseconds and the histograms are in nanoseconds.
Of several streams each has its lines, tagged with its name; together they are all there is.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fastbench import latency
from fastbench.report.base import Exporter
from fastbench.results import Interval, Repetition, Result, StreamResult

if TYPE_CHECKING:
    from collections.abc import Iterator

LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


def render(result: Result) -> bytes:
    """Return the log of ``result``; one without repetitions is only its header."""
    lines = [*_header(result), *_intervals(result.repetitions)]
    return ("\n".join(lines) + "\n").encode()


def _header(result: Result) -> Iterator[str]:
    first = result.repetitions[0].started_at if result.repetitions else result.started_at
    started = datetime.fromisoformat(first)
    yield f"#[fastbench {result.fastbench_version}, response times of successes, nanoseconds]"
    yield "#[Histogram log format version 1.3]"
    yield (
        f"#[StartTime: {started.timestamp():.3f} (seconds since epoch), "
        f"{started.isoformat(sep=' ', timespec='milliseconds')}]"
    )
    yield LEGEND


def _intervals(repetitions: list[Repetition]) -> Iterator[str]:
    end_s = 0.0
    for repetition in repetitions:
        # Wall clocks may be set back between repetitions; the log's time stamps must not.
        offset_s = max(end_s, _seconds_between(repetitions[0], repetition))
        for stream, interval in _in_order(repetition):
            if interval.histogram:
                yield _tag(stream) + _line(interval, offset_s)
            end_s = max(end_s, offset_s + interval.end_s)


def _in_order(repetition: Repetition) -> list[tuple[str, Interval]]:
    """Return the intervals with the name of their stream as they began; a single one has none."""
    parts: list[tuple[str, Repetition | StreamResult]]
    parts = [(s.name, s) for s in repetition.streams] or [("", repetition)]
    each = [
        (name, interval)
        for name, part in parts
        for interval in part.timeseries or [_whole(part, repetition.measured_s)]
    ]
    return sorted(each, key=lambda named: named[1].start_s)


def _tag(stream: str) -> str:
    return f"Tag={stream}," if stream else ""


def _seconds_between(first: Repetition, later: Repetition) -> float:
    start, end = (datetime.fromisoformat(r.started_at) for r in (first, later))
    return (end - start).total_seconds()


def _whole(part: Repetition | StreamResult, measured_s: float) -> Interval:
    """Return what has no time series as one interval."""
    counts = part.counts
    return Interval(
        start_s=0.0,
        end_s=measured_s,
        ok=counts.ok,
        errors=counts.errors,
        timeouts=counts.timeouts,
        lost=counts.lost,
        inferences_per_s=part.inferences_per_s,
        histogram=part.response_ms.histogram,
    )


def _line(interval: Interval, offset_s: float) -> str:
    max_ms = latency.quantile_ns(latency.decode(interval.histogram), 1.0) / latency.NS_PER_MS
    return (
        f"{offset_s + interval.start_s:.6f},{interval.end_s - interval.start_s:.6f},"
        f"{max_ms:.6f},{interval.histogram}"
    )


EXPORTER = Exporter("latency.hlog", render)
