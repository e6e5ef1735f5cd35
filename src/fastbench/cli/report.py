"""``fastbench report``: the report of an earlier command, from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli import options


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder that a run, sweep, search, ONNX suite or network test has written.",
        ),
    ],
    output_format: options.Format = "console",
) -> None:
    """Show the report of an earlier run again, or of whatever else has written a folder."""
    from fastbench.network import with_share
    from fastbench.report.folder import ResultFolder
    from fastbench.report.formats import print_result
    from fastbench.report.studies import print_study, read_study

    study = read_study(folder)
    if study is None:
        print_result(with_share(folder, ResultFolder.read(folder)), output_format)
    else:
        print_study(study, output_format)
