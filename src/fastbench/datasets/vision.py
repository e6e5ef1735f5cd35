"""Photographs to tensors: the vision dataset."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fastbench.datasets import crops, fetch, manifest, npy, pool, procedural
from fastbench.datasets.base import Dataset, open_dataset
from fastbench.datasets.crops import CROP
from fastbench.datasets.images import ROW_BYTES, check_choice
from fastbench.datasets.npy import DATA_OFFSET
from fastbench.datasets.partial import DATA_FILE, PartialDataset, check_absent
from fastbench.datasets.sources import ImageSource, open_source
from fastbench.datasets.survey import Survey, plan, survey
from fastbench.datasets.versions import libraries, own_version
from fastbench.datasets.worker import Answer, Job, Task
from fastbench.errors import EXIT_INTERRUPTED, DatasetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fastbench.datasets.manifest import Skipped

    Progress = Callable[[int, int], None]

SAMPLE_FOLDER = "images"
MAX_SEED = 2**32 - 1
MAX_REUSE = 1_000_000
MAX_WORKERS = 1024
ROW_SHAPE = {"nhwc": (CROP, CROP, 3), "nchw": (3, CROP, CROP)}


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """What to make tensors of, and how.

    ``out``: folder to make. Exactly one source: ``images``, a folder or zip of JPEG or PNG files;
    ``fetch``, a public data set by name; ``sample``, that many generated, synthetic JPEGs.
    ``limit``: only the first files by name. ``reuse``: crops of each image. ``filter``: to resize
    with. ``layout``: ``nhwc`` or ``nchw``. ``normalize``: ``unit`` [0, 1], ``signed`` [-1, 1] or
    ``imagenet``. ``workers``: processes, without influence on the bytes; None = one per CPU.

    Raises :class:`UsageError` naming the option, its value and the remedy.
    """

    out: Path
    images: Path | None = None
    fetch: str | None = None
    sample: int | None = None
    seed: int = 12345
    limit: int | None = None
    reuse: int = 1
    filter: str = "hamming"
    layout: str = "nhwc"
    normalize: str = "unit"
    workers: int | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        if [self.images, self.fetch, self.sample].count(None) != 2:  # noqa: PLR2004 - of three
            msg = "give exactly one of --images, --fetch and --sample: what to make tensors of"
            raise UsageError(msg)
        check_choice("filter", self.filter)
        check_choice("layout", self.layout)
        check_choice("normalize", self.normalize)
        for option, value, low, high in (
            ("sample", self.sample, 1, procedural.MAX_IMAGES),
            ("seed", self.seed, 0, MAX_SEED),
            ("limit", self.limit, 1, sys.maxsize),
            ("reuse", self.reuse, 1, MAX_REUSE),
            ("workers", self.workers, 1, MAX_WORKERS),
        ):
            if value is not None and not low <= value <= high:
                msg = f"--{option} {value}: must be between {low} and {high}"
                raise UsageError(msg)
        if self.fetch is not None and self.fetch not in fetch.ARCHIVES:
            msg = f"--fetch {self.fetch!r}: must be one of {', '.join(fetch.ARCHIVES)}"
            raise UsageError(msg)

    @property
    def settings(self) -> manifest.Settings:
        """The part of it that the manifest records."""
        return manifest.Settings(
            seed=self.seed,
            filter=self.filter,
            layout=self.layout,
            normalize=self.normalize,
            limit=self.limit,
            reuse=self.reuse,
            side=crops.SIDE,
            crop=crops.CROP,
        )


def build(config: VisionConfig, progress: Progress | None = None) -> Dataset:
    """Make a dataset, or go on with one that was interrupted, and open it.

    ``progress`` is called with (images done, images in all). An image that cannot be read is left
    out and named in ``manifest.skipped``. The dataset appears at ``config.out`` only when it is
    whole; Ctrl-C or a kill leaves ``OUT.partial``, from which the same call goes on.

    Raises :class:`UsageError` where ``out`` exists, :class:`DatasetError` where there is no usable
    image, no disk space, or nothing can be written.
    """
    check_absent(config.out)
    archive = None if config.fetch is None else fetch.fetch_archive(config.fetch)
    with PartialDataset(config.out) as partial:
        try:
            _fill(config, partial, archive, progress or _no_progress)
        except KeyboardInterrupt as error:
            partial.keep = True
            interrupted = DatasetError(
                f"interrupted; the same command goes on from {partial.path} where this one stopped"
            )
            interrupted.exit_code = EXIT_INTERRUPTED
            raise interrupted from error
    return open_dataset(config.out)


def _no_progress(done: int, total: int) -> None:
    pass


def _fill(
    config: VisionConfig, partial: PartialDataset, archive: Path | None, progress: Progress
) -> None:
    path = _source_path(config, partial, archive)
    source = open_source(path)
    found = survey(source, config.limit)
    if not found.names:
        raise _no_usable_image(path, found.skipped)
    partial.reserve(len(found.names) * config.reuse, ROW_BYTES)

    answers = _resume(config, partial, found)
    total = len(found.names)
    progress(len(answers), total)
    job = Job(
        source=str(path),
        data=str(partial.data_path),
        filter=config.filter,
        layout=config.layout,
        normalize=config.normalize,
    )
    tasks = list(plan(found, config.settings))
    due = [task for task in tasks if task.index not in answers]
    encoder = msgspec.json.Encoder()
    with closing(pool.run(job, due, len(due), config.workers)) as running:
        for answer in running:
            partial.log(encoder.encode(answer) + b"\n")
            answers[answer.index] = answer
            progress(len(answers), total)
    _finish(config, partial, source, found.skipped, tasks, answers)


def _source_path(config: VisionConfig, partial: PartialDataset, archive: Path | None) -> Path:
    if config.sample is not None:
        folder = partial.path / SAMPLE_FOLDER
        procedural.write_images(folder, config.sample)
        return folder
    path = archive or config.images
    assert path is not None  # noqa: S101 - exactly one source was given
    return path


def _resume(config: VisionConfig, partial: PartialDataset, found: Survey) -> dict[int, Answer]:
    """Take from the journal what an earlier run did, as far as its rows still hash to it."""
    job = hashlib.sha256(
        msgspec.json.encode([config.settings, libraries(), found.names, found.sizes, found.stamps])
    )
    head = job.hexdigest().encode() + b"\n"
    lines = partial.read_journal()
    answers: dict[int, Answer] = {}
    if lines[:1] == [head]:
        with partial.data_path.open("rb") as data:
            for answer in _journalled(lines[1:], len(found.names), config.reuse):
                if _is_there(answer, data.fileno(), config.reuse):
                    answers[answer.index] = answer
    else:
        partial.clear(DATA_FILE, *([SAMPLE_FOLDER] if config.sample is not None else []))
    encoded = [msgspec.json.encode(answer) + b"\n" for answer in answers.values()]
    partial.restart_journal([head, *encoded])
    return answers


def _journalled(lines: list[bytes], images: int, reuse: int) -> Iterator[Answer]:
    """Yield the answers of a journal, up to a line that makes no sense."""
    for line in lines:
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        whole = bool(answer.bad) or len(answer.tensors) == reuse
        if 0 <= answer.index < images and whole:
            yield answer


def _is_there(answer: Answer, data: int, reuse: int) -> bool:
    first = DATA_OFFSET + answer.index * reuse * ROW_BYTES
    return all(
        hashlib.sha256(os.pread(data, ROW_BYTES, first + i * ROW_BYTES)).hexdigest() == expected
        for i, expected in enumerate(answer.tensors)
    )


def _finish(
    config: VisionConfig,
    partial: PartialDataset,
    source: ImageSource,
    unread: list[Skipped],
    tasks: list[Task],
    answers: dict[int, Answer],
) -> None:
    good = [task for task in tasks if not answers[task.index].bad]
    bad = [_skipped(task, answers[task.index]) for task in tasks if answers[task.index].bad]
    skipped = sorted(unread + bad, key=lambda s: s.name)
    if not good:
        raise _no_usable_image(source.path, skipped)
    if bad:
        _close_gaps(partial, good)
    shape = (len(good) * config.reuse, *ROW_SHAPE[config.layout])
    kind = "sample" if config.sample is not None else source.kind
    path = SAMPLE_FOLDER if config.sample is not None else str(source.path.resolve())
    whole = manifest.Manifest(
        format=manifest.FORMAT,
        version=manifest.VERSION,
        fastbench_version=own_version(),
        synthetic=config.sample is not None,
        description=_description(config, len(good), source.path),
        source=manifest.Source(kind=kind, path=path),
        settings=config.settings,
        libraries=libraries(),
        array=manifest.Array(
            file=DATA_FILE,
            dtype="float32",
            shape=list(shape),
            layout=config.layout,
            offset=DATA_OFFSET,
        ),
        images=[_image(task, answers[task.index]) for task in good],
        tensors=[tensor for task in good for tensor in _tensors(task, answers[task.index])],
        skipped=skipped,
    )
    partial.publish(whole, {DATA_FILE: npy.header(shape)})


def _close_gaps(partial: PartialDataset, good: list[Task]) -> None:
    """Move rows up over those of skipped images. Moving cannot be resumed: the journal goes."""
    partial.restart_journal([])
    old_rows = (task.row + i for task in good for i in range(len(task.corners)))
    row = 0
    with partial.data_path.open("r+b") as file:
        for row, old_row in enumerate(old_rows, start=1):
            if row - 1 != old_row:
                data = os.pread(file.fileno(), ROW_BYTES, DATA_OFFSET + old_row * ROW_BYTES)
                os.pwrite(file.fileno(), data, DATA_OFFSET + (row - 1) * ROW_BYTES)
        file.truncate(DATA_OFFSET + row * ROW_BYTES)


def _skipped(task: Task, answer: Answer) -> Skipped:
    width, height = task.size
    return manifest.Skipped(name=task.name, reason=answer.bad, width=width, height=height)


def _image(task: Task, answer: Answer) -> manifest.Image:
    width, height = task.size
    return manifest.Image(name=task.name, sha256=answer.sha256, width=width, height=height)


def _tensors(task: Task, answer: Answer) -> Iterable[manifest.Tensor]:
    for (x, y), sha256 in zip(task.corners, answer.tensors, strict=True):
        yield manifest.Tensor(sha256=sha256, image=task.name, x=x, y=y)


def _description(config: VisionConfig, images: int, path: Path) -> str:
    crops_each = "" if config.reuse == 1 else f", {config.reuse} crops of each"
    if config.sample is not None:
        return f"{images} synthetic images made by fastbench{crops_each}"
    return f"{images} images of {config.fetch or path.name}{crops_each}"


def _no_usable_image(path: Path, skipped: list[Skipped]) -> DatasetError:
    first = skipped[0]
    return DatasetError(
        f"{path}: none of {len(skipped)} images can be used; {first.name}: {first.reason}"
    )
