"""``fastbench sweep``: the same benchmark at many settings."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from typer import Exit, Option

from fastbench.cli import command, options, run
from fastbench.cli.execute import required_verdict, threshold
from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login
from fastbench.errors import EXIT_INTERRUPTED, EXIT_RUN, UsageError
from fastbench.interrupts import deferred

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.axes import Settings
    from fastbench.config import RunConfig
    from fastbench.sweeps import Setting, SweepResult

app = typer.Typer(
    help="Run the same benchmark at many settings: one table, the curve and its knee.",
    no_args_is_help=True,
)

StudyFormat = Annotated[
    str, Option("--format", help="What is printed: console, json, markdown, csv or html.")
]


class Varied(Group):
    """What is varied."""

    PANEL: ClassVar[str] = "What is varied"

    over: Annotated[
        list[str] | None,
        Option(
            help="NAME=VALUES: connections=1,2,4, pipeline=1..64x2 (doubling) or "
            "rate=100..1000+100; may be repeated, for every combination. NAME: rate, connections, "
            "threads, pipeline, batch, server-batch, server-min-batch, server-min-batch-timeout; "
            "or target, workload, dataset, model, form, body, as body=raw,json."
        ),
    ] = None
    cells: Annotated[
        Path | None,
        Option(help="File with a list of settings instead: CSV with names, or JSON lines."),
    ] = None


class Output(options.Output):
    """What becomes of the results."""

    out: Annotated[
        Path | None,
        Option(
            help="Folder for sweep.json, .csv, .md, .html and a result folder for each cell. "
            "A sweep that was begun there is resumed."
        ),
    ] = None
    output_format: StudyFormat = "console"


class RunOutput(run.Output, Output):
    """The same, and whether the answers were right."""


@app.command("run")
@gathers(run.What, options.Load, options.Ends, options.Tls, Login, options.Proof, RunOutput, Varied)
def sweep_run(given: Given) -> None:
    """Sweep the benchmark of a model server; the options are those of fastbench run."""
    raise Exit(_sweep(run.configuration(given), given))


@app.command("command")
@gathers(
    command.What, command.Load, command.Ends, options.Tls, Login, options.Proof, Output, Varied
)
def sweep_command(given: Given) -> None:
    """Sweep any commands; the options are those of fastbench command."""
    raise Exit(_sweep(command.configuration(given), given))


def _sweep(config: RunConfig, given: Given) -> int:
    from fastbench import axes

    over, listed = given.values["over"] or (), given.values["cells"]
    if bool(over) == bool(listed):
        msg = "give what is varied by --over NAME=VALUES, or by --cells FILE"
        raise UsageError(msg)
    varied = axes.parse_axes(over)
    cells = axes.read_cells(listed) if listed else axes.factorial(varied)
    return sweep_over(config, cells, varied, given)


def sweep_over(
    config: RunConfig,
    cells: Sequence[Settings],
    varied: Mapping[str, list[Setting]],
    given: Given,
) -> int:
    """Run the cells, print what was found as the options say, and return the exit code."""
    with deferred():
        from fastbench import sweep
        from fastbench.report.studies import check_format, print_study

    check_format(given.values["output_format"])
    required = required_verdict(given)
    quiet = given.values["quiet"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = sweep.sweep(config, cells, varied, show=not quiet, say=teller(quiet=quiet))
    print_study(found, given.values["output_format"])
    return exit_code(found, required)


def exit_code(found: SweepResult, required: str | None) -> int:
    """Return 0 where every cell is complete, 3 where one has not the verdict ``required``."""
    if found.status != "complete":
        return EXIT_INTERRUPTED if found.status == "interrupted" else EXIT_RUN
    verdicts = {cell.figures.verdict for cell in found.cells if cell.figures}
    return threshold(required, verdicts or {""})


def teller(*, quiet: bool) -> options.Say:
    """Return what tells the progress on standard error."""
    return (lambda _: None) if quiet else (lambda text: typer.echo(text, err=True))
