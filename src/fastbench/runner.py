"""The story of a run: a job is made ready, repeated, and its result written."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from fastbench import placement, platform_info
from fastbench.calibrate import calibrate_for
from fastbench.errors import FastbenchError, NotWrittenError
from fastbench.interrupts import SecondInterrupt
from fastbench.journal import Head
from fastbench.load import allow_connections, connections_of, make_plan
from fastbench.monitor.sampler import Monitor
from fastbench.monitor.watched import distinct
from fastbench.null_servers import check_null_server, find_null_server
from fastbench.repetition import Outcome, now_utc, run_repetition
from fastbench.report.folder import EXPORTERS, ResultFolder
from fastbench.report.live import Live
from fastbench.results import SCHEMA_VERSION, Result, StreamInfo
from fastbench.streams import describe, parts_of
from fastbench.summary import summarize
from fastbench.targets import parse_target
from fastbench.verdict import judge
from fastbench.warnings import assess
from fastbench.workloads import open_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.config import RunConfig
    from fastbench.job import Job
    from fastbench.journal import Journal
    from fastbench.monitor.watched import Watched
    from fastbench.plan import Plan
    from fastbench.report.base import Exporter
    from fastbench.results import Placement, Repetition


UNPROVEN = "all was measured, but the client's ceiling was not: interrupted"


def run(config: RunConfig, *, show: bool = False, files: Sequence[Exporter] = EXPORTERS) -> Result:
    """Benchmark ``config.target`` and return what happened; ``files`` go to ``config.out``.

    ``show``: progress on standard error. A run that breaks or is interrupted (Ctrl-C) after
    something was measured returns its result with status ``partial`` or ``interrupted``.

    Raises :class:`FastbenchError` (a :class:`UsageError` before anything was started) with one
    line that says what is wrong, where, and what to do; :class:`NotWrittenError`, which has the
    result, where its files cannot be written.
    """
    parts = parts_of(config)
    for part in parts:
        parse_target(part.config.target)
    spare = placement.embedded_cpus(config)
    allow_connections(sum(connections_of(part.config) for part in parts), config.threads)
    elsewhere = find_null_server(config.null_server) if config.null_server else {}
    with _result_folder(config) as folder, open_jobs(parts, spare) as jobs:
        streams = [(p.config, job.stream) for p, job in zip(parts, jobs, strict=True)]
        pids = [server.pid for server in _servers(jobs)]
        placed = placement.place(config, pids, streams[0][1].addresses[0])
        plan = make_plan(config, streams, tuple(placed.client_cpus))
        if config.null_server:
            check_null_server(config.null_server, elsewhere, plan)  # better now than after the run
        head = _head(config, jobs, placed)
        journal = folder.open_journal(head) if folder else None
        with placement.off_the_workers(plan.cpus), Live(quiet=not show) as display:
            repetitions, outcome = _repeat(config, jobs, plan, journal, display)
        result = _result(head, jobs, repetitions, outcome)
        result = _proven(config, plan, result)
        if folder:
            _write(folder, result, files)
    return result


def _write(folder: ResultFolder, result: Result, files: Sequence[Exporter]) -> None:
    try:
        folder.write(result, files)
    except FastbenchError as error:
        raise NotWrittenError(str(error), result) from error


@contextlib.contextmanager
def _result_folder(config: RunConfig) -> Iterator[ResultFolder | None]:
    """Prepare the folder before anything else; leave nothing behind when there is no result."""
    if config.out is None:
        yield None
        return
    folder = ResultFolder(config.out)
    folder.prepare()
    try:
        yield folder
    except BaseException:
        folder.discard()
        raise


def _repeat(
    config: RunConfig, jobs: list[Job], plan: Plan, journal: Journal | None, display: Live
) -> tuple[list[Repetition], Outcome]:
    """Run the repetitions; the first that does not complete is the last.

    Raises :class:`FastbenchError`, or KeyboardInterrupt, when nothing at all was measured, and
    :class:`SecondInterrupt`: what was measured then stands in the journal alone.
    """
    repetitions: list[Repetition] = []
    outcome = Outcome("complete")
    while outcome.status == "complete" and len(repetitions) < config.repetitions:
        index = len(repetitions) + 1
        try:
            display.begin(f"rep {index}/{config.repetitions}")
            repetition, outcome = run_repetition(
                plan,
                index,
                jobs,
                make_monitor=lambda ids: Monitor(_servers(jobs), ids),
                display=display,
                journal=journal,
            )
            repetitions.append(repetition)
            if journal:
                journal.whole(repetition)
        except FastbenchError as error:
            if not repetitions:
                msg = f"{_urls(jobs)}: {error}"
                raise type(error)(msg) from error
            outcome = Outcome("partial", error)
        except KeyboardInterrupt as interrupt:
            if not repetitions or isinstance(interrupt, SecondInterrupt):
                raise
            outcome = Outcome("interrupted")
    return repetitions, outcome


def _servers(jobs: list[Job]) -> list[Watched]:
    return distinct(server for job in jobs for server in job.servers)


def _proven(config: RunConfig, plan: Plan, result: Result) -> Result:
    """Add what the client can do at all, the doubts, and the verdict."""
    if result.status == "complete":
        try:
            calibration = calibrate_for(config, plan, result.repetitions)
            result = msgspec.structs.replace(result, calibration=calibration)
        except FastbenchError as error:  # what was measured is not lost for it
            result = msgspec.structs.replace(result, calibration_error=str(error))
        except KeyboardInterrupt:
            result = msgspec.structs.replace(result, status="interrupted", error=UNPROVEN)
    return msgspec.structs.replace(result, warnings=assess(result), verdict=judge(result))


def _urls(jobs: list[Job]) -> str:
    return " and ".join(dict.fromkeys(job.target.url for job in jobs))


def _head(config: RunConfig, jobs: list[Job], placed: Placement) -> Head:
    """Return what is known before anything is measured."""
    return Head(
        schema_version=SCHEMA_VERSION,
        fastbench_version=version("fastbench"),
        started_at=now_utc(),
        config=describe(config),
        platform=platform_info.describe(),
        target=jobs[0].target,
        dataset=jobs[0].dataset,
        streams=[StreamInfo(name=job.name, target=job.target, dataset=job.dataset) for job in jobs]
        if len(jobs) > 1
        else [],
        placement=placed,
    )


def _result(head: Head, jobs: list[Job], repetitions: list[Repetition], outcome: Outcome) -> Result:
    problem = "; ".join(filter(None, (job.problem() for job in jobs)))
    complete = outcome.status == "complete"
    return Result(
        **msgspec.structs.asdict(head),
        status="partial" if problem and complete else outcome.status,
        ended_at=now_utc(),
        repetitions=repetitions,
        summary=summarize(repetitions),
        error=str(outcome.error or problem),
    )
