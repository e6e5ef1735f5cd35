"""What was not the same in two runs: what was asked for, the target, the data, the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fastbench.comparison import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.results import Result

#: Where a difference means that other work was measured, not the same work otherwise.
WORK = (
    "config.workload",
    "config.batch",
    "config.command",
    "config.form",
    "config.dialect",
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
)
ABSENT = "-"


def differences(base: Result, other: Result) -> list[Difference]:
    """Return what differs, the work first; texts are as in ``result.json``."""
    a, b = dict(_facts(base)), dict(_facts(other))
    found = [
        Difference(what=key, base=a.get(key, ABSENT), other=b.get(key, ABSENT), work=_is_work(key))
        for key in sorted(a.keys() | b.keys())
        if a.get(key, ABSENT) != b.get(key, ABSENT) and key not in IGNORED
    ]
    return sorted(found, key=lambda difference: not difference.work)


def _is_work(key: str) -> bool:
    return any(key == work or key.startswith(f"{work}.") for work in WORK)


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    yield "fastbench", result.fastbench_version
    yield from _flat("config", result.config)
    yield from _flat("target", msgspec.to_builtins(result.target))
    yield from _flat("dataset", msgspec.to_builtins(result.dataset))
    yield from _flat("platform", result.platform)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield dotted names and values as text; what is not there or empty has no name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif value not in (None, "", [], ()):
        yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()
