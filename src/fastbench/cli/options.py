"""Options that several commands share, and the configuration that they make together.

An option is named after its field of :class:`fastbench.config.RunConfig`, or, after ``tls_``, of
:class:`fastbench.config.TlsConfig`: a new one is declared here and there, and nowhere else.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Option

from fastbench import topology
from fastbench.cli.gather import Group
from fastbench.cli.login import take_password
from fastbench.config import CommandConfig, RunConfig, TlsConfig
from fastbench.config_file import make_config, read_config
from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.cli.gather import Given

    Say = Callable[[str], None]

OUTPUT = "Output"
_TLS = "tls_"

Format = Annotated[
    str,
    Option("--format", help="What is printed: console, json, markdown, csv, prometheus or html."),
]


class Load(Group):
    """How hard to drive the server."""

    PANEL: ClassVar[str] = "Load"

    threads: Annotated[int, Option(help="Native threads.")] = 1
    connections: Annotated[int | None, Option(help="In total. Default: one per thread.")] = None
    pipeline: Annotated[int, Option(help="Inferences in flight per connection.")] = 1
    rate_per_s: Annotated[
        float | None,
        Option(
            "--rate",
            help="Open loop: inferences per second, due whether or not replies came. "
            "Default: closed loop.",
        ),
    ] = None
    profile: Annotated[
        str | None,
        Option(help="Open loop at changing rates: steps as 100:10s,200:10s, ramps as 100-500:20s."),
    ] = None
    arrivals_file: Annotated[
        Path | None,
        Option(help="Open loop at recorded instants: seconds since measure began, one a line."),
    ] = None
    arrivals: Annotated[str, Option(help="Open loop: constant or poisson.")] = "constant"
    max_outstanding: Annotated[
        int, Option(help="Open loop: due inferences that may wait, per thread.")
    ] = 65_536
    spin: Annotated[
        bool,
        Option(
            "--spin",
            help="Open loop: poll for the last 60 us before an arrival instead of sleeping.",
        ),
    ] = False
    cpus: Annotated[
        str | None,
        Option(help="CPUs to pin the threads to, e.g. 2-5,8. Default: one a core, off the server."),
    ] = None
    pin: Annotated[bool, Option("--pin/--no-pin", help="Pin each thread to a CPU.")] = True
    seed: Annotated[int, Option(help="Of everything random.")] = 1


class Ends(Group):
    """How long, how often, and what ends it early."""

    PANEL: ClassVar[str] = "When it ends"

    duration_s: Annotated[
        float | None,
        Option(
            "--duration", metavar="SECONDS", help="Seconds of measuring per repetition. Default: 5."
        ),
    ] = None
    requests: Annotated[int | None, Option(help="Measured inferences, instead of a duration.")] = (
        None
    )
    warmup_s: Annotated[
        float, Option("--warmup", metavar="SECONDS", help="Seconds of load before measuring.")
    ] = 1.0
    repetitions: Annotated[int, Option(help="Full passes.")] = 3
    timeout_s: Annotated[
        float,
        Option("--timeout", metavar="SECONDS", help="Seconds until an inference has timed out."),
    ] = 30.0
    max_errors: Annotated[int | None, Option(help="End when more inferences than this failed.")] = (
        None
    )
    fail_fast: Annotated[bool, Option("--fail-fast", help="End at the first failure.")] = False


class Tls(Group):
    """How to speak TLS."""

    PANEL: ClassVar[str] = "TLS (targets rediss:// and redisais://)"

    tls_ca: Annotated[
        Path | None,
        Option(help="PEM file: who may sign for the server. Default: the system's list."),
    ] = None
    tls_cert: Annotated[Path | None, Option(help="PEM file: the client's certificate.")] = None
    tls_key: Annotated[Path | None, Option(help="PEM file: its key, not encrypted.")] = None
    tls_server_name: Annotated[
        str | None,
        Option(help="What the server's certificate must name. Default: the target's host."),
    ] = None
    tls_insecure: Annotated[bool, Option("--tls-insecure", help="Take any certificate.")] = False
    tls_min_version: Annotated[str, Option(help="1.2 or 1.3.")] = "1.2"


class Proof(Group):
    """Whether the client was the bottleneck."""

    PANEL: ClassVar[str] = "Verdict: was the client the bottleneck?"

    calibrate: Annotated[
        str,
        Option(
            help="Measure the client's own ceiling against the null server: auto (once per plan "
            "and host), always or never."
        ),
    ] = "auto"
    null_server: Annotated[
        str | None,
        Option(help="URL of a 'fastbench null-server' on the server's host, for that."),
    ] = None
    require: Annotated[str | None, Option(help="client-ok: exit with 3 on any other verdict.")] = (
        None
    )


class Output(Group):
    """What becomes of the result."""

    PANEL: ClassVar[str] = OUTPUT

    out: Annotated[
        Path | None,
        Option(help="Folder for result.json, latency.hlog, latency.hgrm and timeseries.csv."),
    ] = None
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False
    output_format: Format = "console"


def run_config(given: Given, **others: Any) -> RunConfig:
    """Return what the options of a command say together; ``others``: fields without an option.

    What the user wrote goes before the file that ``--config`` names, that before defaults.
    The password that they name is taken too, see :func:`fastbench.cli.login.take_password`.
    Raises :class:`UsageError` naming the option that is wrong.
    """
    take_password(given)
    options = {**_fields(given, RunConfig), "tls": _fields(given, TlsConfig, _TLS)}
    options["cpus"] = parse_cpus(options.get("cpus"))
    if "verify" in options:
        options["verify"] = parse_verify(options["verify"])
    if options.get("headers", ()) is None:  # not given
        options["headers"] = ()
    path = given.values.get("config")
    if path is None:
        return make_config(options | others)
    return make_config(_over(_over(options, read_config(path)), _written(given, options)) | others)


def command_config(given: Given, **others: Any) -> CommandConfig:
    """Return what the options say of the commands to send; ``others``: fields without an option."""
    return CommandConfig(**(_fields(given, CommandConfig) | others))


def tls_config(given: Given) -> TlsConfig | None:
    """Return what the options of TLS say together; None where none was given."""
    config = TlsConfig(**_fields(given, TlsConfig, _TLS))
    return None if config == TlsConfig() else config


def _fields(given: Given, config: type, prefix: str = "") -> dict[str, Any]:
    """Return the values of those fields of a configuration that the command has options for."""
    names = [f.name for f in dataclasses.fields(config)]
    return {n: given.values[prefix + n] for n in names if prefix + n in given.values}


def _written(given: Given, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the user wrote of ``options``."""
    tls = {n: v for n, v in options["tls"].items() if _TLS + n in given.written}
    return {n: v for n, v in options.items() if n in given.written} | {"tls": tls}


def _over(values: dict[str, Any], stronger: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with those that are stronger in their place; tables key by key."""
    tables = {n: values[n] | v for n, v in stronger.items() if isinstance(values.get(n), dict)}
    return values | stronger | tables


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


def parse_verify(text: str) -> int | str:
    """Return how many replies to compare, or ``all``."""
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError as error:
        msg = f"--verify {text!r}: must be a number of replies, or all"
        raise UsageError(msg) from error


def check_numeric_host(host: str) -> None:
    """Raise :class:`UsageError` where ``--host`` is a name: what listens takes addresses only."""
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        msg = f"--host {host}: must be a numeric address, e.g. 127.0.0.1 or 0.0.0.0"
        raise UsageError(msg) from error
