"""From a configuration to output and an exit code: what every command that measures does."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, cast

import typer

from fastbench.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUN,
    EXIT_THRESHOLD,
    NotWrittenError,
    UsageError,
)
from fastbench.interrupts import deferred
from fastbench.verdict import CLIENT_OK

if TYPE_CHECKING:
    from fastbench.cli.gather import Given
    from fastbench.config import RunConfig
    from fastbench.results import Result


def execute(config: RunConfig, given: Given) -> int:
    """Run, print the result in the format that was asked for, and return the exit code."""
    with deferred():
        from fastbench import runner
        from fastbench.report.formats import check_format, print_result
        from fastbench.warnings import answers_are_right

    check_format(given.values["output_format"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it then ends as Ctrl-C does
    required = required_verdict(given)
    try:
        result = runner.run(config, show=not given.values["quiet"])
    except NotWrittenError as error:  # what was measured is not lost for it
        print_result(cast("Result", error.result), given.values["output_format"])
        raise
    print_result(result, given.values["output_format"])
    if result.status == "interrupted":
        return EXIT_INTERRUPTED
    if result.status != "complete" or result.summary is None or not answers_are_right(result):
        return EXIT_RUN
    verdict = result.verdict.verdict if result.verdict else "not judged"
    return threshold(required, {verdict})


def required_verdict(given: Given) -> str | None:
    """Return the verdict that the user requires; None = any.

    Raises :class:`UsageError` where it is not one that can be required.
    """
    required: str | None = given.values["require"]
    if required not in {None, CLIENT_OK}:
        msg = f"--require {required!r}: must be {CLIENT_OK}"
        raise UsageError(msg)
    return required


def threshold(required: str | None, verdicts: set[str]) -> int:
    """Return 0 where every verdict is the one required, else say so on standard error: 3."""
    others = sorted(verdict or "not judged" for verdict in verdicts - {required})
    if required is None or not others:
        return EXIT_OK
    found = f"the verdict is {' or '.join(others)}, for the reasons in the report"
    typer.echo(f"fastbench: --require {required}: {found}", err=True)
    return EXIT_THRESHOLD
