"""``fastbench run``: the main job, from options to a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli import options
from fastbench.cli.execute import execute
from fastbench.cli.options import parse_cpus, tls_config
from fastbench.config import RunConfig

WHAT = "What is sent"


def run(
    target: Annotated[
        str,
        typer.Argument(
            help="redisai://[user@]host:port, redisais:// for TLS, redisai+unix:///path or "
            "embedded: (default). "
            "The password comes from FASTBENCH_PASSWORD."
        ),
    ] = "embedded:",
    workload: Annotated[
        str, typer.Option(help="vision: image classification.", rich_help_panel=WHAT)
    ] = "vision",
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Folder made by 'fastbench data'. Default: a synthetic sample.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Built-in model or model file.", rich_help_panel=WHAT)
    ] = "mobilenet_v1_100_224",
    backend: Annotated[
        str | None,
        typer.Option(
            help="TF, TFLITE, TORCH or ONNX. Default: from the file.", rich_help_panel=WHAT
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Input name of the model (TF).", rich_help_panel=WHAT),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", help="Output name of the model (TF).", rich_help_panel=WHAT),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, gpu or gpu:N of the server.", rich_help_panel=WHAT)
    ] = "cpu",
    batch: Annotated[int, typer.Option(help="Images per inference.", rich_help_panel=WHAT)] = 1,
    form: Annotated[
        str,
        typer.Option(
            help="pipeline: TENSORSET, MODELEXECUTE, TENSORGET in one write; dag: one DAG; "
            "execute: only MODELEXECUTE.",
            rich_help_panel=WHAT,
        ),
    ] = "pipeline",
    dialect: Annotated[
        str,
        typer.Option(
            help="modern, or legacy: AI.MODELRUN and AI.DAGRUN as aibench sends them.",
            rich_help_panel=WHAT,
        ),
    ] = "modern",
    threads: options.Threads = 1,
    connections: options.Connections = None,
    pipeline: options.Pipeline = 1,
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
    requests: options.Requests = None,
    warmup: options.Warmup = 1.0,
    repetitions: options.Repetitions = 3,
    timeout: options.Timeout = 30.0,
    max_errors: options.MaxErrors = None,
    fail_fast: options.FailFast = False,
    verify: Annotated[
        int,
        typer.Option(
            help="Replies per repetition to compare with onnxruntime.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = 0,
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
    """Drive a model server and report throughput and latency.

    Without TARGET it starts the embedded server, loads MobileNet V1 and sends a synthetic sample.
    """
    config = RunConfig(
        target=target,
        workload=workload,
        dataset=dataset,
        model=model,
        backend=backend,
        inputs=tuple(inputs or ()),
        outputs=tuple(outputs or ()),
        device=device,
        threads=threads,
        connections=connections,
        pipeline=pipeline,
        rate_per_s=rate,
        profile=profile,
        arrivals_file=arrivals_file,
        arrivals=arrivals,
        max_outstanding=max_outstanding,
        spin=spin,
        batch=batch,
        duration_s=duration,
        requests=requests,
        warmup_s=warmup,
        repetitions=repetitions,
        timeout_s=timeout,
        cpus=parse_cpus(cpus),
        pin=pin,
        form=form,
        dialect=dialect,
        verify=verify,
        max_errors=max_errors,
        fail_fast=fail_fast,
        seed=seed,
        tls=tls_config(
            tls_ca, tls_cert, tls_key, tls_server_name, tls_min_version, insecure=tls_insecure
        ),
        out=out,
    )
    raise typer.Exit(execute(config, quiet=quiet, as_json=json))
