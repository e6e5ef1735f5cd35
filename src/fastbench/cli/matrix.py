"""``fastbench matrix``: the same benchmark over several targets, side by side."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from typer import Exit, Option

from fastbench.cli import options, run
from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login
from fastbench.cli.sweep import RunOutput, sweep_over
from fastbench.errors import UsageError


class What(run.What):
    """What is sent to what."""

    target: Annotated[
        str,
        Option("--servers", metavar="URL,URL...", help="Targets to compare, as of fastbench run."),
    ] = ""
    workload: Annotated[
        str, Option("--workloads", help="vision, fraud, or both with a comma between.")
    ] = "vision"


class Further(Group):
    """What else is varied."""

    PANEL: ClassVar[str] = "What else is varied"

    over: Annotated[
        list[str] | None,
        Option(help="NAME=VALUES, as of fastbench sweep; each combination on each target."),
    ] = None


@gathers(What, options.Load, options.Ends, options.Tls, Login, options.Proof, RunOutput, Further)
def matrix(given: Given) -> None:
    """Run the same benchmark on several targets: one table and one page, each with its verdict.

    The options are those of fastbench run. A target that cannot be reached, or cannot do what is
    asked of it, is a row that says so.
    """
    from fastbench import axes

    if not given.values["target"]:
        msg = "--servers: name the targets to compare, with commas between"
        raise UsageError(msg)
    further = axes.parse_axes(given.values["over"] or ())
    asked = {"target": "--servers", "workload": "--workloads"}
    own = {
        name: axes.values_of(f"{option} {given.values[name]}", name, given.values[name])
        for name, option in asked.items()
    }
    if both := own.keys() & further.keys():
        msg = f"--over {min(both)}: give it by {asked[min(both)]} alone"
        raise UsageError(msg)
    first = {name: values[0] for name, values in own.items()}
    config = run.configuration(dataclasses.replace(given, values=given.values | first))
    if config.streams:
        msg = (
            "--config: its streams have targets of their own; run each file, then fastbench compare"
        )
        raise UsageError(msg)
    if len(own["workload"]) == 1:
        del own["workload"]
    varied = own | further
    raise Exit(sweep_over(config, axes.factorial(varied), varied, given))
