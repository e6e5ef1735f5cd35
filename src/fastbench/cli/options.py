"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench import topology
from fastbench.config import TlsConfig
from fastbench.errors import UsageError

LOAD = "Load"
ENDS = "When it ends"
OUTPUT = "Output"
TLS = "TLS (targets rediss:// and redisais://)"

Threads = Annotated[int, typer.Option(help="Native threads.", rich_help_panel=LOAD)]
Connections = Annotated[
    int | None, typer.Option(help="In total. Default: one per thread.", rich_help_panel=LOAD)
]
Pipeline = Annotated[
    int, typer.Option(help="Inferences in flight per connection.", rich_help_panel=LOAD)
]
Rate = Annotated[
    float | None,
    typer.Option(
        help="Open loop: inferences per second, due whether or not replies came. "
        "Default: closed loop.",
        rich_help_panel=LOAD,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Open loop at changing rates: steps as 100:10s,200:10s, ramps as 100-500:20s.",
        rich_help_panel=LOAD,
    ),
]
ArrivalsFile = Annotated[
    Path | None,
    typer.Option(
        help="Open loop at recorded instants: seconds since measure began, one a line.",
        rich_help_panel=LOAD,
    ),
]
Arrivals = Annotated[
    str, typer.Option(help="Open loop: constant or poisson.", rich_help_panel=LOAD)
]
MaxOutstanding = Annotated[
    int,
    typer.Option(help="Open loop: due inferences that may wait, per thread.", rich_help_panel=LOAD),
]
Spin = Annotated[
    bool,
    typer.Option(
        "--spin",
        help="Open loop: poll for the last 60 us before an arrival instead of sleeping.",
        rich_help_panel=LOAD,
    ),
]
Cpus = Annotated[
    str | None,
    typer.Option(
        help="CPUs to pin the threads to, e.g. 2-5,8. Default: those allowed.",
        rich_help_panel=LOAD,
    ),
]
Pin = Annotated[
    bool, typer.Option("--pin/--no-pin", help="Pin each thread to a CPU.", rich_help_panel=LOAD)
]
Seed = Annotated[int, typer.Option(help="Of everything random.", rich_help_panel=LOAD)]
Duration = Annotated[
    float | None,
    typer.Option(help="Seconds of measuring per repetition. Default: 5.", rich_help_panel=ENDS),
]
Requests = Annotated[
    int | None,
    typer.Option(help="Measured inferences, instead of a duration.", rich_help_panel=ENDS),
]
Warmup = Annotated[
    float, typer.Option(help="Seconds of load before measuring.", rich_help_panel=ENDS)
]
Repetitions = Annotated[int, typer.Option(help="Full passes.", rich_help_panel=ENDS)]
Timeout = Annotated[
    float, typer.Option(help="Seconds until an inference has timed out.", rich_help_panel=ENDS)
]
MaxErrors = Annotated[
    int | None,
    typer.Option(help="End when more inferences than this failed.", rich_help_panel=ENDS),
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="End at the first failure.", rich_help_panel=ENDS)
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for result.json, latency.hlog, latency.hgrm and timeseries.csv.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.", rich_help_panel=OUTPUT)]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print result.json, not the report.", rich_help_panel=OUTPUT),
]

TlsCa = Annotated[
    Path | None,
    typer.Option(
        help="PEM file: who may sign for the server. Default: the system's list.",
        rich_help_panel=TLS,
    ),
]
TlsCert = Annotated[
    Path | None, typer.Option(help="PEM file: the client's certificate.", rich_help_panel=TLS)
]
TlsKey = Annotated[
    Path | None, typer.Option(help="PEM file: its key, not encrypted.", rich_help_panel=TLS)
]
TlsServerName = Annotated[
    str | None,
    typer.Option(
        help="What the server's certificate must name. Default: the target's host.",
        rich_help_panel=TLS,
    ),
]
TlsInsecure = Annotated[
    bool,
    typer.Option("--tls-insecure", help="Take any certificate.", rich_help_panel=TLS),
]
TlsMinVersion = Annotated[str, typer.Option(help="1.2 or 1.3.", rich_help_panel=TLS)]


def tls_config(
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    server_name: str | None,
    min_version: str,
    *,
    insecure: bool,
) -> TlsConfig | None:
    """Return what the options of TLS say together; None where none was given."""
    config = TlsConfig(
        ca=ca,
        cert=cert,
        key=key,
        server_name=server_name,
        insecure=insecure,
        min_version=min_version,
    )
    return None if config == TlsConfig() else config


def parse_cpus(text: str | None) -> tuple[int, ...] | None:
    """Return the CPUs of a list as the kernel writes it: ``2-5,8`` → (2, 3, 4, 5, 8)."""
    if text is None:
        return None
    try:
        cpus = topology.parse_list(text)
    except ValueError as error:
        msg = f"--cpus {text!r}: write CPUs as numbers and ranges, e.g. 2-5,8"
        raise UsageError(msg) from error
    if not cpus:
        msg = f"--cpus {text!r}: names no CPU"
        raise UsageError(msg)
    return tuple(cpus)
