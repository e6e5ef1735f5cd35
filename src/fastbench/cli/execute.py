"""From a configuration to output and an exit code: what every command that measures does."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import typer

from fastbench.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_RUN

if TYPE_CHECKING:
    from fastbench.config import RunConfig


def execute(config: RunConfig, *, quiet: bool, as_json: bool) -> int:
    """Run, print the report (or JSON) and return the exit code."""
    from fastbench import runner
    from fastbench.report.console import print_report
    from fastbench.results import to_json

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it then ends as Ctrl-C does
    result = runner.run(config, show=not quiet)
    if as_json:
        typer.echo(to_json(result), nl=False)
    else:
        print_report(result)
    if result.status == "interrupted":
        return EXIT_INTERRUPTED
    wrong = any(r.verification and r.verification.mismatches for r in result.repetitions)
    return EXIT_RUN if wrong or result.status != "complete" else EXIT_OK
