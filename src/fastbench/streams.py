"""The streams of a run: each a configuration made of the run's and of what it sets itself."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastbench.bodies import HTTP_SCHEMES, bodies_of, is_open_inference
from fastbench.config import MAX_IN_FLIGHT, TLS_SCHEMES, RunConfig
from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.config import StreamConfig

MAX_STREAMS = 64

#: Fields of :class:`RunConfig` that a stream may set for itself; all others belong to the run.
OWN_FIELDS = (
    *("target", "workload", "dataset", "model", "backend", "inputs", "outputs", "device"),
    *("models", "reference", "batch", "form", "dialect", "persist", "script"),
    *("body", "headers", "shm"),
    *("server_timeout_ms", "verify", "command", "tls", "connections", "pipeline"),
    *("rate_per_s", "profile", "arrivals_file", "arrivals", "max_outstanding"),
)
SCHEDULES = ("rate_per_s", "profile", "arrivals_file")
_NAME = re.compile(r"[0-9A-Za-z._:-]{1,64}")  # it is a tag in .hlog files


@dataclass(frozen=True, slots=True)
class Part:
    """One stream with the configuration of a run that has only this one."""

    name: str
    config: RunConfig
    weight: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is an open loop."""
        return any(getattr(self.config, name) is not None for name in SCHEDULES)


def parts_of(config: RunConfig) -> tuple[Part, ...]:
    """Return the streams of a run; one without a name where the run is not divided.

    Raises :class:`UsageError` naming the stream, the value and the remedy.
    """
    if not config.streams:
        _check_arrivals(config, is_open=Part("", config).is_open)
        return (Part("", config),)
    _check(config)
    shares = zip(_rates(config), _connections(config), strict=True)
    parts = tuple(
        _part(config, stream, rate_per_s, connections)
        for stream, (rate_per_s, connections) in zip(config.streams, shares, strict=True)
    )
    _check_together(config, parts)
    return parts


def describe(config: RunConfig) -> dict[str, Any]:
    """Return a configuration as plain JSON data, each stream with all that holds for it."""
    parts = parts_of(config) if config.streams else ()
    plain = [(part, part.config.to_dict()) for part in parts]
    streams = [
        {"name": part.name, "weight": part.weight} | {name: fields[name] for name in OWN_FIELDS}
        for part, fields in plain
    ]
    if not parts:
        return config.to_dict()
    connections = sum(part.config.total_connections for part in parts)
    return config.to_dict() | {"connections": connections, "streams": streams}


def deal(total: int, weights: Sequence[float]) -> list[int]:
    """Return ``total`` in whole parts in proportion to ``weights``: the largest remainders win."""
    exact = [total * weight / math.fsum(weights) for weight in weights]
    parts = [math.floor(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda i: parts[i] - exact[i])
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _check(config: RunConfig) -> None:
    names = [stream.name for stream in config.streams]
    if len(names) > MAX_STREAMS:
        msg = f"{len(names)} streams: at most {MAX_STREAMS} are possible"
        raise UsageError(msg)
    for stream in config.streams:
        _check_stream(stream)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"stream {twice!r} is there twice: give each a name of its own"
        raise UsageError(msg)
    if config.profile is not None or config.arrivals_file is not None:
        msg = "--profile and --arrivals-file of a run with several streams: give it to a stream"
        raise UsageError(msg)
    _check_shares(config)


def _check_stream(stream: StreamConfig) -> None:
    if not _NAME.fullmatch(stream.name):
        msg = f"stream {stream.name!r}: a name has 1 to 64 letters, digits and any of . _ : -"
        raise UsageError(msg)
    if stream.weight is not None and not 0 < stream.weight < math.inf:
        msg = f"stream {stream.name!r}: weight {stream.weight}: must be positive"
        raise UsageError(msg)
    foreign = sorted(set(stream.own) - set(OWN_FIELDS))
    if foreign:
        msg = f"stream {stream.name!r}: {foreign[0]} belongs to the run, not to a stream"
        raise UsageError(msg)


def _check_shares(config: RunConfig) -> None:
    """Check that what is shared is there, and that nothing is both shared and set."""
    paced = next((s.name for s in config.streams if any(s.own.get(n) for n in SCHEDULES)), None)
    weighed = next((s.name for s in config.streams if s.weight is not None), None)
    connected = next((s.name for s in config.streams if s.own.get("connections")), None)
    if paced is not None and config.rate_per_s is not None:
        msg = (
            f"stream {paced!r} has a schedule of its own, and --rate is to be shared by all "
            "streams: leave one of them out"
        )
        raise UsageError(msg)
    if paced is not None and weighed is not None:
        msg = (
            f"stream {weighed!r} has a weight and stream {paced!r} a schedule of its own: "
            "weights share the run's --rate or --connections among all streams; choose one way"
        )
        raise UsageError(msg)
    closed_by_weight = weighed is not None and config.rate_per_s is None
    if closed_by_weight and (config.connections is None or connected is not None):
        msg = (
            f"stream {weighed!r} has a weight: without --rate weights share --connections of "
            "the run, so give that, and no stream connections of its own"
        )
        raise UsageError(msg)


def _rates(config: RunConfig) -> list[float | None]:
    """Return the share of each stream in the run's rate, in proportion to the weights."""
    rate = config.rate_per_s
    if rate is None:
        return [None] * len(config.streams)
    weights = [stream.weight or 1.0 for stream in config.streams]
    return [rate * weight / math.fsum(weights) for weight in weights]


def _connections(config: RunConfig) -> list[int | None]:
    """Return the share of each stream without its own in the run's connections.

    Without any to share, None: one per thread.
    """
    shared: list[int | None] = [None] * len(config.streams)
    without = [i for i, s in enumerate(config.streams) if s.own.get("connections") is None]
    if config.connections is None or not without:
        return shared
    dealt = deal(config.connections, [config.streams[i].weight or 1.0 for i in without])
    for i, share in zip(without, dealt, strict=True):
        if share < config.threads:
            msg = (
                f"stream {config.streams[i].name!r} gets {share} of --connections "
                f"{config.connections}, but each of {config.threads} threads needs one in each "
                "stream: raise --connections"
            )
            raise UsageError(msg)
        shared[i] = share
    return shared


def _part(
    config: RunConfig, stream: StreamConfig, rate_per_s: float | None, connections: int | None
) -> Part:
    values: dict[str, Any] = {"rate_per_s": rate_per_s, "connections": connections}
    values |= {"streams": (), **stream.own}
    target = values.get("target", config.target)
    if not target.startswith(HTTP_SCHEMES):
        body = config.body if config.body in bodies_of(target) else None
        headers = config.headers if bodies_of(target) else ()
        values = {"headers": headers, "body": body} | values
    if not is_open_inference(target):
        values = {"shm": False} | values
    if "tls" not in values and not target.startswith(TLS_SCHEMES):
        values["tls"] = None
    if "workload" not in values and "command" in values:
        values["workload"] = "command"
    if "command" not in values and values.get("workload", config.workload) != "command":
        values["command"] = None
    values["spin"] = config.spin and any(values.get(name) is not None for name in SCHEDULES)
    try:
        return Part(stream.name, dataclasses.replace(config, **values), stream.weight)
    except UsageError as error:
        msg = f"stream {stream.name!r}: {error}"
        raise UsageError(msg) from error


def _check_arrivals(config: RunConfig, *, is_open: bool) -> None:
    if config.arrivals != "constant" and not is_open:
        msg = (
            f"--arrivals {config.arrivals} without a schedule: a closed loop sends when a reply "
            "comes; give --rate or --profile"
        )
        raise UsageError(msg)


def _check_together(config: RunConfig, parts: Sequence[Part]) -> None:
    in_flight = sum(p.config.total_connections * p.config.pipeline for p in parts)
    if in_flight > MAX_IN_FLIGHT:
        msg = (
            f"the streams have {in_flight} inferences in flight together, more than "
            f"{MAX_IN_FLIGHT}: lower connections or pipeline"
        )
        raise UsageError(msg)
    if config.spin and not any(part.is_open for part in parts):
        msg = "--spin without a schedule: a closed loop has no arrivals to wait for"
        raise UsageError(msg)
    _check_arrivals(config, is_open=any(part.is_open for part in parts))
