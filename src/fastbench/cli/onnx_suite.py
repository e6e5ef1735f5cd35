"""``fastbench onnx-suite``: several ONNX models in one server."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from fastbench.cli import options
from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login, take_password
from fastbench.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_RUN
from fastbench.interrupts import deferred


class Underscores(TyperCommand):
    """Takes ``--num_threads`` for ``--num-threads``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the names of options with hyphens; their values stay as they are."""
        return super().parse_args(ctx, [_hyphens(word) for word in args])


class What(Group):
    """What is run."""

    PANEL: ClassVar[str] = "What is run"

    target: Annotated[
        str,
        typer.Argument(help="redisai://host:port, redisais:// for TLS, or embedded: (default)."),
    ] = "embedded:"
    device: Annotated[str, typer.Option(help="cpu, gpu or gpu:N of the server.")] = "cpu"
    num_threads: Annotated[
        int | None,
        typer.Option(
            help="Inferences that the server executes at a time (THREADS_PER_QUEUE): set in the "
            "embedded server, else only checked."
        ),
    ] = None
    num_parallel_clients: Annotated[
        int, typer.Option(help="Clients of each model in the parallel session.")
    ] = 20
    num_runs_mnist: Annotated[int, typer.Option(help="MNIST inferences per client.")] = 500
    num_runs_inception: Annotated[int, typer.Option(help="Inception inferences per client.")] = 50
    num_runs_bert: Annotated[int, typer.Option(help="BERT inferences per client.")] = 5
    scale: Annotated[
        float, typer.Option(help="Times so wide layers, for small machines: 0.001 to 1.")
    ] = 1.0
    mnist: Annotated[Path | None, typer.Option(help="Model file instead of the own.")] = None
    inception: Annotated[Path | None, typer.Option(help="Model file instead of the own.")] = None
    bert: Annotated[Path | None, typer.Option(help="Model file instead of the own.")] = None


class Output(Group):
    """What becomes of the result."""

    PANEL: ClassVar[str] = options.OUTPUT

    out: Annotated[Path | None, typer.Option(help="Folder for suite.json.")] = None
    output_format: Annotated[
        str, typer.Option("--format", help="What is printed: console, json or markdown.")
    ] = "console"
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False


@gathers(What, options.Tls, Login, Output)
def onnx_suite(given: Given) -> None:
    """Run MNIST under 50 keys, Inception v2 under 20 and BERT: one after the other, and at once."""
    raise typer.Exit(_run(given))


def _run(given: Given) -> int:
    with deferred():
        from fastbench.report.suite_formats import check_format, print_suite
        from fastbench.suite import SuiteConfig, run_suite

    check_format(given.values["output_format"])
    take_password(given)
    names = {field.name for field in dataclasses.fields(SuiteConfig)} - {"tls"}
    values = {name: given.values[name] for name in names}
    config = SuiteConfig(**values, tls=options.tls_config(given))
    quiet = given.values["quiet"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it then ends as Ctrl-C does
    result = run_suite(config, lambda text: None if quiet else typer.echo(text, err=True))
    print_suite(result, given.values["output_format"])
    if result.status == "interrupted":
        return EXIT_INTERRUPTED
    return EXIT_OK if result.status == "complete" else EXIT_RUN


def _hyphens(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word
