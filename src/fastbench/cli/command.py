"""``fastbench command``: any commands, as redis-benchmark and memtier_benchmark send them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli import options
from fastbench.cli.execute import execute
from fastbench.cli.options import parse_cpus, tls_config
from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import UsageError

WHAT = "What is sent"


def command(
    target: Annotated[
        str,
        typer.Argument(
            help="redis://[user@]host:port, rediss:// for TLS, redis+unix:///path or embedded:. "
            "The password comes from FASTBENCH_PASSWORD."
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND ARG...]", help="The command, with placeholders."),
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option(
            "--command", help="A command in quotes; may be repeated.", rich_help_panel=WHAT
        ),
    ] = None,
    ratios: Annotated[
        list[int] | None,
        typer.Option(
            "--ratio", help="How often each --command is sent, in order.", rich_help_panel=WHAT
        ),
    ] = None,
    key_prefix: Annotated[str, typer.Option(help="Of {key}.", rich_help_panel=WHAT)] = "key:",
    key_minimum: Annotated[int, typer.Option(help="Of {key}.", rich_help_panel=WHAT)] = 0,
    key_maximum: Annotated[int, typer.Option(help="Of {key}.", rich_help_panel=WHAT)] = 999_999,
    data_size: Annotated[
        str,
        typer.Option(
            "--data-size",
            "-d",
            help="Bytes of {data}: 100, 100-2000 or, by weight, 100=3,1000=1.",
            rich_help_panel=WHAT,
        ),
    ] = "3",
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Folder made by 'fastbench data', for {row:image}.", rich_help_panel=WHAT
        ),
    ] = None,
    db: Annotated[int, typer.Option(help="Database to SELECT.", rich_help_panel=WHAT)] = 0,
    resp: Annotated[int, typer.Option(help="Protocol version: 2 or 3.", rich_help_panel=WHAT)] = 2,
    threads: options.Threads = 1,
    connections: Annotated[
        int | None,
        typer.Option(
            "--connections",
            "-c",
            help="In total, as redis-benchmark's -c. Default: one per thread.",
            rich_help_panel=options.LOAD,
        ),
    ] = None,
    clients_per_thread: Annotated[
        int | None,
        typer.Option(
            help="Connections per thread, as memtier's --clients.", rich_help_panel=options.LOAD
        ),
    ] = None,
    pipeline: Annotated[
        int,
        typer.Option(
            "--pipeline",
            "-P",
            help="Commands in flight per connection.",
            rich_help_panel=options.LOAD,
        ),
    ] = 1,
    rate: options.Rate = None,
    profile: options.Profile = None,
    arrivals_file: options.ArrivalsFile = None,
    arrivals: options.Arrivals = "constant",
    max_outstanding: options.MaxOutstanding = 65_536,
    spin: options.Spin = False,
    cpus: options.Cpus = None,
    pin: options.Pin = True,
    seed: options.Seed = 1,
    duration: options.Duration = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests",
            "-n",
            help="In total, as redis-benchmark's -n, instead of a duration.",
            rich_help_panel=options.ENDS,
        ),
    ] = None,
    requests_per_client: Annotated[
        int | None,
        typer.Option(help="Per connection, as memtier's --requests.", rich_help_panel=options.ENDS),
    ] = None,
    warmup: options.Warmup = 0.0,
    repetitions: options.Repetitions = 3,
    timeout: options.Timeout = 30.0,
    max_errors: options.MaxErrors = None,
    fail_fast: options.FailFast = False,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    tls_server_name: options.TlsServerName = None,
    tls_insecure: options.TlsInsecure = False,
    tls_min_version: options.TlsMinVersion = "1.2",
    out: options.Out = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Send any commands and report throughput and latency.

    Placeholders: {key}, {key:zipf}, {key:gauss}, {key:seq}, {int:LOW-HIGH}, {data}, {data:BYTES},
    {row:image}, {conn}; {{ is a brace. Error replies are counted by their first word and are
    never in the latencies.
    """
    total = _connections(threads, connections, clients_per_thread)
    config = RunConfig(
        target=target,
        workload="command",
        dataset=dataset,
        threads=threads,
        connections=total,
        pipeline=pipeline,
        rate_per_s=rate,
        profile=profile,
        arrivals_file=arrivals_file,
        arrivals=arrivals,
        max_outstanding=max_outstanding,
        spin=spin,
        duration_s=duration,
        requests=_requests(requests, requests_per_client, total or threads),
        warmup_s=warmup,
        repetitions=repetitions,
        timeout_s=timeout,
        cpus=parse_cpus(cpus),
        pin=pin,
        max_errors=max_errors,
        fail_fast=fail_fast,
        seed=seed,
        tls=tls_config(
            tls_ca, tls_cert, tls_key, tls_server_name, tls_min_version, insecure=tls_insecure
        ),
        out=out,
        command=CommandConfig(
            commands=_commands(words, commands),
            ratios=tuple(ratios or ()),
            key_prefix=key_prefix,
            key_minimum=key_minimum,
            key_maximum=key_maximum,
            data_size=data_size,
            db=db,
            resp=resp,
        ),
    )
    raise typer.Exit(execute(config, quiet=quiet, as_json=json))


def _commands(words: list[str] | None, quoted: list[str] | None) -> tuple[tuple[str, ...], ...]:
    if bool(words) == bool(quoted):
        msg = "give either one command after --, or --command one or more times"
        raise UsageError(msg)
    if words:
        return (tuple(words),)
    try:
        return tuple(tuple(shlex.split(line)) for line in quoted or ())
    except ValueError as error:
        msg = f"--command: {error}"
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
