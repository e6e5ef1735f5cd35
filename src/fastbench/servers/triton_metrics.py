"""What Triton counts for a model: the statistics extension of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fastbench.monitor.metrics import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastbench.servers.http_server import HttpServer

TIMEOUT_S = 2.0


class _Duration(msgspec.Struct):
    """How often something happened, and how long that took together."""

    count: int = 0
    ns: int = 0


class _Version(msgspec.Struct):
    """The statistics of one version of a model."""

    name: str = ""
    version: str = ""
    inference_count: int = 0
    execution_count: int = 0
    inference_stats: dict[str, _Duration] = {}


class _Statistics(msgspec.Struct):
    model_stats: list[_Version]


class TritonMetrics:
    """A source of metrics: counters that only rise, those of all models and versions added up.

    ``paths``: of the statistics of each model, or of one version of it; a version that several
    paths tell of counts once. ``inference_count`` and ``execution_count`` as
    Triton has them (an execution may be a batch of several inferences), and for each duration, such
    as ``queue``, ``queue_count`` and ``queue_ns``.
    """

    def __init__(self, server: HttpServer, paths: Sequence[str], fields: Mapping[str, str]) -> None:
        self._server = server
        self._paths = paths
        self._fields = fields

    def read(self) -> Reading:
        """Ask once, over a connection of its own. Raises :class:`FastbenchError` without answer."""
        versions: dict[tuple[str, str], dict[str, int]] = {}
        for path in self._paths:
            told = self._server.told(path, self._fields, _Statistics, TIMEOUT_S)
            versions |= {(v.name, v.version): dict(_counters(v)) for v in told.model_stats}
        return summed(versions)

    def close(self) -> None:
        """Do nothing: there is no connection between two questions."""


def summed(versions: Mapping[tuple[str, str], Mapping[str, int]]) -> Reading:
    """Return the sums of what is counted for each version of a model."""
    sums: dict[str, float] = {}
    for name, value in (c for counted in versions.values() for c in counted.items()):
        sums[name] = sums.get(name, 0) + value
    return Reading(counters=sums, gauges={})


def _counters(version: _Version) -> Iterator[tuple[str, int]]:
    yield "inference_count", version.inference_count
    yield "execution_count", version.execution_count
    for name, duration in version.inference_stats.items():
        yield f"{name}_count", duration.count
        yield f"{name}_ns", duration.ns
