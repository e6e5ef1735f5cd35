"""``fastbench data load-reference``: the reference data of a fraud dataset into a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli.gather import Given, Group, gathers
from fastbench.cli.login import Login, take_password
from fastbench.cli.options import Tls, tls_config


class _What(Group):
    """Which rows go where, in which form."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="redisai://\\[user@]host:port and its like; for blobs alone also redis://.",
        ),
    ]
    dataset: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder made by 'fastbench data fraud'.")
    ]
    tensors: Annotated[
        bool, typer.Option("--tensors", help="As referenceTensor:{id}. Default: both.")
    ] = False
    blobs: Annotated[bool, typer.Option("--blobs", help="As referenceBLOB:{id}.")] = False


@gathers(_What, Tls, Login)
def load_reference(given: Given) -> None:
    """Put a dataset's reference data into a server; rows that it holds are not sent again."""
    from fastbench.datasets.fraud import open_fraud
    from fastbench.datasets.progress import progress_bar
    from fastbench.servers.references import BLOBS, TENSORS, load_references

    said = given.values
    take_password(given)
    tls = tls_config(given)
    forms = [form for form in (TENSORS, BLOBS) if said[form]] or [TENSORS, BLOBS]
    references = open_fraud(said["dataset"]).references
    with progress_bar("Loading", "rows") as progress:
        done = load_references(said["target"], references, forms, tls, progress)
    typer.echo(f"{said['target']}: reference data as {' and '.join(forms)}: {done}")
