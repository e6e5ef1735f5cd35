"""Figures of the server's own account, from counters whose quotients are known."""

from __future__ import annotations

import pytest

from fastbench.report import selfreport
from fastbench.results import ServerMetrics, ServerSample


def told(**deltas: float) -> ServerMetrics:
    """Return counters that rose so within 2 s."""
    samples = [ServerSample(at_s=1.0), ServerSample(at_s=3.0)]
    return ServerMetrics(deltas=deltas, samples=samples)


def test_redis() -> None:
    """CPU and commands are rates, the execution time is that of a call."""
    metrics = told(
        used_cpu_user=1.0,
        used_cpu_sys=0.5,
        total_commands_processed=500.0,
        model_calls=4.0,
        model_duration_us=6000.0,
    )

    assert selfreport.cpu_percent(metrics) == pytest.approx(75.0)
    assert selfreport.commands_per_s(metrics) == pytest.approx(250.0)
    assert selfreport.execution_ms(metrics) == pytest.approx(1.5)
    assert selfreport.queue_ms(metrics) is None
    assert selfreport.samples_per_execution(metrics) is None


def test_triton() -> None:
    """Durations are means of what was counted with them, in milliseconds."""
    metrics = told(
        inference_count=12.0,
        execution_count=4.0,
        queue_count=6.0,
        queue_ns=3e6,
        compute_infer_count=6.0,
        compute_infer_ns=12e6,
    )

    assert selfreport.queue_ms(metrics) == pytest.approx(0.5)
    assert selfreport.execution_ms(metrics) == pytest.approx(2.0)
    assert selfreport.samples_per_execution(metrics) == pytest.approx(3.0)
    assert selfreport.cpu_percent(metrics) is None
    assert selfreport.commands_per_s(metrics) is None


@pytest.mark.parametrize("deltas", [{}, {"queue_count": 0.0, "queue_ns": 0.0}])
def test_nothing_counted(deltas: dict[str, float]) -> None:
    """Without a count there is no mean."""
    assert selfreport.queue_ms(told(**deltas)) is None
    assert selfreport.execution_ms(told(**deltas)) is None
    assert selfreport.elapsed_s(None) is None
