"""What the server said of itself over a repetition, in the figures that a report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastbench.results import ServerMetrics


def elapsed_s(metrics: ServerMetrics | None) -> float | None:
    """Return the seconds that the differences cover: all phases; None without two answers."""
    if metrics is None or len(metrics.samples) < 2:  # noqa: PLR2004 - a difference needs two
        return None
    return metrics.samples[-1].at_s - metrics.samples[0].at_s or None


def cpu_percent(metrics: ServerMetrics | None) -> float | None:
    """Return the server's CPU use as it counts it, 100 = one core."""
    used_s = [_delta(metrics, name) for name in ("used_cpu_user", "used_cpu_sys")]
    known = [value for value in used_s if value is not None]
    seconds = elapsed_s(metrics)
    return 100 * sum(known) / seconds if known and seconds else None


def commands_per_s(metrics: ServerMetrics | None) -> float | None:
    """Return the commands that it processed per second, of all clients and in all phases."""
    commands = _delta(metrics, "total_commands_processed")
    seconds = elapsed_s(metrics)
    return None if commands is None or seconds is None else commands / seconds


def queue_ms(metrics: ServerMetrics | None) -> float | None:
    """Return how long inferences waited in the server's queue in the mean, as Triton counts it."""
    return _mean(metrics, "queue_ns", "queue_count", 1e6)


def execution_ms(metrics: ServerMetrics | None) -> float | None:
    """Return the mean execution time of the run's models, without queueing: RedisAI, Triton."""
    redisai = _mean(metrics, "model_duration_us", "model_calls", 1e3)
    if redisai is not None:
        return redisai
    return _mean(metrics, "compute_infer_ns", "compute_infer_count", 1e6)


def samples_per_execution(metrics: ServerMetrics | None) -> float | None:
    """Return how many samples one run of the model had in the mean, as Triton counts it."""
    return _mean(metrics, "inference_count", "execution_count")


def _mean(metrics: ServerMetrics | None, total: str, count: str, unit: float = 1.0) -> float | None:
    sums, times = _delta(metrics, total), _delta(metrics, count)
    return sums / times / unit if times and sums is not None else None


def _delta(metrics: ServerMetrics | None, name: str) -> float | None:
    return None if metrics is None else metrics.deltas.get(name)
