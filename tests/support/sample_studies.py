"""A sweep, a search and an ONNX suite for tests."""

from __future__ import annotations

import msgspec

from fastbench import searches, suites, sweeps
from fastbench.results import Counts, Latency, LatencySummary, Spread

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
#: Two targets, side by side; the client of one was not ok, a third was not there.
MATRIX = sweeps.SweepResult(
    schema_version=sweeps.SWEEP_SCHEMA_VERSION,
    fastbench_version="0.1.0",
    status="partial",
    started_at="2026-01-02T03:04:05.000+00:00",
    ended_at="2026-01-02T03:05:05.000+00:00",
    config={"workload": "vision"},
    axes={"target": ["redisai://a", "rest://b/p", "rest://c/p"]},
    order_seed=1,
    order=["target-rest-c-p", "target-redisai-a", "target-rest-b-p"],
    cells=[
        sweeps.Cell(
            name="target-redisai-a",
            settings={"target": "redisai://a"},
            status="complete",
            figures=msgspec.structs.replace(FIGURES, verdict="client-ok"),
        ),
        sweeps.Cell(
            name="target-rest-b-p",
            settings={"target": "rest://b/p"},
            status="complete",
            figures=msgspec.structs.replace(
                FIGURES, verdict="client-limited", inferences_per_s=400.0
            ),
        ),
        sweeps.Cell(
            name="target-rest-c-p",
            settings={"target": "rest://c/p"},
            status="failed",
            error="cannot connect to rest://c/p",
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
SUITE = suites.SuiteResult(
    schema_version=suites.SUITE_SCHEMA_VERSION,
    fastbench_version="1",
    status="partial",
    started_at="2026-01-02T03:04:05.678+00:00",
    ended_at="2026-01-02T03:05:05.678+00:00",
    config={"device": "cpu"},
    platform={},
    url="redisai://host:6379",
    server="Redis 7",
    threads_per_queue=None,
    models=[
        suites.SuiteModel(
            name="mnist",
            model="mnist|cnn",
            sha256="00",
            random_weights=True,
            file_bytes=25_048,
            parameters=5994,
            multiply_adds=786_560,
            keys=50,
            load_s=0.25,
            max_abs_difference=None,
        )
    ],
    memory=[suites.MemoryStep(step="start", used_memory_bytes=1_500_000, rss_bytes=None)],
    sessions=[
        suites.Session(
            kind="parallel",
            model="mnist",
            clients=20,
            measured_s=1.5,
            counts=Counts(intended=100, sent=100, ok=97, errors=3),
            inferences_per_s=64.67,
            response_ms=Latency(count=97, p50=1.5, p95=2.5, p99=900.0, beyond=["p99"]),
            client_us_per_inference=12.34,
            client_busy=0.021,
        )
    ],
)
