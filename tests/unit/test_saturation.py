"""The client-saturation test as data and in each format: the same figures everywhere."""

from __future__ import annotations

import pytest
from support.page import Page

from fastbench import versioned
from fastbench.errors import UsageError
from fastbench.report.saturation_formats import FORMATS, check_format
from fastbench.saturate import saturate
from fastbench.saturations import Ceiling, Saturation, Step, from_json


def example() -> Saturation:
    """Return a test of one load with two numbers of threads; the second found the server busy."""
    ceilings = [
        Ceiling(
            load="small, pipeline 16",
            threads=threads,
            connections=50 * threads,
            pipeline=16,
            request_bytes=86,
            cpu_us_per_inference=0.8,
            ceiling_per_s=threads * 1_250_000.0,
            reached_per_s=threads * 654_321.0,
            client_busy=0.52,
            server_busy=0.4 * threads + 0.1,
            p50_ms=1.2,
            p99_ms=None if threads == 1 else 3.456,
        )
        for threads in (1, 2)
    ]
    step = Step(
        load="small, pipeline 16",
        threads=1,
        share=0.9,
        offered_per_s=588_889.0,
        achieved_per_s=577_777.0,
        send_lag_p50_ms=0.012,
        send_lag_p99_ms=0.345,
        client_busy=0.83,
        verdict="client-limited",
    )
    return Saturation(
        schema_version=1,
        fastbench_version="0.1.0",
        started_at="2026-01-02T03:04:05.000+00:00",
        socket="tcp",
        duration_s=2.0,
        platform={"cpu_model": "<b>"},
        ceilings=ceilings,
        steps=[step],
    )


@pytest.mark.parametrize("name", ["console", "markdown", "html"])
def test_every_format_has_the_figures(name: str) -> None:
    """Ceilings, lower bounds and steps stand in each format."""
    text = FORMATS[name](example()).decode().replace("\\", "").replace("&gt;", ">")

    for figure in ("1,250,000", "2,500,000", "654,321", ">= 1,308,642", "3.456", "588,889"):
        assert figure in text, figure
    assert "client-limited" in text


def test_json_is_read_again() -> None:
    """What is written is what is read; a newer schema is refused by its number."""
    data = versioned.to_json(example())

    assert from_json(data) == example()
    with pytest.raises(UsageError, match="schema 9"):
        from_json(data.replace(b'"schema_version": 1', b'"schema_version": 9'))


def test_threads_are_whole_numbers_on_the_axis() -> None:
    """The page has a tick where something was measured, and none between two threads."""
    made = Page(FORMATS["html"](example()).decode())

    assert made.plots["ceilings"]["layout"]["xaxis"]["tickvals"] == [1, 2]


def test_bars_are_as_long_as_ceilings_are_high() -> None:
    """The best load per thread has the full bar."""
    text = FORMATS["console"](example()).decode()

    assert sum("█" * 24 in line for line in text.splitlines()) == 2


def test_unknown_format() -> None:
    """An unknown format is refused with those that there are."""
    with pytest.raises(UsageError, match="console, json, markdown, html"):
        check_format("xml")


def test_too_many_threads() -> None:
    """More threads than CPUs would only measure the scheduler."""
    with pytest.raises(UsageError, match="--threads 100000: must be from 1 to"):
        saturate([100_000])
