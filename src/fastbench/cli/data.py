"""``fastbench data``: make, check and exchange datasets."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastbench.cli.reference import load_reference
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from fastbench.datasets.base import Dataset
    from fastbench.datasets.fraud import FraudDataset

app = typer.Typer(no_args_is_help=True, help="Make, check and exchange datasets.")

app.command("load-reference")(load_reference)

_DATASET = typer.Argument(help="Folder of the dataset.", metavar="DIR")


class Format(StrEnum):
    """File formats of other programs that are written and read."""

    AIBENCH = "aibench"
    AIBENCH_FRAUD = "aibench-fraud"


class Imported(StrEnum):
    """Those that are read."""

    AIBENCH = "aibench"
    AIBENCH_FRAUD = "aibench-fraud"
    NPY = "npy"


@app.command()
def vision(
    *,
    images: Annotated[
        Path | None, typer.Option(help="Folder or zip of JPEG or PNG images.", metavar="PATH")
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(help="Public data set to download: coco-val2017.", metavar="NAME")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Generate that many synthetic JPEGs.", metavar="N")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")] = Path(
        "vision-dataset"
    ),
    filter_name: Annotated[
        str,
        typer.Option(
            "--filter",
            help="hamming | box | bilinear | bicubic | lanczos | nearest",
            metavar="NAME",
        ),
    ] = "hamming",
    layout: Annotated[str, typer.Option(help="nhwc | nchw", metavar="NAME")] = "nhwc",
    normalize: Annotated[
        str,
        typer.Option(help="unit [0,1] | signed [-1,1] | imagenet (mean, std)", metavar="NAME"),
    ] = "unit",
    seed: Annotated[int, typer.Option(help="Of the crop corners.")] = 12345,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N files by name.", metavar="N")
    ] = None,
    reuse: Annotated[int, typer.Option(help="Crops of each image.", metavar="K")] = 1,
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one per CPU.", metavar="N")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Exit 0 though images were skipped.")
    ] = False,
) -> None:
    """Turn photographs into tensors: resized, cropped to 224 x 224, float32."""
    from fastbench.datasets.fetch import fetch_archive
    from fastbench.datasets.progress import progress_bar
    from fastbench.datasets.vision import VisionConfig, build

    config = VisionConfig(
        out=out,
        images=images,
        fetch=fetch,
        sample=sample,
        seed=seed,
        limit=limit,
        reuse=reuse,
        filter=filter_name,
        layout=layout,
        normalize=normalize,
        workers=workers,
    )
    if fetch is not None:
        with progress_bar("Downloading", "bytes") as progress:
            fetch_archive(fetch, progress)
    with progress_bar("Preparing", "images") as progress:
        dataset = build(config, progress)
    _say_dataset(dataset)
    _say_skipped(dataset, accepted=skip_bad)


@app.command()
def fraud(
    *,
    csv: Annotated[
        Path | None,
        typer.Option(help="Kaggle's creditcard.csv or creditcard.csv.gz.", metavar="FILE"),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Generate that many synthetic transactions.", metavar="N")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")] = Path(
        "fraud-dataset"
    ),
    rows: Annotated[
        int | None,
        typer.Option(
            help="Only so many of the file; where it has fewer, it is read again.", metavar="N"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of reference data and synthetic transactions.")] = (
        12345
    ),
) -> None:
    """Turn card transactions into tensors: 30 values each, and 256 of reference data."""
    from fastbench.datasets.fraud import FraudConfig, build_fraud
    from fastbench.datasets.progress import progress_bar

    config = FraudConfig(out=out, csv=csv, sample=sample, rows=rows, seed=seed)
    with progress_bar("Preparing", "transactions") as progress:
        _say_transactions(build_fraud(config, progress))


@app.command()
def verify(
    dataset: Annotated[Path, _DATASET],
    *,
    images: Annotated[
        Path | None,
        typer.Option(help="What it was made from: recompute every step.", metavar="PATH"),
    ] = None,
) -> None:
    """Recompute hashes, and with the images every step, and compare with the manifest."""
    from fastbench.datasets.fraud_verify import verify_fraud
    from fastbench.datasets.manifest import kind_of
    from fastbench.datasets.progress import progress_bar
    from fastbench.datasets.verify import verify as verify_images

    run_verify = verify_fraud if kind_of(dataset) == "fraud" else verify_images
    with progress_bar("Verifying", "steps") as progress:
        verified = run_verify(dataset, images, progress)
    for difference in verified.differences:
        typer.echo("".join(c if c.isprintable() else "?" for c in difference))
    if verified.differences:
        msg = f"{dataset}: {len(verified.differences)} differences from its manifest"
        raise DatasetError(msg)
    sources = f" and {verified.images} source images" if verified.images else ""
    typer.echo(f"{dataset}: {verified.rows} rows{sources} are as the manifest says")


@app.command()
def export(
    dataset: Annotated[Path, _DATASET],
    *,
    out: Annotated[Path, typer.Option(help="File to write.", metavar="FILE")],
    format_name: Annotated[Format, typer.Option("--format", help="Format of the file.")],
) -> None:
    """Write a dataset in another program's format."""
    from fastbench.datasets.aibench import export_aibench
    from fastbench.datasets.fraud_aibench import export_fraud_aibench
    from fastbench.datasets.progress import progress_bar

    run_export = export_fraud_aibench if format_name is Format.AIBENCH_FRAUD else export_aibench
    with progress_bar("Exporting", "rows") as progress:
        rows = run_export(dataset, out, progress)
    typer.echo(f"{out}: {rows} rows in the format of {format_name.value}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="File to read.", metavar="FILE")],
    *,
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR")],
    format_name: Annotated[
        Imported,
        typer.Option(
            "--format", help="Of the file; npy: an array of float32, a row for each sample."
        ),
    ] = Imported.AIBENCH,
) -> None:
    """Make a dataset of another program's file."""
    from fastbench.datasets.aibench import import_aibench
    from fastbench.datasets.arrays import import_npy
    from fastbench.datasets.fraud_aibench import import_fraud_aibench
    from fastbench.datasets.progress import progress_bar

    with progress_bar(f"Importing from {format_name.value}", "rows") as progress:
        if format_name is Imported.AIBENCH_FRAUD:
            _say_transactions(import_fraud_aibench(file, out, progress))
        else:
            read = import_npy if format_name is Imported.NPY else import_aibench
            _say_dataset(read(file, out, progress))


def _say_dataset(dataset: Dataset) -> None:
    shape = " x ".join(str(length) for length in (dataset.rows, *dataset.row_shape))
    typer.echo(f"{dataset.path}: {shape} {dataset.dtype}, {dataset.description}")


def _say_transactions(dataset: FraudDataset) -> None:
    columns, values = dataset.transactions.row_shape[0], dataset.references.row_shape[0]
    typer.echo(
        f"{dataset.path}: {dataset.rows} x {columns} and {values} {dataset.transactions.dtype}, "
        f"{dataset.manifest.description}"
    )


def _say_skipped(dataset: Dataset, *, accepted: bool) -> None:
    skipped = dataset.manifest.skipped
    for image in skipped:
        typer.echo(f"skipped {image.name!r}: {image.reason}", err=True)
    if skipped and not accepted:
        msg = (
            f"{dataset.path}: made without {len(skipped)} unusable images, named above; "
            f"--skip-bad accepts that"
        )
        raise DatasetError(msg)
