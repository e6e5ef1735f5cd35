"""What a client can do against a server that costs nothing: the content of ``saturation.json``."""

from __future__ import annotations

from typing import Any

import msgspec

from fastbench import versioned

SATURATION_SCHEMA_VERSION = 1


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop of one load with some threads against the null server.

    ``ceiling_per_s`` = threads / CPU seconds per inference. ``reached_per_s``: a lower bound of
    what the client can do where ``server_busy`` (of the null server's busiest thread, 0 to 1) is
    above 0.8. ``client_busy``: of the client's busiest thread, waiting for a CPU included.
    """

    load: str
    threads: int
    connections: int
    pipeline: int
    request_bytes: int
    cpu_us_per_inference: float
    ceiling_per_s: float
    reached_per_s: float
    client_busy: float
    server_busy: float
    p50_ms: float | None
    p99_ms: float | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An open loop of one load at a share of what the closed loop reached.

    ``verdict``: on the client; the first that is not ``client-ok`` marks its limit.
    """

    load: str
    threads: int
    share: float
    offered_per_s: float
    achieved_per_s: float
    send_lag_p50_ms: float | None
    send_lag_p99_ms: float | None
    client_busy: float
    verdict: str


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole test; ``platform`` as in :class:`fastbench.results.Result`."""

    schema_version: int
    fastbench_version: str
    started_at: str
    socket: str  # tcp | unix
    duration_s: float
    platform: dict[str, Any]
    ceilings: list[Ceiling]
    steps: list[Step]


def from_json(data: bytes) -> Saturation:
    """Return the test that ``data`` holds.

    Raises :class:`UsageError` where it is not one, or of another schema.
    """
    return versioned.from_json(data, Saturation, SATURATION_SCHEMA_VERSION, "saturation test")
