"""The dataset of a run that names none: a small synthetic one, made once and kept."""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING

from fastbench.cache import cache_folder
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.versions import libraries
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_IMAGES = 64


def default_sample(progress: Callable[[int, int], None] | None = None) -> Dataset:
    """Open the synthetic sample of SAMPLE_IMAGES images, making it first where it is missing.

    Of two processes that need it at once, one makes it and the other waits. One that is damaged
    or was made by other versions of the libraries is made again.

    Raises :class:`DatasetError` where the cache folder cannot be written.
    """
    folder = cache_folder()
    out = folder / f"vision-sample-{SAMPLE_IMAGES}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{out.name}.lock").open("a")
    except OSError as error:
        msg = f"{folder}: cannot be written: {error.strerror}; set XDG_CACHE_HOME or give --dataset"
        raise DatasetError(msg) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            dataset = open_dataset(out)
            if dataset.manifest.libraries == libraries():
                return dataset
        except DatasetError:
            pass  # missing or damaged: made below
        shutil.rmtree(out, ignore_errors=True)
        return build(VisionConfig(out=out, sample=SAMPLE_IMAGES), progress)
