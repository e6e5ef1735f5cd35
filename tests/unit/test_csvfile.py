"""The CSV: read back by Python's reader, every cell is the number of the result."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.sample_result import repetition, result
from support.streams_result import with_streams

from fastbench.report import csvfile
from fastbench.results import Verdict

if TYPE_CHECKING:
    from fastbench.results import Result


def read(data: Result) -> list[dict[str, str]]:
    """Return the rows by name of column."""
    text = csvfile.render(data).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_row_for_each_repetition_and_four_for_the_summary() -> None:
    """All together come first, then each stream in the same order."""
    rows = read(with_streams())
    kinds = ["repetition", "repetition", "median", "min", "max", "total"]

    assert [row["row"] for row in rows] == kinds * 3
    assert [row["stream"] for row in rows] == [""] * 6 + ["get"] * 6 + ['se|t "x"'] * 6
    assert {len(row) for row in rows} == {len(csvfile.HEADER)}


def test_cells_are_exact() -> None:
    """Rates, counts and every statistic of every latency are those of the result, to the bit."""
    data = with_streams()
    rows = read(data)

    for each, row in zip(data.repetitions, rows, strict=False):
        assert float(row["inferences_per_s"]) == each.inferences_per_s
        assert int(row["timeouts"]) == each.counts.timeouts
        for kind in ("response", "service"):
            latency = getattr(each, f"{kind}_ms")
            for name in csvfile.STATISTICS:
                assert float(row[f"{kind}_{name}_ms"]) == getattr(latency, name)
            assert row[f"{kind}_lower_bounds"].split() == latency.beyond
        assert row["send_lag_p50_ms"] == ""
        assert float(row["cpu_us_per_inference"]) == 305.2


def test_summary_rows_are_the_summary() -> None:
    """Median, smallest and largest are those of result.json; the total adds up the counts."""
    data = with_streams()
    rows = {row["row"]: row for row in read(data) if not row["stream"]}
    summary = data.summary

    assert summary is not None
    assert float(rows["median"]["response_p99_ms"]) == summary.response_ms.p99
    assert "p99" in rows["median"]["response_lower_bounds"].split()
    for end in ("min", "max"):
        spread = getattr(summary.response_ms.spread["p99"], end)
        assert float(rows[end]["response_p99_ms"]) == spread
    assert "p99" in rows["max"]["response_lower_bounds"].split()
    assert "p99" not in rows["min"]["response_lower_bounds"].split()
    assert int(rows["total"]["intended"]) == summary.counts.intended == 8062
    assert rows["median"]["intended"] == rows["total"]["inferences_per_s"] == ""


def test_the_verdict_is_in_every_row() -> None:
    """No row can be read without it; a result that was not judged has none."""
    judged = with_streams(Verdict(verdict="suspect", evidence=[]))

    assert {row["verdict"] for row in read(judged)} == {"suspect"}
    assert {row["verdict"] for row in read(with_streams())} == {""}


@pytest.mark.parametrize("repetitions", [0, 1, 3])
def test_the_header_is_stable(repetitions: int) -> None:
    """Whatever a run measured, the columns are the same."""
    data = msgspec.structs.replace(
        result(), repetitions=result().repetitions[:repetitions], summary=None
    )
    text = csvfile.render(data).decode()

    assert text.splitlines()[0] == ",".join(csvfile.HEADER)
    assert len(text.splitlines()) == 1 + repetitions + bool(repetitions)
    assert len(set(csvfile.HEADER)) == len(csvfile.HEADER)


def test_a_smallest_value_that_is_a_bound_is_named() -> None:
    """Where a bound lies below a value both ends are bounds, and the smaller one comes first."""
    data = result(repetition(1), repetition(2))
    low = msgspec.structs.replace(
        data.repetitions[1].response_ms, p99=0.5, beyond=["p99", "p999", "max"]
    )
    reps = [data.repetitions[0], msgspec.structs.replace(data.repetitions[1], response_ms=low)]
    rows = {row["row"]: row for row in read(result(*reps))}

    assert float(rows["min"]["response_p99_ms"]) == 0.5
    assert float(rows["max"]["response_p99_ms"]) == reps[0].response_ms.p99
    for end in ("min", "max"):
        assert "p99" in rows[end]["response_lower_bounds"].split()
