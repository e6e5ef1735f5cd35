"""The story of a comparison: results in, one :class:`fastbench.comparison.Comparison` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fastbench import comparison as c
from fastbench.compare.change import change_of, name_of
from fastbench.compare.differences import ABSENT, differences
from fastbench.compare.within import standard_errors
from fastbench.comparison import Candidate, Comparison, Limit, Side
from fastbench.errors import UsageError
from fastbench.slo import Metric
from fastbench.statistics.intervals import CONFIDENCE
from fastbench.summary import counted, streams_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastbench.compare.change import Part
    from fastbench.comparison import Change, Difference
    from fastbench.results import Repetition, Result
    from fastbench.slo import Change as Forbidden

METRICS = (
    Metric("rate"),
    *(Metric(name, "response") for name in ("p50", "p90", "p95", "p99", "p999")),
    Metric("errors"),
)


class _Run:
    """A result with a name, its repetitions that count, and how each varies within itself."""

    def __init__(self, name: str, result: Result) -> None:
        self.result = result
        repetitions: list[Repetition] = counted(result.repetitions)
        if not repetitions:
            msg = f"{name}: holds no repetition: nothing to compare"
            raise UsageError(msg)
        self.repetitions: list[Part] = [(r, standard_errors(r)) for r in repetitions]
        self.is_open = any(r.target_per_s for r in repetitions)
        self.streams: dict[str, list[Part]] = {
            each[0].name: [(part, standard_errors(part)) for part in each]
            for each in streams_of(repetitions)
        }
        self.side = Side(
            name=name,
            started_at=result.started_at,
            fastbench_version=result.fastbench_version,
            status=result.status,
            repetitions=len(repetitions),
            client=result.verdict.verdict if result.verdict else "",
        )

    @property
    def succeeded(self) -> bool:
        """Whether anything did, in any repetition."""
        return any(r.counts.ok for r, _ in self.repetitions)


def compare(
    results: Sequence[tuple[str, Result]], forbidden: Sequence[Forbidden] = ()
) -> Comparison:
    """Hold each of ``results`` (name, result) but the first against the first.

    ``forbidden``: changes that must not happen. Raises :class:`UsageError` where fewer than two
    are given, or one holds no repetition.
    """
    if len(results) < 2:  # noqa: PLR2004 - a comparison
        msg = "compare needs two results or more: the first is the base"
        raise UsageError(msg)
    base, *others = [_Run(name, result) for name, result in results]
    return Comparison(
        schema_version=c.SCHEMA_VERSION,
        confidence=CONFIDENCE,
        base=base.side,
        candidates=[_candidate(base, other, forbidden) for other in others],
    )


def _candidate(base: _Run, other: _Run, forbidden: Sequence[Forbidden]) -> Candidate:
    metrics = list(dict.fromkeys((*METRICS, *(f.metric for f in forbidden))))
    groups = [dict(_changes(metrics, *parts)) for parts in _pairs(base, other)]
    differ = differences(base.result, other.result)
    return Candidate(
        side=other.side,
        differences=differ,
        notes=_notes(base, other, differ),
        changes=[change for changes in groups for change in changes.values()],
        limits=[_limit(f, changes[f.metric], other) for f in forbidden for changes in groups],
    )


def _pairs(base: _Run, other: _Run) -> Iterator[tuple[str, list[Part], list[Part]]]:
    """Yield the runs as wholes, then each stream that both have, with its name."""
    yield "", base.repetitions, other.repetitions
    for name, parts in base.streams.items():
        if name in other.streams:
            yield name, parts, other.streams[name]


def _changes(
    metrics: Sequence[Metric], stream: str, base: Sequence[Part], other: Sequence[Part]
) -> Mapping[Metric, Change]:
    found = {metric: change_of(metric, base, other) for metric in metrics}
    return {m: msgspec.structs.replace(change, stream=stream) for m, change in found.items()}


def _about_one(*sides: Side) -> list[str]:
    """Say in one line which of two runs have only one repetition."""
    names = list(dict.fromkeys(side.name for side in sides if side.repetitions == 1))
    have = "have one repetition each" if len(names) > 1 else "has one repetition"
    note = (
        f"{' and '.join(names)} {have}: intervals show what varies within it; how runs vary is "
        "seen from --repetitions 3 on"
    )
    return [note] if names else []


def _notes(base: _Run, other: _Run, differ: list[Difference]) -> list[str]:
    notes = _about_work([d for d in differ if d.work])
    for run in (base, other):
        side = run.side
        if side.status != "complete":
            notes.append(f"{side.name} is {side.status.upper()}: {run.result.error or 'cut short'}")
        if not run.succeeded:
            notes.append(f"{side.name}: NOTHING SUCCEEDED")
        if side.client not in {"", "client-ok"}:
            notes.append(f"the client of {side.name} was {side.client}: it may be what is compared")
    notes += _about_one(base.side, other.side)
    notes += _about_two(base.side, other.side)
    for run, against in ((base, other), (other, base)):
        alone = [name for name in run.streams if name not in against.streams]
        if alone:
            notes.append(f"only {run.side.name} has the streams {', '.join(alone)}")
    if base.is_open or other.is_open:
        notes.append("open loop: the rate was asked for, so that throughput says little")
    return notes


def _about_two(*sides: Side) -> list[str]:
    """Say why intervals are wide where a side has two repetitions, and what would help.

    Student's t falls from 4.30 for two results of two to 2.78 (three) and 2.23 (six), and the
    standard error with the root of their number.
    """
    two = [side.name for side in sides if side.repetitions == 2]  # noqa: PLR2004 - as _about_two says
    if not two or any(side.repetitions == 1 for side in sides):
        return []
    have = "have" if len(two) > 1 else "has"
    note = (
        f"{' and '.join(two)} {have} two repetitions, which say little of how runs vary: hence "
        "wide intervals; for the same spread 3 would make them about half as wide, 6 less than a "
        "third (--repetitions 6)"
    )
    return [note]


def _about_work(differ: list[Difference]) -> list[str]:
    """Return what differs in the work; what a server did not tell may be the same."""
    untold = [d.what for d in differ if "target." in d.what and ABSENT in {d.base, d.other}]
    told = [d.what for d in differ if d.what not in untold]
    notes = [f"DIFFERENT WORK was measured: {', '.join(told)}"] if told else []
    if untold:
        notes.append(f"not told by both whether the same work was measured: {', '.join(untold)}")
    return notes


def _limit(forbidden: Forbidden, change: Change, other: _Run) -> Limit:
    """Judge one limit: it fails where the change is shown and its estimate lies beyond."""
    status, message = _judged(forbidden, change, other)
    return Limit(text=forbidden.text, status=status, message=message)


def _judged(forbidden: Forbidden, change: Change, other: _Run) -> tuple[str, str]:
    name = f"stream {change.stream}: " if change.stream else ""
    name += name_of(forbidden.metric)
    if not other.succeeded:
        return c.FAILED, f"nothing succeeded in {other.side.name}"
    shown = change.verdict not in {c.NO_DIFFERENCE, c.CANNOT_TELL}
    if shown and change.change is not None and forbidden.exceeded_by(change.change):
        bound = "more than " if change.other_beyond else ""
        return c.FAILED, f"{name} changed by {bound}{_percent(change, change.change)}"
    end = change.high if forbidden.limit >= 0 else change.low
    if change.verdict != c.CANNOT_TELL and end is not None and not forbidden.exceeded_by(end):
        return c.KEPT, f"{name} changed by {_percent(change, end)} at most"
    if change.reason:
        return c.NOT_EXCLUDED, f"{name}: {change.reason}"
    far = f"a change of {_percent(change, end)}" if end is not None else "any change"
    return c.NOT_EXCLUDED, f"{name}: the data do not exclude {far}: more repetitions might"


def _percent(change: Change, value: float) -> str:
    points = " points" if change.unit == "share" else ""
    return f"{100 * value:+.3g} %{points}"
