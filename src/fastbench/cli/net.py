"""``fastbench net``: TCP_RR and TCP_STREAM baseline of the path to another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fastbench.cli import options
from fastbench.errors import UsageError


class _TestByDefault(TyperGroup):
    """``fastbench net HOST:PORT`` is short for ``fastbench net test HOST:PORT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name where it was left out."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["test", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_TestByDefault,
    no_args_is_help=True,
    help="Measure the network path, as netperf does: fastbench net serve there, "
    "fastbench net HOST:PORT here.",
)


@app.command("test")
def measure(
    server: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="Where `fastbench net serve` runs.")
    ],
    *,
    duration: Annotated[float, typer.Option(help="Seconds of each test.")] = 5.0,
    warmup: Annotated[float, typer.Option(help="Seconds before, not counted.")] = 0.5,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the other end.")] = 10.0,
    request_bytes: Annotated[int, typer.Option(help="Of the second TCP_RR.")] = 602_112,
    response_bytes: Annotated[int, typer.Option(help="Of the second TCP_RR.")] = 4004,
    out: Annotated[
        Path | None, typer.Option(help="Folder for network.json, e.g. of a run's result.")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="console | json", metavar="NAME")
    ] = "console",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Measure round trips and throughput of the path to a `fastbench net serve`."""
    from fastbench import nettest, versioned
    from fastbench.report.network import render

    if output_format not in {"console", "json"}:
        msg = f"--format {output_format!r}: choose console or json"
        raise UsageError(msg)
    found = nettest.measure_into(
        out,
        server,
        nettest.usual_tests(request_bytes, response_bytes),
        nettest.Times(duration, warmup, timeout),
        None if quiet else lambda line: typer.echo(line, err=True),
    )
    typer.echo(versioned.to_json(found) if output_format == "json" else render(found), nl=False)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Numeric address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
) -> None:
    """Be the other end of network tests; Ctrl-C ends it."""
    import signal

    from fastbench._netprobe import NetServer

    options.check_numeric_host(host)
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # they are waited for below
    with NetServer(host, port) as server:
        name = f"[{host}]" if ":" in host else host
        typer.echo(f"fastbench net: ready on {name}:{server.port}")
        signal.sigwait(ends)
    served, refused, broken = server.counts()
    typer.echo(f"{served} tests served, {refused} connections refused, {broken} tests broken off")
