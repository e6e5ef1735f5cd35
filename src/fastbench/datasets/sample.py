"""The datasets of a run that names none: small synthetic ones, made once and kept."""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING, TypeVar

from fastbench.cache import cache_folder
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.fraud import FraudConfig, FraudDataset, build_fraud, open_fraud
from fastbench.datasets.versions import libraries, numeric_libraries
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int], None]

SAMPLE_IMAGES = 64
SAMPLE_TRANSACTIONS = 10_000

_Kept = TypeVar("_Kept", Dataset, FraudDataset)


def default_sample(progress: Progress | None = None) -> Dataset:
    """Open the synthetic sample of SAMPLE_IMAGES images, making it first where it is missing.

    Of two processes that need it at once, one makes it and the other waits. One that is damaged
    or was made by other versions of the libraries is made again.

    Raises :class:`DatasetError` where the cache folder cannot be written.
    """
    return _kept(
        f"vision-sample-{SAMPLE_IMAGES}",
        open_dataset,
        lambda out: build(VisionConfig(out=out, sample=SAMPLE_IMAGES), progress),
        libraries,
    )


def default_transactions() -> FraudDataset:
    """Open the sample of SAMPLE_TRANSACTIONS synthetic transactions, as :func:`default_sample`."""
    return _kept(
        f"fraud-sample-{SAMPLE_TRANSACTIONS}",
        open_fraud,
        lambda out: build_fraud(FraudConfig(out=out, sample=SAMPLE_TRANSACTIONS)),
        numeric_libraries,
    )


def _kept(
    name: str,
    open_: Callable[[Path], _Kept],
    make: Callable[[Path], _Kept],
    versions: Callable[[], dict[str, str]],
) -> _Kept:
    folder = cache_folder()
    out = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{out.name}.lock").open("a")
    except OSError as error:
        msg = f"{folder}: cannot be written: {error.strerror}; set XDG_CACHE_HOME or give --dataset"
        raise DatasetError(msg) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            dataset = open_(out)
            if dataset.manifest.libraries == versions():
                return dataset
        except DatasetError:
            pass  # missing or damaged: made below
        shutil.rmtree(out, ignore_errors=True)
        return make(out)
