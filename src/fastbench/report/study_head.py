"""What a sweep or a search was of: the lines at the head of its table and of its page."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from fastbench.axes import FIELDS
from fastbench.report import facts, numbers
from fastbench.results import SCHEMA_VERSION, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fastbench.searches import SearchResult
    from fastbench.sweeps import About, SweepResult

    Line = tuple[str, str]

WIDTH = 100
ONCE = ("client", "CPUs")  # where cells differ in these, they are left to the cells' own results


def sweep_lines(sweep: SweepResult) -> list[Line]:
    """Return name and text of what is known of all cells, then of what differs between them."""
    runs = [
        _as_result(sweep, sweep.config | _fields(cell.settings), cell.about)
        for cell in sweep.cells
        if cell.about
    ]
    return [*_when(sweep), *_of_runs(runs)]


def search_lines(search: SearchResult) -> list[Line]:
    """Return name and text of what is known of a search."""
    run = [_as_result(search, search.config, search.about)] if search.about else []
    return [*_when(search), *(line for line in _of_runs(run) if line[0] != "load")]


def text(lines: Iterable[Line]) -> str:
    """Return the lines as plain text of at most 100 columns."""
    return "\n".join(
        textwrap.fill(
            value,
            WIDTH,
            initial_indent=f"  {name:<10}",
            subsequent_indent=" " * 12,
            break_on_hyphens=False,
        )
        for name, value in lines
    )


def _fields(settings: dict[str, Any]) -> dict[str, Any]:
    return {FIELDS.get(name, name): value for name, value in settings.items()}


def _as_result(study: SweepResult | SearchResult, config: dict[str, Any], about: About) -> Result:
    """Return a result without repetitions, which has all that its head is made of."""
    return Result(
        schema_version=SCHEMA_VERSION,
        fastbench_version=study.fastbench_version,
        status=study.status,
        started_at=study.started_at,
        ended_at=study.ended_at,
        config=config,
        platform=study.platform,
        target=about.target,
        dataset=about.dataset,
        placement=about.placement,
        streams=about.streams,
        repetitions=[],
        summary=None,
    )


def _when(study: SweepResult | SearchResult) -> Iterator[Line]:
    began, ended = (at[:19].replace("T", " ") for at in (study.started_at, study.ended_at))
    times = int(study.config.get("repetitions", 0))
    each = f", at most {numbers.count(times)} repetition{'s' * (times > 1)} each" if times else ""
    yield "measured", f"{began} to {ended} UTC{each}"


def _of_runs(runs: Sequence[Result]) -> Iterator[Line]:
    """Yield each text once; several targets have a line each with their model and form."""
    heads = [dict(facts.facts(run)) for run in runs if not run.streams]
    targets = list(dict.fromkeys(_target(run) for run in runs))
    several = len(targets) > 1
    yield from (("target", each) for each in targets)
    for name in ("dataset", "command"):
        yield from ((name, each) for each in _distinct(heads, name))
    loads = list(dict.fromkeys(facts.load_of(run, form=not several) for run in runs))
    if len(loads) == 1 and heads:
        yield "load", loads[0]
    everything = [dict(facts.facts(run)) for run in runs]
    for name in ONCE:
        found = _distinct(everything, name)
        if len(found) == 1:
            yield name, found[0]


def _target(run: Result) -> str:
    """Return target and model, of several streams each."""
    if run.streams:
        return facts.of_streams(run)
    head = dict(facts.facts(run))
    form = facts.form_of(run)
    return ", ".join(part for part in (head["target"], head.get("model"), form) if part)


def _distinct(heads: Iterable[dict[str, str]], name: str) -> list[str]:
    return list(dict.fromkeys(head[name] for head in heads if head.get(name)))
