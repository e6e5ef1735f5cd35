"""``fastbench model``: what models there are, what is in them, and into a server with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login, take_password
from fastbench.cli.options import Tls, tls_config
from fastbench.errors import UsageError

app = typer.Typer(help="Build, describe, load and check models.", no_args_is_help=True)


_Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of a built-in model, or a model file.")
]
_Backend = Annotated[
    str | None, typer.Option(help="TF, TFLITE, TORCH or ONNX. Default: from the file.")
]
_Inputs = Annotated[list[str] | None, typer.Option("--input", help="Input name of the model (TF).")]
_Outputs = Annotated[
    list[str] | None, typer.Option("--output", help="Output name of the model (TF).")
]
_Key = Annotated[
    str | None, typer.Option(help="Key in the server. Default: fastbench: and the model's name.")
]


@app.command("list")
def list_() -> None:
    """List the models that fastbench builds itself."""
    from fastbench.models import builtin_names

    for name in builtin_names():
        typer.echo(name)


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="A name from `fastbench model list`.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: NAME.onnx or NAME.pt.")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="ONNX; fraud and fraud_noreference also TORCH (needs PyTorch).")
    ] = "ONNX",
) -> None:
    """Write a built-in model to a file; an ONNX file has always the same bytes."""
    from fastbench.models import build_file

    path = out or Path(f"{name}.{'onnx' if backend == 'ONNX' else 'pt'}")
    build_file(name, path, backend)
    typer.echo(path)


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(help="mobilenet_v1_1.0_224_tf, _tflite, _opset8 or _opset11.")
    ],
) -> None:
    """Download a model with trained weights from zenodo, check it and keep it in the cache."""
    from fastbench.datasets.progress import progress_bar
    from fastbench.models import describe
    from fastbench.models.published import fetch_model

    with progress_bar("Downloading", "bytes") as progress:
        model, facts = fetch_model(name, progress)
    for line in describe(model):
        typer.echo(line)
    typer.echo(f"published      {facts.url}, {facts.size_bytes:,} bytes, MD5 {facts.md5}")
    typer.echo(f"fetched        {facts.fetched_at}")
    typer.echo(f"checked        {facts.checked}")


@app.command()
def show(
    model: _Model, backend: _Backend = None, inputs: _Inputs = None, outputs: _Outputs = None
) -> None:
    """Describe a model: backend, tensors, size, cost."""
    from fastbench.models import describe, load_model

    for line in describe(load_model(model, backend, tuple(inputs or ()), tuple(outputs or ()))):
        typer.echo(line)


_REDISAI = "redisai://\\[user@]host:port, redisais:// for TLS, or redisai+unix:///path"
_TORCHSERVE = "torchserve://host:port/MODEL\\[?management=PORT]"
_TRITON = "triton+http://host:port/MODEL, triton+grpc://host:port/MODEL, with https, grpcs for TLS"


class _Check(Group):
    """A model, a server, and where in it."""

    target: Annotated[str, typer.Argument(metavar="TARGET", help=f"{_REDISAI}.")]
    model: _Model
    key: _Key = None
    dataset: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its first row is sent. Default: random.")
    ] = None


class _Load(Group):
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help=f"{_REDISAI}; {_TRITON}, from its repository; {_TORCHSERVE}."
        ),
    ]
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Name of a built-in model, or a model file; for TorchServe a .mar file in its "
            "model store, or a URL; Triton's is in TARGET.",
        ),
    ] = None
    key: _Key = None
    device: Annotated[str, typer.Option(help="cpu, gpu or gpu:N of the server.")] = "cpu"
    tag: Annotated[str, typer.Option(help="A word that the server keeps beside it (TAG).")] = ""
    batch: Annotated[
        int,
        typer.Option(
            "--server-batch",
            help="The server itself gathers up to that many samples into one run of the model "
            "(BATCHSIZE). 0: it does not.",
        ),
    ] = 0
    min_batch: Annotated[
        int,
        typer.Option(
            "--server-min-batch",
            help="It waits until it has that many (MINBATCHSIZE). 0: it does not.",
        ),
    ] = 0
    min_batch_timeout_ms: Annotated[
        int,
        typer.Option(
            "--server-min-batch-timeout",
            help="But at most that many milliseconds (MINBATCHTIMEOUT). 0: without end.",
        ),
    ] = 0
    backend: _Backend = None
    inputs: _Inputs = None
    outputs: _Outputs = None


_BATCHING = ("batch", "min_batch_timeout_ms")
_STORING = _Load.__annotations__.keys() - {"target"}


class _Unload(Group):
    target: Annotated[str, typer.Argument(metavar="TARGET", help=f"{_TRITON}; {_TORCHSERVE}.")]


@app.command()
@gathers(_Load, Tls, Login)
def load(given: Given) -> None:
    """Store a model in a server and compare one inference with onnxruntime.

    A Triton (--model-control-mode=explicit) loads what is in its own repository, a TorchServe
    (--enable-model-api) an archive.
    """
    from fastbench import check as checks
    from fastbench import repository
    from fastbench.models import load_model
    from fastbench.servers.torchserve_control import Archive

    said = given.values
    take_password(given)
    tls = tls_config(given)
    if repository.has_one(said["target"], given.written & _STORING):
        batching = (said[n] if n in given.written else None for n in _BATCHING)
        archive = None if said["model"] is None else Archive(said["model"], *batching)
        for line in repository.load(said["target"], tls, archive):
            typer.echo(line)
        return
    if said["model"] is None:
        msg = f"{said['target']}: give the MODEL to store there, see 'fastbench model list'"
        raise UsageError(msg)
    chosen = load_model(said["model"], said["backend"], said["inputs"] or (), said["outputs"] or ())
    storing = {name: said[name] for name in ("tag", "batch", "min_batch", "min_batch_timeout_ms")}
    checked = checks.load(said["target"], chosen, said["device"], said["key"], tls, **storing)
    typer.echo(f"{said['target']}: stored {chosen.name} as {checked.key} on {said['device']}")
    typer.echo(checked)


@app.command()
@gathers(_Unload, Tls, Login)
def unload(given: Given) -> None:
    """Let Triton, run with --model-control-mode=explicit, or TorchServe forget a model."""
    from fastbench import repository

    take_password(given)
    for line in repository.unload(given.values["target"], tls_config(given)):
        typer.echo(line)


@app.command()
@gathers(_Check, Tls, Login)
def check(given: Given) -> None:
    """Compare one inference of a model that a server holds with onnxruntime."""
    from fastbench import check as checks
    from fastbench.models import load_model

    said = given.values
    take_password(given)
    tls = tls_config(given)
    model = load_model(said["model"])
    typer.echo(checks.check(said["target"], model, said["key"], said["dataset"], tls))
