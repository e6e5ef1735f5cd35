"""``--format``: each format is chosen by name, and all of them say the same numbers."""

from __future__ import annotations

import csv
import io

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.streams_result import with_streams

from fastbench.errors import UsageError
from fastbench.report import numbers
from fastbench.report.console import render
from fastbench.report.formats import CONSOLE, FORMATS, check_format, print_result
from fastbench.results import from_json


def test_all_formats_say_the_same_numbers() -> None:
    """The rate, p50 and failures of a repetition are found in each format, rounded or exact."""
    data = with_streams()
    texts = {name: form(data).decode() for name, form in FORMATS.items()}
    again = from_json(texts["json"].encode()).repetitions[0]
    rate, p50 = again.inferences_per_s, again.response_ms.p50
    row = next(csv.DictReader(io.StringIO(texts["csv"])))
    parsed = [
        (s.name, s.labels.get("repetition"), s.labels.get("quantile"), s.value)
        for family in text_string_to_metric_families(texts["prometheus"])
        for s in family.samples
    ]
    cells = [numbers.rate(rate), numbers.milliseconds(p50, 3)]

    assert p50 is not None
    assert (float(row["inferences_per_s"]), float(row["response_p50_ms"])) == (rate, p50)
    assert ("fastbench_inferences_per_second", "1", None, rate) in parsed
    assert ("fastbench_response_time_seconds", "1", "0.5", p50 / 1e3) in parsed
    for cell in cells:
        assert f" {cell} " in render(data)
        assert f"| {cell} |" in texts["markdown"]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_printed_is_the_rendering_and_nothing_else(
    name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Standard output can be piped into whatever reads the format."""
    print_result(with_streams(), name)

    assert capfdbinary.readouterr().out == FORMATS[name](with_streams())


def test_unknown_format_is_refused_with_the_choice() -> None:
    """The line names every format that there is."""
    with pytest.raises(UsageError, match=r"--format 'xml': choose console, json, markdown"):
        check_format("xml")
    check_format(CONSOLE)
