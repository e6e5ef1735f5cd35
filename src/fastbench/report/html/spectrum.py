"""The latency spectrum on HdrHistogram's percentile axis: value against 1 / (1 - quantile)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fastbench import latency
from fastbench.latency import HIGHEST_NS, NS_PER_MS, rank_of
from fastbench.report.html.plots import COLOURS, Json, Plot, axis, differ_widely, line
from fastbench.results import QUANTILE_LABELS, QUANTILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.report.html.elements import Cell
    from fastbench.results import Latency, Repetition

POINTS: Final = 500
MAX_REPETITIONS: Final = 8  # drawn one by one, and hidden until they are chosen
OPEN_END: Final = "no reply"


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The quantile function of a distribution: a staircase that rises to the right.

    ``count``: inferences with and without a success. ``x``: 1 / (1 - quantile); ``y_ms``: the
    value up to there. What had no success is above ``known``, the fraction below it, and only
    known to exceed ``bound_ms``; None where there is no such inference.
    """

    count: int
    x: list[float]
    y_ms: list[float]
    quantiles_ms: dict[str, float]
    bound_ms: float | None
    known: float

    def at(self, name: str) -> Cell:
        """Return a quantile, ``> `` and the bound where it is only a lower bound."""
        if name in self.quantiles_ms:
            return self.quantiles_ms[name]
        return None if self.bound_ms is None else f"> {self.bound_ms:,.6g}"


def spectrum_of(latencies: Sequence[Latency]) -> Spectrum | None:
    """Return the spectrum of all ``latencies`` together; None where they hold nothing.

    A quantile is the value at rank ceil(q N) of all N, as in ``result.json``.
    """
    counts = latency.merge(lat.histogram for lat in latencies)
    recorded = int(counts.sum())
    count = recorded + sum(lat.clipped + lat.censored for lat in latencies)
    if not count:
        return None
    ranks = _ranks(count, recorded)
    values_ms = _values_ms(counts, ranks, latencies)
    by_rank = dict(zip(ranks, values_ms, strict=True))
    wanted = {name: rank_of(q, count) for name, q in QUANTILES.items()}
    return Spectrum(
        count=count,
        x=[_inverse(rank, count) for rank in ranks],
        y_ms=values_ms,
        quantiles_ms={name: by_rank[rank] for name, rank in wanted.items() if rank in by_rank},
        bound_ms=_bound_ms(latencies, values_ms) if recorded < count else None,
        known=recorded / count,
    )


def spectrum_plot(repetitions: Sequence[Repetition]) -> Plot | None:
    """Return the spectra of all repetitions together, and of each to be chosen."""
    lags = [r.send_lag_ms for r in repetitions if r.send_lag_ms]
    replies = [r.client.reply_lag_ms for r in repetitions if r.client.reply_lag_ms]
    parts = {
        "response": [r.response_ms for r in repetitions],
        "service": [r.service_ms for r in repetitions],
        "send lag": lags,
        "reply lag": replies,
    }
    each = repetitions[:MAX_REPETITIONS] if len(repetitions) > 1 else []
    parts |= {f"rep {r.index}": [r.response_ms] for r in each}
    return plot_of(
        parts,
        shown=("response", "service"),
        name="spectrum",
        title="Latency spectrum",
    )


def plot_of(
    parts: Mapping[str, Sequence[Latency]], *, shown: Sequence[str], name: str, title: str
) -> Plot | None:
    """Return the plot of several distributions; only those in ``shown`` are visible at first."""
    spectra = {key: made for key, part in parts.items() if (made := spectrum_of(part))}
    if not spectra:
        return None
    traces = [
        trace
        for style, (key, spectrum) in enumerate(spectra.items())
        for trace in _traces(key, spectrum, style, visible=key in shown)
    ]
    return Plot(
        name=name,
        title=title,
        reading="Every quantile at once: at 99 % on the lower axis stands the time that 99 % of "
        "the inferences of all repetitions together stayed within; an open end (triangle) is where "
        "inferences had no reply, so that the time is only known to be longer.",
        doubt="the right end: the last steps rest on single inferences. Response counts from the "
        "intended instant, service from the sending; where they part, something waited to be sent.",
        traces=traces,
        layout={"xaxis": _percentiles(spectra), "yaxis": axis("ms", rangemode="tozero")},
        columns=("quantile", *(f"{key}, ms" for key in spectra)),
        rows=_rows(spectra),
        log_y=True,
        starts_log=differ_widely(
            value
            for key, spectrum in spectra.items()
            if key in shown
            for value in (*spectrum.quantiles_ms.values(), spectrum.bound_ms)
        ),
        height_px=420,
    )


def _ranks(count: int, recorded: int) -> list[int]:
    """Return ranks up to ``recorded``: dense where few values lie above, and the quantiles'."""
    above = np.unique(np.geomspace(1, count, POINTS).round().astype(np.int64))
    ranks = {1, recorded, count, *(count - int(d) for d in above)}
    ranks |= {rank_of(q, count) for q in QUANTILES.values()}
    return sorted(rank for rank in ranks if 1 <= rank <= recorded)


def _values_ms(
    counts: latency.Counts, ranks: list[int], latencies: Sequence[Latency]
) -> list[float]:
    """Return the value at each rank; no more than the exact maximum, where that is known."""
    at = latency.highest_ns()[np.searchsorted(np.cumsum(counts), ranks)] / NS_PER_MS
    exact = [lat.max for lat in latencies if lat.count and lat.max is not None]
    is_exact = not any("max" in lat.beyond or lat.clipped for lat in latencies)
    most = max(exact, default=0.0) if is_exact else np.inf
    return [float(value) for value in np.minimum(at, most)]


def _inverse(rank: int, count: int) -> float:
    """Return 1 / (1 - rank / count); the last rank stands half a step beyond the one before."""
    return count / (count - rank) if rank < count else 2.0 * count


def _bound_ms(latencies: Sequence[Latency], values_ms: list[float]) -> float:
    """Return what holds for every inference without a value: the least of the known bounds."""
    if any(lat.clipped for lat in latencies):
        return HIGHEST_NS / NS_PER_MS
    bounds = [lat.max for lat in latencies if "max" in lat.beyond and lat.max is not None]
    return max(min(bounds, default=0.0), values_ms[-1] if values_ms else 0.0)


def _traces(name: str, spectrum: Spectrum, style: int, *, visible: bool) -> list[Json]:
    common = {"legendgroup": name, "visible": True if visible else "legendonly"}
    curve = line(name, [1.0, *spectrum.x], [*spectrum.y_ms[:1], *spectrum.y_ms], style, **common)
    curve["line"]["shape"] = "vh"
    curve["hovertemplate"] = "%{y:,.4~g} ms"
    if spectrum.bound_ms is None:
        return [curve]
    return [curve, _open_end(name, spectrum, style, common)]


def _open_end(name: str, spectrum: Spectrum, style: int, common: Json) -> Json:
    """Return the part that is only known to be above the bound: dotted, with triangles."""
    begin = 1 / (1 - spectrum.known) if spectrum.known < 1 else 1.0
    x = [float(v) for v in np.geomspace(begin, 2.0 * spectrum.count, 6)]
    trace = line(f"{name}: {OPEN_END}", x, [spectrum.bound_ms] * len(x), style, **common)
    trace["line"] |= {"dash": "dot", "width": 1}
    trace |= {"mode": "lines+markers", "showlegend": False}
    trace["marker"] = {
        "symbol": "triangle-up-open",
        "size": 10,
        "color": COLOURS[style % len(COLOURS)],
    }
    trace["hovertemplate"] = f"> {spectrum.bound_ms:,.4g} ms"
    return trace


def _percentiles(spectra: Mapping[str, Spectrum]) -> Json:
    most = max(spectrum.count for spectrum in spectra.values())
    decades = range(1, max(2, len(str(2 * most))))
    ticks = {2: "50 %", **{10**n: _percent(n) for n in decades}}
    return axis(
        "share of inferences within that time",
        type="log",
        tickmode="array",
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        tickfont={"size": 11},
        range=[0, float(np.log10(2.2 * most))],
    )


def _percent(nines: int) -> str:
    return f"{100 - 10 ** (2 - nines):.{max(0, nines - 2)}f} %"


def _rows(spectra: Mapping[str, Spectrum]) -> list[list[Cell]]:
    return [
        [QUANTILE_LABELS[name], *(spectrum.at(name) for spectrum in spectra.values())]
        for name in QUANTILES
    ]
