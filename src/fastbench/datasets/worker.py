"""Makes tensors, one image at a time; as a program, for a parent that speaks JSON lines.

A worker process gets one Job, then Tasks, on its standard input, and answers each task with one
Answer on its standard output. It ends when its input does, so it never outlives its parent.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fastbench.datasets.images import (
    ROW_BYTES,
    BadImageError,
    CropConverter,
    decode,
    resize,
)
from fastbench.datasets.npy import DATA_OFFSET
from fastbench.datasets.sources import open_source

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Answer", "Job", "Preparer", "Task"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for every image. ``data``: the file to fill; None = only hash."""

    source: str
    data: str | None
    filter: str
    layout: str
    normalize: str


class Task(msgspec.Struct, frozen=True):
    """One image: its number and name, the size that its corners were drawn for, the first row."""

    index: int
    name: str
    size: tuple[int, int]
    row: int
    corners: list[tuple[int, int]]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one image: the hashes of file and tensors, or why there are none.

    ``bad``: the image cannot be used; ``failed``: the data file could not be written.
    """

    index: int
    sha256: str = ""
    tensors: list[str] = []
    bad: str = ""
    failed: str = ""


class Preparer:
    """Carries out tasks of one job."""

    def __init__(self, job: Job) -> None:
        """Open the source and the file to fill."""
        self._source = open_source(Path(job.source))
        self._filter = job.filter
        self._converter = CropConverter(job.normalize, job.layout)
        self._file = None if job.data is None else os.open(job.data, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def prepare(self, task: Task) -> Answer:
        """Read, decode, resize, crop, convert, write and hash one image."""
        try:
            data = self._source.read(task.name)
            image = decode(data)
            if image.size != task.size:
                return Answer(task.index, bad="changed while it was being read")
            tensors = self._write_crops(resize(image, self._filter), task)
        except BadImageError as error:
            return Answer(task.index, bad=str(error))
        except OSError as error:
            return Answer(task.index, failed=error.strerror or str(error))
        return Answer(task.index, sha256=hashlib.sha256(data).hexdigest(), tensors=tensors)

    def _write_crops(self, image: Image.Image, task: Task) -> list[str]:
        hashes = []
        for row, (x, y) in enumerate(task.corners, start=task.row):
            self._converter.convert(image, x, y)
            if self._file is not None:
                _write(self._file, self._converter.data, DATA_OFFSET + row * ROW_BYTES)
            hashes.append(hashlib.sha256(self._converter.data).hexdigest())
        return hashes


def _write(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data = data[written:]
        offset += written


def main() -> None:
    """Serve the parent process until it closes our input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    lines = sys.stdin.buffer
    answers = sys.stdout.buffer
    encoder = msgspec.json.Encoder()
    tasks = msgspec.json.Decoder(Task)
    preparer = Preparer(msgspec.json.decode(lines.readline(), type=Job))
    for line in lines:
        answers.write(encoder.encode(preparer.prepare(tasks.decode(line))) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
