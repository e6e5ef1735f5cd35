"""What was not the same in two runs: what was asked for, the target, the data, the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from fastbench.comparison import Difference
from fastbench.streams import OWN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.results import Result, StreamInfo

#: Where a difference means that other work was measured, not the same work otherwise.
WORK = (
    "config.workload",
    "config.batch",
    "config.command",
    "config.form",
    "config.dialect",
    "config.body",
    "config.shm",
    "target.details.shared_memory_outputs",
    "target.model",
    "target.model_sha256",
    "dataset.sha256",
    "dataset.shape",
    "dataset.dtype",
    "dataset.rows",
)
#: Not about what was measured: where files lie, and what a run measures itself.
IGNORED = (
    "config.out",
    "dataset.resident_bytes",
    "dataset.path",
    "target.check_max_abs_difference",
    "platform.steal_percent_since_boot",
    "platform.swap_used_bytes",
)
ABSENT = "-"
CONNECTIONS = "config.connections"


def differences(base: Result, other: Result) -> list[Difference]:
    """Return what differs, the work first; texts are as in ``result.json``.

    What belongs to one of several streams is named ``stream NAME: ...``.
    """
    sides = [{fact.what: fact for fact in _facts(result)} for result in (base, other)]
    a, b = sides
    for side, against, result in ((a, b, base), (b, a, other)):
        if CONNECTIONS in against and CONNECTIONS not in side:  # not given: one a thread
            threads = str(result.config.get("threads", 1))
            side[CONNECTIONS] = _Fact(CONNECTIONS, threads, against[CONNECTIONS].work)
    found = [
        Difference(what=what, base=_text(a.get(what)), other=_text(b.get(what)), work=work)
        for what, work in sorted({(f.what, f.work) for side in sides for f in side.values()})
        if _text(a.get(what)) != _text(b.get(what))
    ]
    return sorted(found, key=lambda difference: not difference.work)


@dataclass(frozen=True, slots=True)
class _Fact:
    what: str
    text: str
    work: bool


def _text(fact: _Fact | None) -> str:
    return fact.text if fact else ABSENT


def _facts(result: Result) -> Iterator[_Fact]:
    """Yield what is known; of several streams each has its own target, data and configuration."""
    config = result.config
    yield from _flat("fastbench", result.fastbench_version)
    yield from _flat("platform", result.platform)
    if not result.streams:
        yield from _about("", config, result)
        return
    shared = {key: value for key, value in config.items() if key not in OWN_FIELDS}
    yield from _flat("config", {key: shared[key] for key in shared if key != "streams"})
    for stream, own in zip(result.streams, config.get("streams", []), strict=False):
        yield from _about(f"stream {stream.name}: ", own, stream)


def _about(prefix: str, config: dict[str, Any], of: Result | StreamInfo) -> Iterator[_Fact]:
    yield from _flat("config", config, prefix)
    yield from _flat("target", msgspec.to_builtins(of.target), prefix)
    yield from _flat("dataset", msgspec.to_builtins(of.dataset), prefix)


def _flat(name: str, value: Any, prefix: str = "") -> Iterator[_Fact]:
    """Yield dotted names and values as text; what is not there or empty has no name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner, prefix)
    elif value not in (None, "", [], ()) and name not in IGNORED:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield _Fact(f"{prefix}{name}", text, _is_work(name))


def _is_work(key: str) -> bool:
    return any(key == work or key.startswith(f"{work}.") for work in WORK)
