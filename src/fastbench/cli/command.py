"""``fastbench command``: any commands, as redis-benchmark and memtier_benchmark send them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument, Exit, Option

from fastbench.cli import options
from fastbench.cli.execute import execute
from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login
from fastbench.errors import UsageError

if TYPE_CHECKING:
    from fastbench.config import RunConfig


class What(Group):
    """What is sent to what."""

    PANEL: ClassVar[str] = "What is sent"

    target: Annotated[
        str,
        Argument(
            help="redis://\\[user@]host:port, rediss:// for TLS, redis+unix:///path or embedded:.",
        ),
    ]
    words: Annotated[
        list[str] | None,
        Argument(
            metavar="[-- COMMAND ARG...]",
            help="The command, with placeholders.",
        ),
    ] = None
    commands: Annotated[
        list[str] | None, Option("--command", help="A command in quotes; may be repeated.")
    ] = None
    ratios: Annotated[
        list[int] | None, Option("--ratio", help="How often each --command is sent, in order.")
    ] = None
    key_prefix: Annotated[str, Option(help="Of {key}.")] = "key:"
    key_minimum: Annotated[int, Option(help="Of {key}.")] = 0
    key_maximum: Annotated[int, Option(help="Of {key}.")] = 999_999
    data_size: Annotated[
        str,
        Option(
            "--data-size",
            "-d",
            help="Bytes of {data}: 100, 100-2000 or, by weight, 100=3,1000=1.",
        ),
    ] = "3"
    dataset: Annotated[
        Path | None,
        Option(
            help="Folder made by 'fastbench data': vision for {row:image}, fraud for "
            "{row:transaction} and {row:reference}.",
        ),
    ] = None
    fetch: Annotated[
        list[str] | None,
        Option(
            metavar="'URL COMMAND'",
            help="A command sent elsewhere first; {fetched} is its value. May be repeated.",
        ),
    ] = None
    fetch_bytes: Annotated[int, Option(help="Longest value of {fetched}.")] = 65_536
    db: Annotated[int, Option(help="Database to SELECT.")] = 0
    resp: Annotated[int, Option(help="Protocol version: 2 or 3.")] = 2
    cluster: Annotated[
        bool,
        Option("--cluster", help="A Redis cluster, of which the target is any node."),
    ] = False


class Load(options.Load):
    """How hard to drive the server, in the words of redis-benchmark and memtier_benchmark too."""

    connections: Annotated[
        int | None,
        Option(
            "--connections",
            "-c",
            help="In total, as redis-benchmark's -c. Default: one per thread.",
        ),
    ] = None
    clients_per_thread: Annotated[
        int | None, Option(help="Connections per thread, as memtier's --clients.")
    ] = None
    pipeline: Annotated[
        int, Option("--pipeline", "-P", help="Commands in flight per connection.")
    ] = 1


class Ends(options.Ends):
    """How long, how often, and what ends it early."""

    requests: Annotated[
        int | None,
        Option(
            "--requests",
            "-n",
            help="In total, as redis-benchmark's -n, instead of a duration.",
        ),
    ] = None
    requests_per_client: Annotated[
        int | None, Option(help="Per connection, as memtier's --requests.")
    ] = None
    warmup_s: Annotated[
        float, Option("--warmup", metavar="SECONDS", help="Seconds of load before measuring.")
    ] = 0.0


@gathers(What, Load, Ends, options.Tls, Login, options.Proof, options.Output)
def command(given: Given) -> None:
    """Send any commands and report throughput and latency.

    Placeholders: {key}, {key:zipf}, {key:gauss}, {key:seq}, {int:LOW-HIGH}, {data}, {data:BYTES},
    {row:FIELD}, {conn}, {fetched}; {{ is a brace. Error replies are counted by their first word and
    are never in the latencies.
    """
    raise Exit(execute(configuration(given), given))


def configuration(given: Given) -> RunConfig:
    """Return what the options say together."""
    said = given.values
    connections = _connections(said["threads"], said["connections"], said["clients_per_thread"])
    return options.run_config(
        given,
        workload="command",
        connections=connections,
        requests=_requests(
            said["requests"], said["requests_per_client"], connections or said["threads"]
        ),
        command=options.command_config(
            given,
            commands=_commands(said["words"], said["commands"]),
            ratios=said["ratios"] or (),
            fetches=_split("--fetch", said["fetch"] or ()),
        ),
    )


def _commands(words: tuple[str, ...], quoted: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    if bool(words) == bool(quoted):
        msg = "give either one command after --, or --command one or more times"
        raise UsageError(msg)
    if words:
        return (words,)
    return _split("--command", quoted)


def _split(option: str, lines: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple(tuple(shlex.split(line)) for line in lines)
    except ValueError as error:
        msg = f"{option}: {error}"
        raise UsageError(msg) from error


def _connections(threads: int, total: int | None, per_thread: int | None) -> int | None:
    if total is not None and per_thread is not None:
        msg = "--connections and --clients-per-thread both given: choose one"
        raise UsageError(msg)
    return total if per_thread is None else per_thread * threads


def _requests(total: int | None, per_client: int | None, connections: int) -> int | None:
    if total is not None and per_client is not None:
        msg = "--requests and --requests-per-client both given: choose one"
        raise UsageError(msg)
    return total if per_client is None else per_client * connections
