"""``fastbench compare``: what changed between results, and whether that is more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASE OTHER...", help="Result folders, or result.json files of earlier runs."
        ),
    ],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 3 where this change is shown: p99>+5%, rate<-3%, errors>+0.1% "
            "(points). Repeatable.",
        ),
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="What is printed: console, markdown, json or html.")
    ] = "console",
) -> None:
    """Compare throughput and quantiles of results with the first of them."""
    from fastbench.compare.build import compare as build
    from fastbench.comparison import failed
    from fastbench.errors import EXIT_OK, EXIT_THRESHOLD
    from fastbench.report.comparison_formats import check_format, print_comparison
    from fastbench.report.folder import ResultFolder
    from fastbench.slo import parse_change

    check_format(output_format)
    forbidden = [parse_change(text) for text in fail_if or ()]
    read = [ResultFolder.read(path) for path in results]
    comparison = build(list(zip(map(str, results), read, strict=True)), forbidden)
    print_comparison(comparison, read, output_format)
    raise typer.Exit(EXIT_THRESHOLD if failed(comparison) else EXIT_OK)
