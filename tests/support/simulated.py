"""Runs with known statistics: autocorrelated intervals, repetitions that differ by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from support.sample_result import repetition

from fastbench.results import Interval

if TYPE_CHECKING:
    from fastbench.results import Repetition

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
