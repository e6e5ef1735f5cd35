"""``fastbench search``: the highest rate that a server sustains."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from typer import Exit, Option

from fastbench.cli import command, options, run
from fastbench.cli.execute import required_verdict, threshold
from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login
from fastbench.cli.sweep import StudyFormat, teller
from fastbench.errors import EXIT_INTERRUPTED, EXIT_RUN, EXIT_THRESHOLD, UsageError
from fastbench.interrupts import deferred

if TYPE_CHECKING:
    from fastbench.config import RunConfig
    from fastbench.searches import SearchResult

app = typer.Typer(
    help="Find the highest open-loop rate at which latencies and errors stay within limits.",
    no_args_is_help=True,
)


class Sought(Group):
    """What is sought."""

    PANEL: ClassVar[str] = "What is sought"

    slo: Annotated[
        list[str] | None,
        Option(help="What must hold, e.g. 'p99<50ms' or 'errors<0.1%'; may be repeated."),
    ] = None
    resolution: Annotated[
        str, Option(help="How far the lowest rate that failed may be above the answer.")
    ] = "5%"


class CommandEnds(command.Ends):
    """As for fastbench command, but every probe is warmed up."""

    warmup_s: Annotated[
        float,
        Option(
            "--warmup", metavar="SECONDS", help="Seconds of load before measuring, in each probe."
        ),
    ] = 1.0


class Output(options.Output):
    """What becomes of the results."""

    out: Annotated[
        Path | None,
        Option(
            help="Folder for search.json, .csv, .md, .html and a result folder for each probe. "
            "A search that was begun there is resumed."
        ),
    ] = None
    output_format: StudyFormat = "console"


class RunOutput(run.Output, Output):
    """The same, and whether the answers were right."""


@app.command("run")
@gathers(run.What, options.Load, options.Ends, options.Tls, Login, options.Proof, RunOutput, Sought)
def search_run(given: Given) -> None:
    """Search with the benchmark of a model server; the options are those of fastbench run.

    --rate is the first rate that is tried, --repetitions those of the rates that decide.
    """
    raise Exit(_search(run.configuration(given), given))


@app.command("command")
@gathers(command.What, command.Load, CommandEnds, options.Tls, Login, options.Proof, Output, Sought)
def search_command(given: Given) -> None:
    """Search with any commands; the options are those of fastbench command.

    --rate is the first rate that is tried, --repetitions those of the rates that decide.
    """
    raise Exit(_search(command.configuration(given), given))


def _search(config: RunConfig, given: Given) -> int:
    with deferred():
        from fastbench import search
        from fastbench.report.studies import check_format, print_study
        from fastbench.slo import parse_objectives

    check_format(given.values["output_format"])
    required = required_verdict(given)
    objectives = parse_objectives(given.values["slo"] or ())
    quiet = given.values["quiet"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = search.search(
        config,
        objectives,
        resolution=parse_resolution(given.values["resolution"]),
        show=not quiet,
        say=teller(quiet=quiet),
    )
    print_study(found, given.values["output_format"])
    return exit_code(found, required)


def exit_code(found: SearchResult, required: str | None = None) -> int:
    """Return 0 where a rate holds, 3 where none does, or not with the verdict ``required``."""
    if found.status == "interrupted":
        return EXIT_INTERRUPTED
    if found.finding == "undecided":
        return EXIT_RUN
    answer = [p for p in found.probes if p.rate_per_s == found.highest_held_per_s and p.figures]
    verdict = answer[-1].figures.verdict if answer and answer[-1].figures else None
    if found.highest_held_per_s is None:
        return EXIT_THRESHOLD  # the answer says so
    return threshold(required, {verdict or ""})


def parse_resolution(text: str) -> float:
    """Return a percentage as a fraction: ``5%`` → 0.05."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text, re.ASCII)
    if match is None:
        msg = f"--resolution {text!r}: write a percentage, e.g. 5%"
        raise UsageError(msg)
    return float(match[1]) / 100
