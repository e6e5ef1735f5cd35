"""``fastbench doctor``: what this machine is, and what to change before measuring on it."""

from __future__ import annotations

from typing import Annotated

import typer

from fastbench.errors import UsageError


def doctor(
    output_format: Annotated[
        str, typer.Option("--format", help="console | json", metavar="NAME")
    ] = "console",
) -> None:
    """Describe this machine as a result does, and say what a lab should change."""
    from fastbench import platform_info, versioned
    from fastbench.doctor import examine
    from fastbench.report.doctor import render

    if output_format not in {"console", "json"}:
        msg = f"--format {output_format!r}: choose console or json"
        raise UsageError(msg)
    checkup = examine(platform_info.describe())
    typer.echo(versioned.to_json(checkup) if output_format == "json" else render(checkup), nl=False)
