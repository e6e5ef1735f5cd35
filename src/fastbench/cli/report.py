"""``fastbench report``: the report of an earlier run, from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli import options


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Result folder that a run has written.")
    ],
    output_format: options.Format = "console",
) -> None:
    """Show the report of an earlier run again, in any format."""
    from fastbench.report.folder import ResultFolder
    from fastbench.report.formats import print_result

    print_result(ResultFolder.read(folder), output_format)
