"""The files of sweeps and searches: what is written is read again, what is not whole is refused."""

from __future__ import annotations

import pytest

from fastbench import searches, sweeps
from fastbench.errors import UsageError
from fastbench.results import Counts, LatencySummary, Spread

FIGURES = sweeps.Figures(
    inferences_per_s=100.0,
    inferences_per_s_spread=Spread(min=99.0, max=101.0),
    samples_per_s=100.0,
    offered_per_s=None,
    mean_response_ms=10.0,
    response_ms=LatencySummary(p50=9.0, p95=15.0, p99=20.0),
    counts=Counts(intended=300, sent=300, ok=300),
    cpu_us_per_inference=12.0,
    littles_law=sweeps.LittlesLaw(status="ok", in_flight=1.0, slots=1),
)
SWEEP = sweeps.SweepResult(
    schema_version=sweeps.SWEEP_SCHEMA_VERSION,
    fastbench_version="0.1.0",
    status="complete",
    started_at="2026-01-02T03:04:05.000+00:00",
    ended_at="2026-01-02T03:05:05.000+00:00",
    config={"target": "redis://localhost:6379"},
    axes={"connections": [1, 2]},
    order_seed=1,
    order=["connections-2", "connections-1"],
    cells=[
        sweeps.Cell(
            name="connections-1", settings={"connections": 1}, status="complete", figures=FIGURES
        ),
        sweeps.Cell(
            name="connections-2", settings={"connections": 2}, status="failed", error="refused"
        ),
    ],
)
SEARCH = searches.SearchResult(
    schema_version=searches.SEARCH_SCHEMA_VERSION,
    fastbench_version="0.1.0",
    status="complete",
    started_at="2026-01-02T03:04:05.000+00:00",
    ended_at="2026-01-02T03:05:05.000+00:00",
    config={},
    objectives=["p99<50ms"],
    resolution=0.05,
    probes=[
        searches.Probe(
            name="01-closed",
            rate_per_s=None,
            repetitions=1,
            outcome="reference",
            reasons=[],
            limits=[],
            figures=FIGURES,
        )
    ],
)


def test_sweep_survives_its_file() -> None:
    """What was found is what is read from the file."""
    assert sweeps.from_json(sweeps.to_json(SWEEP)) == SWEEP


def test_search_survives_its_file() -> None:
    """What was found is what is read from the file."""
    assert searches.from_json(searches.to_json(SEARCH)) == SEARCH


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (sweeps.to_json(SWEEP)[:-40], "not a whole fastbench sweep"),
        (b'{"schema_version": 99}', "written by a newer fastbench (schema 99"),
        (b'{"schema_version": 1}', "missing required field"),
    ],
    ids=["cut", "newer", "empty"],
)
def test_damaged_sweep_is_refused(data: bytes, says: str) -> None:
    """Damage and newer schemas are one clear line each."""
    with pytest.raises(UsageError) as caught:
        sweeps.from_json(data)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_search_is_not_a_sweep() -> None:
    """A file of another kind is refused, and the line says what was expected."""
    with pytest.raises(UsageError, match="not a whole fastbench search"):
        searches.from_json(sweeps.to_json(SWEEP))
