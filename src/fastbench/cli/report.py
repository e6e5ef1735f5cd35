"""``fastbench report``: the console report of an earlier run, from its ``result.json`` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Result folder that a run has written.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show the report of an earlier run again."""
    from fastbench.report.console import print_report
    from fastbench.report.folder import ResultFolder
    from fastbench.results import to_json

    result = ResultFolder.read(folder)
    if json:
        typer.echo(to_json(result), nl=False)
    else:
        print_report(result)
