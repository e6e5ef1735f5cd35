"""What the ONNX suite found, as plain frozen data: the content of ``suite.json``.

Units as in :mod:`fastbench.results`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fastbench import versioned
from fastbench.results import Counts, Latency

SUITE_SCHEMA_VERSION = 1


class SuiteModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the suite, stored under ``keys`` keys.

    ``name``: ``mnist``, ``inception`` or ``bert``; ``model``: a built-in model or a file.
    ``load_s``: all its keys together, the file sent and the server ready.
    ``max_abs_difference``: the largest of any key's answer from onnxruntime's, relative to the
    largest value; None = not compared.
    """

    name: str
    model: str
    sha256: str
    random_weights: bool
    file_bytes: int
    parameters: int | None
    multiply_adds: int | None  # per sample
    keys: int
    load_s: float
    max_abs_difference: float | None


class MemoryStep(msgspec.Struct, frozen=True, kw_only=True):
    """The server's memory after a step; None = not available.

    ``used_memory_bytes``: what INFO says. ``rss_bytes``: of its process, where it is local.
    """

    step: str
    used_memory_bytes: int | None
    rss_bytes: int | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients of one model measured.

    ``kind``: ``sequential`` (one model after the other, one client each) or ``parallel`` (all
    models at once, ``clients`` each). Rate and latencies: from this model's first inference to
    its last. ``client_busy``: CPU seconds per second of the thread that drove it.
    """

    kind: str
    model: str
    clients: int
    measured_s: float
    counts: Counts
    inferences_per_s: float
    response_ms: Latency
    client_us_per_inference: float | None
    client_busy: float


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """One pass through the suite: everything that ``suite.json`` holds.

    ``status``: ``complete``, ``partial`` (not every inference succeeded, or ``error`` ended it
    early) or ``interrupted``.
    ``threads_per_queue``: inferences that the server executes at a time; None = not told.
    """

    schema_version: int
    fastbench_version: str
    status: str
    started_at: str  # ISO 8601, UTC
    ended_at: str
    config: dict[str, Any]
    platform: dict[str, Any]
    url: str  # without password
    server: str
    threads_per_queue: int | None
    models: list[SuiteModel]
    memory: list[MemoryStep]
    sessions: list[Session]
    error: str = ""


def to_json(suite: SuiteResult) -> bytes:
    """Return ``suite`` as indented JSON, the content of ``suite.json``."""
    return versioned.to_json(suite)


def from_json(data: bytes) -> SuiteResult:
    """Return the suite that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not a suite, or of a newer schema.
    """
    return versioned.from_json(data, SuiteResult, SUITE_SCHEMA_VERSION, "suite")
