"""timeseries.csv, read back by the standard library."""

from __future__ import annotations

import csv
import io

import msgspec
from support.sample_result import INTERVALS, repetition, result

from fastbench.report import timeseries


def rows(data: bytes) -> list[dict[str, str]]:
    """Return the rows by column name."""
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_one_row_per_interval_of_every_repetition() -> None:
    """Each interval is there once, with its repetition's number and all its values."""
    data = result()
    read = rows(timeseries.render(data))

    assert [r["repetition"] for r in read] == [str(n) for n in (1, 2, 3) for _ in range(INTERVALS)]
    first, written = read[0], data.repetitions[0].timeseries[0]
    assert float(first["response_p99_ms"]) == written.response_p99_ms
    assert int(first["ok"]) == written.ok
    assert "histogram" not in first


def test_absent_values_are_empty_cells() -> None:
    """An interval without a success has no latency, which is not zero."""
    rep = repetition(1)
    empty = msgspec.structs.replace(rep.timeseries[0], ok=0, response_p50_ms=None)
    read = rows(timeseries.render(result(msgspec.structs.replace(rep, timeseries=[empty]))))

    assert read[0]["response_p50_ms"] == ""


def test_without_repetitions_only_the_header() -> None:
    """A run that measured nothing still has a readable file."""
    data = msgspec.structs.replace(result(), repetitions=[])

    assert timeseries.render(data).decode().splitlines() == [
        ",".join(("repetition", "stream", *timeseries.FIELDS))
    ]
