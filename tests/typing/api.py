"""Code as users write it: it must type-check; it is never run."""

from pathlib import Path

import fastbench
from fastbench.errors import ConnectError, UsageError
from fastbench.report.folder import ResultFolder
from fastbench.results import Counts, Result


def measure(server: str) -> float | None:
    """Run and read the two figures that everybody wants."""
    config = fastbench.RunConfig(
        target=f"redisai://{server}:6379",
        dataset=Path("photos.data"),
        threads=2,
        connections=8,
        pipeline=4,
        duration_s=10.0,
        out=Path("results"),
    )
    result: Result = fastbench.run(config)
    if result.summary is None:
        return None
    rate: float = result.summary.inferences_per_s
    p99: float | None = result.summary.response_ms.p99
    return rate if p99 is not None and p99 < 10.0 else None


def failures(folder: Path) -> dict[str, int]:
    """Read a result folder and count its errors by class."""
    result = ResultFolder.read(folder)
    found: dict[str, int] = {}
    for repetition in result.repetitions:
        counts: Counts = repetition.counts
        for name, error in counts.errors_by_class.items():
            found[name] = found.get(name, 0) + error.count
    return found


def exit_code(error: fastbench.FastbenchError) -> int:
    """Tell a wrong command line from a failed run."""
    if isinstance(error, UsageError | ConnectError):
        return error.exit_code
    return 1
