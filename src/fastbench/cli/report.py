"""``fastbench report``: the report of an earlier run, from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli import options


def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder that a run, a sweep or a search has written."),
    ],
    output_format: options.Format = "console",
) -> None:
    """Show the report of an earlier run, sweep or search again, in any format."""
    from fastbench.report.folder import ResultFolder
    from fastbench.report.formats import print_result
    from fastbench.report.network import print_share
    from fastbench.report.studies import print_study, read_study

    study = read_study(folder)
    if study is None:
        result = ResultFolder.read(folder)
        print_result(result, output_format)
        print_share(folder, result, output_format)
    else:
        print_study(study, output_format)
