"""``fastbench saturate``: how much load this client can make, whatever the server."""

from __future__ import annotations

from typing import Annotated

import typer

from fastbench.errors import UsageError


def saturate(
    threads: Annotated[
        str, typer.Option(help="Numbers of threads, e.g. 1,2,4. Default: doubling up to CPUs - 1.")
    ] = "",
    duration: Annotated[float, typer.Option(help="Seconds for each point.", min=0.1)] = 2.0,
    unix: Annotated[bool, typer.Option("--unix", help="Over a unix socket, not TCP.")] = False,
    output_format: Annotated[
        str, typer.Option("--format", help="What is printed: console, json, markdown or html.")
    ] = "console",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Raise load against the null server until the client, not the server, is the limit."""
    from fastbench import saturate as test
    from fastbench.report.saturation_formats import check_format, print_saturation

    check_format(output_format)
    numbers = _numbers(threads)
    say = (lambda _: None) if quiet else (lambda text: typer.echo(text, err=True))
    found = test.saturate(numbers, duration_s=duration, unix=unix, say=say)
    print_saturation(found, output_format)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        msg = f"--threads {text!r}: must be numbers with commas between them, e.g. 1,2,4"
        raise UsageError(msg) from error
