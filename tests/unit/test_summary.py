"""From repetitions to medians, spreads and totals."""

from __future__ import annotations

import msgspec
import pytest
from support.sample_result import latency_of, repetition, samples_ns

from fastbench.results import Counts, ErrorClass, Latency
from fastbench.summary import median_of, spread_of, summarize, summarize_latency, total_counts

changed = msgspec.structs.replace


def test_median_with_minimum_and_maximum() -> None:
    """Rates and quantiles of the summary are medians, their spread is min and max."""
    repetitions = [repetition(n) for n in (3, 1, 2)]
    summary = summarize(repetitions)

    assert summary is not None
    assert summary.repetitions == 3
    assert summary.inferences_per_s == 1002
    assert (summary.inferences_per_s_spread.min, summary.inferences_per_s_spread.max) == (
        1001,
        1003,
    )
    p50s = sorted(r.response_ms.p50 or 0 for r in repetitions)
    assert summary.response_ms.p50 == p50s[1]
    spread = summary.response_ms.spread["p50"]
    assert (spread.min, spread.max) == (p50s[0], p50s[2])


def test_no_success_no_summary() -> None:
    """A run in which nothing succeeded has no summary rather than one of zeros."""
    failed = changed(repetition(1), counts=Counts(intended=3, sent=3, ok=0, errors=3))

    assert summarize([failed]) is None
    assert summarize([]) is None


def test_median_is_a_bound_only_where_it_stands_among_bounds() -> None:
    """One repetition of three with time-outs moves the maximum, two move the median."""
    good = latency_of(samples_ns(1, size=100))
    bad = latency_of(samples_ns(2, size=90), censored=10, beyond_ns=30_000_000_000)

    one = summarize_latency([bad, good, good])
    assert one.p99 == good.p99
    assert "p99" not in one.beyond
    assert one.spread["p99"].max == 30_000
    two = summarize_latency([bad, good, bad])
    assert two.p99 == 30_000
    assert "p99" in two.beyond


def test_a_bound_below_a_value_turns_no_end_round() -> None:
    """Of 24.0 and > 15.5 the smallest is > 15.5, the largest > 24.0, and they have no mean."""
    both = summarize_latency(
        [Latency(count=1, p999=24.0), Latency(count=1, censored=4, p999=15.5, beyond=["p999"])]
    )
    spread = both.spread["p999"]

    assert (spread.min, spread.min_beyond) == (15.5, True)
    assert (spread.max, spread.max_beyond) == (24.0, True)
    assert (both.p999, both.beyond) == (15.5, ["p999"])


@pytest.mark.parametrize("status", ["partial", "interrupted", "killed"])
def test_medians_are_of_complete_repetitions(status: str) -> None:
    """One that ended early is in the totals and not in medians and spreads."""
    whole, cut = repetition(1), changed(repetition(2), status=status, inferences_per_s=7.0)
    summary = summarize([whole, cut])

    assert summary is not None
    assert summary.repetitions == 1
    assert summary.inferences_per_s == whole.inferences_per_s
    assert summary.inferences_per_s_spread.min == whole.inferences_per_s
    assert summary.response_ms.p50 == whole.response_ms.p50
    assert summary.counts.ok == whole.counts.ok + cut.counts.ok


def test_without_a_complete_repetition_all_count() -> None:
    """What was measured until a run ended is shown rather than nothing."""
    cut = changed(repetition(1), status="interrupted")
    summary = summarize([cut])

    assert summary is not None
    assert (summary.repetitions, summary.inferences_per_s) == (1, cut.inferences_per_s)


def test_marks_of_few_samples_stay() -> None:
    """A quantile with few samples in one repetition is marked in the summary."""
    many, few = latency_of(samples_ns(1, size=5000)), latency_of(samples_ns(1, size=50))

    assert "p99" in summarize_latency([many, few, many]).few_samples
    assert "p99" not in summarize_latency([many, many]).few_samples


def test_counts_are_totals() -> None:
    """Counts add up, also by error class, and the first text of a class stays."""
    total = total_counts(
        [
            Counts(
                intended=5,
                sent=4,
                ok=3,
                errors=1,
                never_sent=1,
                errors_by_class={"ERR": ErrorClass(count=1, first_text="ERR one")},
            ),
            Counts(
                intended=9,
                sent=9,
                ok=6,
                errors=3,
                errors_by_class={
                    "ERR": ErrorClass(count=2, first_text="ERR two"),
                    "NA": ErrorClass(count=1),
                },
            ),
        ]
    )

    assert (total.intended, total.sent, total.ok, total.errors, total.never_sent) == (
        14,
        13,
        9,
        4,
        1,
    )
    assert total.errors_by_class == {
        "ERR": ErrorClass(count=3, first_text="ERR one"),
        "NA": ErrorClass(count=1),
    }


@pytest.mark.parametrize(
    ("values", "median"), [([], None), ([None], None), ([1.0, None, 3.0], 2.0), ([5.0], 5.0)]
)
def test_median_ignores_what_is_absent(values: list[float | None], median: float | None) -> None:
    """Absent values do not count as zero."""
    assert median_of(values) == median


def test_interval_of_the_median_from_six_repetitions() -> None:
    """Five give none; nine give the second and the eighth value, for rates and quantiles."""
    nine = [repetition(n) for n in range(1, 10)]
    few, many = summarize(nine[:5]), summarize(nine)
    assert few is not None
    assert many is not None

    assert (few.inferences_per_s_spread.low, few.response_ms.spread["p99"].high) == (None, None)
    rates = sorted(r.inferences_per_s for r in nine)
    assert many.inferences_per_s_spread.low == rates[1]
    assert many.inferences_per_s_spread.high == rates[7]
    p99s = sorted(r.response_ms.p99 or 0.0 for r in nine)
    assert (many.response_ms.spread["p99"].low, many.response_ms.spread["p99"].high) == (
        p99s[1],
        p99s[7],
    )


def test_interval_has_no_upper_end_among_lower_bounds() -> None:
    """Where the upper value is only a lower bound, so is the interval's end: there is none."""
    spread = spread_of([(False, 1.0), *[(False, float(n)) for n in range(2, 6)], (True, 3.0)])

    assert (spread.low, spread.high, spread.max) == (1.0, None, 5.0)
    assert (spread.min_beyond, spread.max_beyond) == (False, True)
