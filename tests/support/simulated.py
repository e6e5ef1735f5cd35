"""Runs with known statistics: autocorrelated intervals, repetitions that differ by chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from support.sample_result import counters, repetition, result, samples_ns

from fastbench import latency
from fastbench.results import QUANTILES, Interval, Latency

if TYPE_CHECKING:
    from fastbench.results import Repetition, Result

SETTLING = 50


def autocorrelated(
    generator: np.random.Generator, shape: tuple[int, ...], correlation: float
) -> np.ndarray:
    """Return stationary AR(1) series of mean 0 and variance 1 along the last axis; float64."""
    noise = generator.standard_normal((*shape[:-1], shape[-1] + SETTLING))
    series = noise.copy()
    for i in range(1, series.shape[-1]):
        series[..., i] += correlation * series[..., i - 1]
    settled: np.ndarray = series[..., SETTLING:] * np.sqrt(1 - correlation**2)
    return settled


def with_series(
    base: Repetition,
    rates: np.ndarray,
    p50: np.ndarray | None = None,
    p99: np.ndarray | None = None,
    length_s: float = 1.0,
) -> Repetition:
    """Return ``base`` with these interval series and no histograms in them."""
    n = rates.size
    intervals = [
        Interval(
            start_s=i * length_s,
            end_s=(i + 1) * length_s,
            completed=round(float(rates[i]) * length_s),
            ok=round(float(rates[i]) * length_s),
            errors=0,
            timeouts=0,
            lost=0,
            inferences_per_s=float(rates[i]),
            response_p50_ms=3.0 if p50 is None else float(p50[i]),
            response_p99_ms=8.0 if p99 is None else float(p99[i]),
        )
        for i in range(n)
    ]
    return msgspec.structs.replace(base, timeseries=intervals, measured_s=n * length_s)


def steady(number: int, intervals: int = 30) -> Repetition:
    """Return repetition ``number`` (from 1) of 30 s whose intervals only vary by chance."""
    noise = np.random.default_rng(number).normal(0, 0.02, (3, intervals))
    length_s = 30.0 / intervals
    return with_series(
        repetition(number),
        1000 * (1 + noise[0]),
        3 * (1 + noise[1]),
        8 * (1 + noise[2]),
        length_s=length_s,
    )


class SlowAndFast:
    """Makes repetitions whose intervals hold histograms of known speed.

    Interval histograms come from a stock of scales 0.5 % apart, encoded once.
    """

    STEP = 0.005
    SAMPLES = 400

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._base = repetition(1)
        self._stock: dict[int, tuple[str, np.ndarray]] = {}
        self.counts_of: dict[str, np.ndarray] = {}

    def run(
        self, repetitions: int, intervals: int, *, slower: float = 0.0, between: float = 0.02
    ) -> Result:
        """Return a run; ``slower``: logarithm by which latencies rise and the rate falls.

        Within a repetition both are AR(1), 0.5 and 5 %; ``between``: spread of repetitions.
        """
        own = slower + between * self._generator.standard_normal((repetitions, 2, 1))
        series = own + 0.05 * autocorrelated(self._generator, (repetitions, 2, intervals), 0.5)
        return result(*(self._repetition(n + 1, one) for n, one in enumerate(series)))

    def _repetition(self, number: int, series: np.ndarray) -> Repetition:
        parts = [self._interval_of(round(x / self.STEP)) for x in series[0]]
        rep = with_series(self._base, 1000 * np.exp(-series[1]), *_quantiles(parts))
        timeseries = [
            msgspec.structs.replace(interval, histogram=text)
            for interval, (text, _) in zip(rep.timeseries, parts, strict=True)
        ]
        counts = np.sum([c for _, c in parts], axis=0)
        total = int(counts.sum())
        cumulative = np.cumsum(counts)
        fields = {
            name: float(latency.highest_ns()[np.searchsorted(cumulative, math.ceil(q * total))])
            / 1e6
            for name, q in QUANTILES.items()
        }
        return msgspec.structs.replace(
            rep,
            index=number,
            timeseries=timeseries,
            inferences_per_s=float(np.mean([i.inferences_per_s for i in timeseries])),
            response_ms=Latency(count=total, **fields),
        )

    def _interval_of(self, scale: int) -> tuple[str, np.ndarray]:
        if scale not in self._stock:
            values = samples_ns(1000 + scale, self.SAMPLES) * math.exp(scale * self.STEP)
            counts = counters(values.astype(np.int64))
            text = latency.encode(counts)
            self._stock[scale] = text, counts
            self.counts_of[text] = counts
        return self._stock[scale]


def _quantiles(parts: list[tuple[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return p50 and p99 of each interval in milliseconds."""
    ends = [[latency.quantile_ns(c, q) / 1e6 for _, c in parts] for q in (0.5, 0.99)]
    return np.array(ends[0]), np.array(ends[1])
