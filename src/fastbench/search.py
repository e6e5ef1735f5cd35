"""The story of a search: the highest open-loop rate at which the objectives hold."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from fastbench import platform_info, searches, study, sweeps
from fastbench.bisection import Goal, Step, Trial, next_step
from fastbench.errors import FastbenchError, UsageError
from fastbench.figures import figures
from fastbench.repetition import now_utc
from fastbench.report import search_files
from fastbench.report.html import search_page
from fastbench.report.studies import SEARCH
from fastbench.searches import SEARCH_SCHEMA_VERSION, Probe, SearchResult
from fastbench.streams import parts_of
from fastbench.sustained import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fastbench.bisection import Finding
    from fastbench.config import RunConfig
    from fastbench.results import Result
    from fastbench.slo import Objective

REFERENCE = "reference"
FIRST_SHARE = 0.5  # of the closed loop's rate: with it, the first rate usually holds
RESOLUTIONS = (0.001, 0.5)
WINDOW_FULL = 0.9  # of the slots in flight


def search(
    config: RunConfig,
    objectives: Sequence[Objective],
    *,
    resolution: float = 0.05,
    show: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> SearchResult:
    """Find the highest rate that ``config.target`` sustains while ``objectives`` hold.

    ``config.rate_per_s``: the first rate that is tried; None = half of what a closed loop reaches.
    ``config.repetitions``: of the trials that decide, the others have one. Each probe is a run
    with a result folder in ``config.out``; a search that ended early goes on where it was.
    ``resolution``: a fraction. ``show``, ``say``: as for :func:`fastbench.sweep.sweep`.

    Raises :class:`UsageError` for wrong options or a folder begun with another plan, and
    :class:`FastbenchError` where a probe measured nothing at all.
    """
    out = study.folder_of(config)
    _check(config, objectives, resolution)
    planned = _plan(config, objectives, resolution)
    with study.opened(out, SEARCH) as earlier:
        now = planned if earlier is None else _resumed(out, earlier, planned)
        _write(out, now)
        try:
            while not now.finding and now.status != "interrupted":
                step = _next(now, config)
                if isinstance(step, Step) or step is None:
                    now = _probe(now, config, objectives, step, show=show, say=say)
                else:
                    now = _concluded(now, step)
                _write(out, now)
        except KeyboardInterrupt:  # between two probes
            now = msgspec.structs.replace(now, status="interrupted")
            _write(out, now)
    return now


def _check(config: RunConfig, objectives: Sequence[Objective], resolution: float) -> None:
    if not objectives:
        msg = "--slo: say what must hold, e.g. --slo 'p99<50ms'"
        raise UsageError(msg)
    if config.profile is not None or config.arrivals_file is not None:
        msg = "--profile and --arrivals-file: a search chooses the rates itself, leave them out"
        raise UsageError(msg)
    _check_streams(config)
    low, high = RESOLUTIONS
    if not low <= resolution <= high:
        msg = f"--resolution {resolution:.4%}: must be between {low:.1%} and {high:.0%}"
        raise UsageError(msg)


def _check_streams(config: RunConfig) -> None:
    """Check that streams can share every rate, and run the closed loop where that comes first."""
    parts_of(dataclasses.replace(config, rate_per_s=config.rate_per_s or 1.0))
    parts_of(config if config.rate_per_s else _closed(config))


def _closed(config: RunConfig) -> RunConfig:
    """Return the closed loop, which has no arrivals."""
    return dataclasses.replace(config, rate_per_s=None, arrivals="constant")


def _plan(config: RunConfig, objectives: Sequence[Objective], resolution: float) -> SearchResult:
    now = now_utc()
    return SearchResult(
        schema_version=SEARCH_SCHEMA_VERSION,
        fastbench_version=version("fastbench"),
        status="running",
        started_at=now,
        ended_at=now,
        config=study.plan_of(config),
        objectives=[objective.text for objective in objectives],
        resolution=resolution,
        probes=[],
        platform=platform_info.describe(),
    )


def _resumed(out: Path, earlier: bytes, planned: SearchResult) -> SearchResult:
    old = study.taken_up(out / SEARCH, earlier, searches.from_json)
    study.require_same(out, _compared(old), _compared(planned))
    return old if old.finding else msgspec.structs.replace(old, status="running")


def _compared(found: SearchResult) -> dict[str, object]:
    return {
        "fastbench": found.fastbench_version,
        **found.config,
        "slo": found.objectives,
        "resolution": found.resolution,
    }


def _next(now: SearchResult, config: RunConfig) -> Step | Finding | None:
    """Return the next step; None = the closed loop, which says where to begin."""
    reference = next((p.figures for p in now.probes if p.outcome == REFERENCE), None)
    first = config.rate_per_s or (reference and reference.inferences_per_s * FIRST_SHARE)
    if not first:
        return None
    trials = [
        Trial(p.rate_per_s, p.repetitions, p.outcome)
        for p in now.probes
        if p.rate_per_s is not None
    ]
    return next_step(trials, Goal(first, now.resolution, config.repetitions))


def _probe(
    now: SearchResult,
    config: RunConfig,
    objectives: Sequence[Objective],
    step: Step | None,
    *,
    show: bool,
    say: Callable[[str], None],
) -> SearchResult:
    name = _name(len(now.probes) + 1, step)
    wanted = dataclasses.replace(
        dataclasses.replace(config, rate_per_s=step.rate_per_s) if step else _closed(config),
        repetitions=step.repetitions if step else 1,
        out=config.out / name if config.out else None,
    )
    say(f"probe {name.replace('-', ': ', 1)}{'/s' if step else ' loop'}")
    try:
        result = study.earlier_result(wanted) or study.run(wanted, show=show)
    except KeyboardInterrupt:
        return msgspec.structs.replace(now, status="interrupted")
    if result.status == "interrupted":
        return msgspec.structs.replace(now, status="interrupted")
    probe = _described(name, step, result, objectives)
    say(f"  {probe.outcome}{': ' if probe.reasons else ''}{'; '.join(probe.reasons)}")
    return msgspec.structs.replace(
        now, probes=[*now.probes, probe], ended_at=now_utc(), about=sweeps.about(result)
    )


def _name(number: int, step: Step | None) -> str:
    if step is None:
        return f"{number:02d}-closed"
    times = f"x{step.repetitions}" if step.repetitions > 1 else ""
    return f"{number:02d}-{step.rate_per_s:.12g}{times}"


def _described(
    name: str, step: Step | None, result: Result, objectives: Sequence[Objective]
) -> Probe:
    found = figures(result)
    measured = found is not None and found.inferences_per_s > 0
    if step is None and (not measured or result.status != "complete"):
        why = result.error or "nothing came back in time: use a longer --duration, or give --rate"
        msg = f"the closed loop at the beginning failed: {why}"
        raise FastbenchError(msg)
    outcome, reasons, limits = judge(result, objectives)
    return Probe(
        name=name,
        rate_per_s=step.rate_per_s if step else None,
        repetitions=step.repetitions if step else 1,
        outcome=outcome if step else REFERENCE,
        reasons=reasons if step else [],
        limits=limits,
        figures=found,
    )


def _concluded(now: SearchResult, found: Finding) -> SearchResult:
    return msgspec.structs.replace(
        now,
        status="complete",
        finding=found.finding,
        highest_held_per_s=found.held_per_s,
        lowest_failed_per_s=found.failed_per_s,
        held_above_failed_per_s=list(found.held_above_failed_per_s),
        notes=_notes(now, found),
    )


def _notes(now: SearchResult, found: Finding) -> list[str]:
    """Return the doubts about the answer."""
    ends = {found.held_per_s, found.failed_per_s} - {None}
    border = [probe for probe in now.probes if probe.rate_per_s in ends]
    notes = []
    if found.held_above_failed_per_s:
        rates = ", ".join(f"{rate:,.6g}" for rate in found.held_above_failed_per_s)
        notes.append(
            f"NOT MONOTONE: {rates}/s held although {found.failed_per_s:,.6g}/s did not; "
            "something other than the rate decides: measure longer, look at the machines"
        )
    if any(limit.few_samples for probe in border for limit in probe.limits):
        notes.append(
            "fewer than 10 samples lie above a quantile of the objectives: use a longer --duration"
        )
    if any(_window_full(probe) for probe in border if probe.outcome != "held"):
        notes.append(
            "where it failed, every connection x pipeline slot was in flight: with more "
            "--connections or --pipeline the server may sustain more"
        )
    if now.config.get("repetitions") == 1:
        notes.append("one repetition a rate: nothing was tried twice, so noise may have decided")
    if not now.config.get("warmup_s"):
        notes.append("no warm-up: replies missing at the beginning count against the rate")
    return notes


def _window_full(probe: Probe) -> bool:
    law = probe.figures.littles_law if probe.figures else None
    return bool(law and law.in_flight and law.slots and law.in_flight >= WINDOW_FULL * law.slots)


def _write(out: Path, found: SearchResult) -> None:
    study.write(
        {
            out / SEARCH: searches.to_json(found),
            out / "search.csv": search_files.csv_file(found),
            out / "search.md": search_files.markdown(found),
            out / "search.html": search_page.render(found),
        }
    )
