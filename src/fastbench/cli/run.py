"""``fastbench run``: the main job, from options to a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument, Exit, Option

from fastbench.cli import options
from fastbench.cli.execute import execute
from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login

if TYPE_CHECKING:
    from fastbench.config import RunConfig


class What(Group):
    """What is sent to what."""

    PANEL: ClassVar[str] = "What is sent"

    target: Annotated[
        str,
        Argument(
            help="redisai://\\[user@]host:port, redisais:// for TLS, redisai+unix:///path, "
            "rest://host:port/path, rests:// for TLS, triton+http://host:port/MODEL, "
            "tfserving+http://…, torchserve://…, triton+grpc://…, tfserving+grpc://…, "
            "torchserve+grpc://…, or embedded: (default).",
        ),
    ] = "embedded:"
    config: Annotated[
        Path | None,
        Option(help="TOML file with values for all this, and with streams; see docs/streams.md."),
    ] = None
    workload: Annotated[str, Option(help="vision: images; fraud: card transactions.")] = "vision"
    dataset: Annotated[
        Path | None,
        Option(help="Folder made by 'fastbench data'. Default: a synthetic sample."),
    ] = None
    model: Annotated[
        str | None,
        Option(help="Built-in model or model file. Default: mobilenet_v1_100_224, fraud."),
    ] = None
    backend: Annotated[
        str | None, Option(help="TF, TFLITE, TORCH or ONNX. Default: from the file.")
    ] = None
    inputs: Annotated[
        list[str] | None,
        Option("--input", help="Input name of the model (TF; over HTTP if the server is silent)."),
    ] = None
    outputs: Annotated[
        list[str] | None, Option("--output", help="Output name of the model (TF).")
    ] = None
    device: Annotated[str, Option(help="cpu, gpu or gpu:N of the server.")] = "cpu"
    reference: Annotated[
        bool,
        Option(
            "--reference/--no-reference",
            help="fraud: whether the model also takes reference data, from RedisAI's keys or "
            "--reference-from.",
        ),
    ] = True
    models: Annotated[
        int, Option(help="Keys to store the model under; inferences take them in turn.")
    ] = 1
    reference_from: Annotated[
        str | None,
        Option(
            metavar="URL",
            help="fraud: Redis that each inference gets its reference data from first.",
        ),
    ] = None
    batch: Annotated[int, Option(help="Images or transactions per inference.")] = 1
    form: Annotated[
        str,
        Option(
            help="pipeline: TENSORSET, MODELEXECUTE, TENSORGET in one write; dag: one DAG; "
            "dag-ro: the read-only DAG; execute: only MODELEXECUTE; script: a DAG with the "
            "functions of --script around the model.",
        ),
    ] = "pipeline"
    script: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="TorchScript with the functions pre_process, post_process or both.",
        ),
    ] = None
    persist: Annotated[
        bool, Option("--persist", help="The DAG also writes the answer to a key (PERSIST).")
    ] = False
    server_timeout_ms: Annotated[
        int,
        Option(
            "--server-timeout",
            help="Milliseconds after which the server gives up what it has not begun (TIMEOUT); "
            "counted as time-outs. 0: never.",
        ),
    ] = 0
    server_batch: Annotated[
        int,
        Option(
            help="The server itself gathers up to that many samples into one run of the model "
            "(RedisAI's BATCHSIZE). 0: it does not."
        ),
    ] = 0
    server_min_batch: Annotated[
        int, Option(help="It waits until it has that many (MINBATCHSIZE). 0: it does not.")
    ] = 0
    server_min_batch_timeout_ms: Annotated[
        int,
        Option(
            "--server-min-batch-timeout",
            help="But at most that many milliseconds (MINBATCHTIMEOUT). 0: without end.",
        ),
    ] = 0
    dialect: Annotated[
        str,
        Option(help="modern, or legacy: AI.MODELRUN and AI.DAGRUN as aibench sends them."),
    ] = "modern"
    body: Annotated[
        str | None,
        Option(
            help="Of requests over HTTP or gRPC: raw (the tensor's bytes), json, json-columns, "
            "multipart or typed, as the server takes them. Default: raw where it does."
        ),
    ] = None
    shm: Annotated[
        bool,
        Option(
            "--shm",
            help="Triton on this machine: rows and outputs lie in system shared memory, a request "
            "only says where.",
        ),
    ] = False
    headers: Annotated[
        list[str] | None,
        Option(
            "--header", help="Field of requests over HTTP or gRPC, 'Name: value'; may be repeated."
        ),
    ] = None


class Output(options.Output):
    """What becomes of the result, and whether the answers were right."""

    PANEL: ClassVar[str] = options.OUTPUT

    verify: Annotated[
        str,
        Option(
            metavar="N|all",
            help="Replies per repetition to compare with onnxruntime. all: every one, as fast as "
            "this machine can, beside the run.",
        ),
    ] = "0"


@gathers(What, options.Load, options.Ends, options.Tls, Login, options.Proof, Output)
def run(given: Given) -> None:
    """Drive a model server and report throughput and latency.

    Without TARGET it starts the embedded server, loads MobileNet V1 and sends a synthetic sample.
    """
    raise Exit(execute(configuration(given), given))


def configuration(given: Given) -> RunConfig:
    """Return what the options say together."""
    return options.run_config(given)
