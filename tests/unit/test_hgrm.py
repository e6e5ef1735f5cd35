"""latency.hgrm: the text, and its numbers against the hdrhistogram package."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from support.sample_result import counters, repetition, result, samples_ns

from fastbench import latency
from fastbench.report import hgrm

ROW = re.compile(r"^[ \d.]{12} [ \d.]{12} [ \d]{12} (?:[ \d.]{12}| {9}inf)$")


def test_text_has_aibenchs_form() -> None:
    """Header, rows and footer are laid out as the tools that plot such files expect."""
    lines = hgrm.render(result()).decode().splitlines()

    assert lines[:2] == [" Value\tPercentile\tTotalCount\t1/(1-Percentile)", ""]
    assert all(ROW.match(line) for line in lines[2:-3])
    assert re.match(r"^#\[Mean    = [ \d.]{12}, StdDeviation   = [ \d.]{12}\]$", lines[-3])
    assert re.match(r"^#\[Max     = [ \d.]{12}, Total count    =        12000\]$", lines[-2])
    assert lines[-1] == "#[Buckets =           26, SubBuckets     =         2048]"


def test_last_row_is_the_maximum_of_all() -> None:
    """The distribution ends at 100 %, the largest value and the number of all successes."""
    data = result()
    value, fraction, count, inverse = hgrm.render(data).decode().splitlines()[-4].split()

    largest = max(r.response_ms.max or 0 for r in data.repetitions)
    assert float(value) == pytest.approx(largest, rel=1e-3)
    assert (fraction, count, inverse) == ("1.000000", "12000", "inf")


def test_values_and_counts_agree_with_the_hdrhistogram_package() -> None:
    """Each row's value stands at its percentile, and its count is that of the values up to it."""
    values = samples_ns(5, size=3000)
    oracle = HdrHistogram(latency.LOWEST_NS, latency.HIGHEST_NS, latency.DIGITS)
    for value in values:
        oracle.record_value(int(value))
    rows = list(hgrm.distribution(counters(values)))

    assert len(rows) > 500
    for value_ns, fraction, count in rows:
        assert count == int((values <= value_ns).sum())
        # Its rank is rounded to the nearest, ours is rounded up: step to the middle of ours.
        rank = max(1, int(np.ceil(round(fraction * 3000, 6))))
        assert value_ns == oracle.get_value_at_percentile(100 * rank / 3000)


def test_ticks_halve_with_the_distance() -> None:
    """100 steps up to the median, another 100 up to 75 %, and so on: rows follow the tail."""
    counts = counters(samples_ns(5, size=200_000))
    fractions = [fraction for _, fraction, _ in hgrm.distribution(counts)]

    assert fractions == sorted(fractions)
    assert sum(f < 0.5 for f in fractions) == 100
    assert sum(0.5 <= f < 0.75 for f in fractions) == 100
    assert sum(0.75 <= f < 0.875 for f in fractions) == 100


def test_nothing_recorded() -> None:
    """Without a success there are a header and a footer of zeros."""
    empty = latency.encode(np.zeros(latency.COUNTERS, dtype=np.int64))
    rep = repetition(1)
    rep = msgspec.structs.replace(
        rep, response_ms=msgspec.structs.replace(rep.response_ms, histogram=empty)
    )
    lines = hgrm.render(result(rep)).decode().splitlines()

    assert len(lines) == 5
    assert "Total count    =            0" in lines[3]
