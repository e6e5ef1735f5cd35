"""Throughput and latency over time, from the intervals of all repetitions or of a stream."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from fastbench.report.html.plots import Json, Plot, differ_widely, dots
from fastbench.report.html.strip import Curve, Strip, strip_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.results import Interval, Repetition

LATENCY_LINES: Final = {
    "p50": "response_p50_ms",
    "p95": "response_p95_ms",
    "p99": "response_p99_ms",
    "service p50": "service_p50_ms",
    "service p99": "service_p99_ms",
}
SHOWN: Final = ("p50", "p95", "p99")
OUTCOMES: Final = ("ok", "errors", "timeouts", "lost")
UNKNOWN: Final = "p99 unknown: no reply in time"


def timeline_plots(repetitions: Sequence[Repetition]) -> tuple[Plot, ...]:
    """Return both plots; none where no repetition has intervals."""
    if not any(r.timeseries for r in repetitions):
        return ()
    strip = _strip(repetitions)
    return _throughput(strip, repetitions), _latency(strip, repetitions)


def _strip(repetitions: Sequence[Repetition]) -> Strip:
    ends_s = [r.timeseries[-1].end_s if r.timeseries else 0.0 for r in repetitions]
    measured_s = [r.measured_s for r in repetitions]
    return Strip(
        names=[f"rep {r.index}" for r in repetitions],
        instants=[[(i.start_s + i.end_s) / 2 for i in r.timeseries] for r in repetitions],
        lengths_s=[max(pair) for pair in zip(ends_s, measured_s, strict=True)],
        measured_s=measured_s,
    )


def _throughput(strip: Strip, repetitions: Sequence[Repetition]) -> Plot:
    failed = _curve("failed/s", repetitions, _failed_per_s)
    curves = (
        _curve("inferences/s", repetitions, lambda i: i.inferences_per_s),
        Curve("asked for/s", [[_asked(r, i) for i in r.timeseries] for r in repetitions]),
        *([failed] if any(v for part in failed.parts for v in part) else []),
    )
    return strip_plot(
        strip,
        curves,
        "per second",
        name="throughput",
        title="Throughput over time",
        reading="Each point: successes received in that interval, divided by its length; grey is "
        "the drain, where nothing is counted.",
        doubt="it still rises or falls within a repetition: the warm-up was too short or the "
        "server had not settled.",
    )


def _asked(repetition: Repetition, interval: Interval) -> float | None:
    return repetition.target_per_s if interval.start_s < repetition.measured_s else None


def _failed_per_s(interval: Interval) -> float:
    failed = interval.errors + interval.timeouts + interval.lost
    return failed / (interval.end_s - interval.start_s)


def _latency(strip: Strip, repetitions: Sequence[Repetition]) -> Plot:
    curves = [_curve(name, repetitions, attrgetter(field)) for name, field in LATENCY_LINES.items()]
    counts = [_curve(name, repetitions, attrgetter(name)) for name in OUTCOMES]
    plot = strip_plot(
        strip,
        curves,
        "ms",
        name="latency",
        title="Latency over time",
        reading="Response time (from the intended instant) of the inferences that ended in each "
        "interval; dashes tell p50, p95 and p99 apart. Service times can be added in the legend.",
        doubt="an interval holds few inferences (p99 of 50 is their maximum), or the line has a "
        "gap: there the quantile falls among inferences without a reply, marked at the top.",
    )
    for trace in plot.traces:
        if trace["name"] not in SHOWN:
            trace["visible"] = "legendonly"
    table = [curve for curve in curves if not curve.is_empty] + counts
    return replace(
        plot,
        traces=plot.traces + _unknown(strip, repetitions),
        layout=plot.layout | {"yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False}},
        columns=("repetition", "second", *(curve.name for curve in table)),
        rows=strip.rows(table),
        log_y=True,
        starts_log=differ_widely(
            v for curve in curves if curve.name in SHOWN for part in curve.parts for v in part
        ),
    )


def _unknown(strip: Strip, repetitions: Sequence[Repetition]) -> list[Json]:
    """Return marks at the top of the plot where p99 is open upwards; no trace where nowhere."""
    curve = _curve(UNKNOWN, repetitions, lambda i: 0.97 if _is_open(i) else None)
    if curve.is_empty:
        return []
    x, y = strip.points(curve)
    marks = dots(UNKNOWN, x, y, yaxis="y2", hoverinfo="name")
    marks["marker"] |= {"symbol": "triangle-up-open", "color": "#A32D00"}
    return [marks]


def _is_open(interval: Interval) -> bool:
    return interval.response_p99_ms is None and interval.timeouts + interval.lost > 0


def _curve(
    name: str, repetitions: Sequence[Repetition], value: Callable[[Interval], float | None]
) -> Curve:
    return Curve(name, [[value(i) for i in r.timeseries] for r in repetitions])
