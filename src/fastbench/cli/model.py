"""``fastbench model``: what models there are, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Build and describe models.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the models that fastbench builds itself."""
    from fastbench.models import builtin_names

    for name in builtin_names():
        typer.echo(name)


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="A name from `fastbench model list`.")],
    out: Annotated[Path | None, typer.Option(help="ONNX file to write [NAME.onnx].")] = None,
) -> None:
    """Write a built-in model to an ONNX file; always the same bytes."""
    from fastbench.models import build_file

    path = out or Path(f"{name}.onnx")
    build_file(name, path)
    typer.echo(path)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Name of a built-in model, or a model file.")],
    backend: Annotated[str | None, typer.Option(help="TF, TFLITE, TORCH or ONNX.")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="Input tensor.")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", help="Output tensor.")] = None,
) -> None:
    """Describe a model: backend, tensors, size, cost."""
    from fastbench.models import describe, load_model

    for line in describe(load_model(model, backend, tuple(inputs or ()), tuple(outputs or ()))):
        typer.echo(line)
