"""``journal.jsonl``: what a run has measured so far, for the case that it is killed.

A line of JSON each: the head of the run, the begin of a repetition, each of its intervals, and the
repetition when it is whole. A line is appended by one ``write`` as soon as it is known, by the
thread that collects; worker threads never wait for it. The kernel keeps what was written when the
process is killed; against a power cut the head and each whole repetition are also synchronised
with the disk, single intervals are not, for that could stall the collector. The file is locked
while the run lasts and removed when ``result.json`` stands.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from fastbench import latency
from fastbench.measured import COUNTED
from fastbench.results import DatasetInfo, Placement, Repetition, StreamInfo, TargetInfo
from fastbench.series import HistogramSum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastbench.series import Closed

FILENAME = "journal.jsonl"


class Spectrum(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A :class:`fastbench.series.HistogramSum`: ``histogram`` is HdrHistogram V2 in base64."""

    histogram: str = ""
    total: int = 0
    clipped: int = 0
    min_ns: int | None = None
    max_ns: int = 0
    sum_ns: float = 0.0

    @classmethod
    def of(cls, sums: HistogramSum, histogram: str = "") -> Spectrum:
        """Write down ``sums``; ``histogram``: where it is encoded already."""
        if not sums.total:
            histogram = ""
        return cls(
            histogram=histogram or (latency.encode(sums.counts) if sums.total else ""),
            total=sums.total,
            clipped=sums.clipped,
            min_ns=sums.min_ns,
            max_ns=sums.max_ns,
            sum_ns=sums.sum_ns,
        )

    def sums(self) -> HistogramSum:
        """Return what was written down."""
        sums = HistogramSum()
        sums.counts = latency.merge([self.histogram])
        sums.total, sums.clipped = self.total, self.clipped
        sums.min_ns, sums.max_ns, sums.sum_ns = self.min_ns, self.max_ns, self.sum_ns
        return sums


class Line(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag=str.lower
):
    """A line of the journal; ``kind`` is the name of its class in small letters."""


class Head(Line, frozen=True, kw_only=True, omit_defaults=True):
    """The first line: the fields of :class:`fastbench.results.Result` that are known before."""

    schema_version: int
    fastbench_version: str
    started_at: str
    config: dict[str, Any]
    platform: dict[str, Any]
    target: TargetInfo
    dataset: DatasetInfo | None = None
    streams: list[StreamInfo] = []
    placement: Placement | None = None


class Begin(Line, frozen=True, kw_only=True, omit_defaults=True):
    """A repetition begins. ``duration_s``: of measure; None = it ends by a number of requests.

    ``batch``: samples in one inference; ``target_per_s``: the rate asked for, None = closed loop.
    ``batches``, ``targets``: the same by the name of the stream, where there are several.
    """

    index: int
    started_at: str
    batch: int = 1
    batches: dict[str, int] = {}
    duration_s: float | None = None
    target_per_s: float | None = None
    targets: dict[str, float] = {}


class Moment(Line, frozen=True, kw_only=True, omit_defaults=True):
    """An interval of the repetition begun last, of one stream; instants as in ``Interval``."""

    at_s: float  # when it was written, Unix time
    stream: str = ""  # its name, where there are several
    start_s: float
    end_s: float
    completed: int = 0
    ok: int = 0
    errors: int = 0
    timeouts: int = 0
    lost: int = 0
    response: Spectrum = Spectrum()
    service: Spectrum = Spectrum()
    lag: Spectrum = Spectrum()


class Whole(Line, frozen=True, kw_only=True, omit_defaults=True):
    """A repetition that has ended, as it goes into the result."""

    repetition: Repetition


class Journal:
    """Appends to a new file ``path``; raises OSError where it cannot, or where it is there.

    Once it is open a full disk does not end the run: the rest of the repetition is then left out,
    and whole repetitions are still tried. What was cut off half-way is taken back.
    """

    def __init__(self, path: Path, head: Head) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._path = path
        self._fd = os.open(path, flags, 0o644)
        self._failed = False
        self.measured = False  # whether there is more than heads in it
        try:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(head)
            os.fsync(self._fd)
        except OSError:
            self.remove()
            raise

    def begin(self, begin: Begin) -> None:
        """Note that a repetition begins."""
        self._failed = False
        self._append(begin)

    def stream(self, name: str = "") -> Callable[[Closed], None]:
        """Return what takes the intervals of a stream as they are closed."""

        def add(closed: Closed) -> None:
            moment = _moment(name, closed)
            self._append(moment)
            counted = any(getattr(moment, outcome) for outcome in COUNTED)
            self.measured |= counted and not self._failed

        return add

    def whole(self, repetition: Repetition) -> None:
        """Note a repetition that has ended; then wait until the disk has all of it."""
        self._failed = False
        self._append(Whole(repetition=repetition))
        self.measured |= not self._failed
        with contextlib.suppress(OSError):
            os.fsync(self._fd)

    def close(self) -> None:
        """Write no more; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Close it and remove the file."""
        self.close()
        self._path.unlink(missing_ok=True)

    def _append(self, line: Line) -> None:
        if not self._failed:
            try:
                self._write(line)
            except OSError:
                self._failed = True

    def _write(self, line: Line) -> None:
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(self._fd).st_size
        try:
            _write_whole(self._fd, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise


def is_open(path: Path) -> bool:
    """Tell whether a run still writes the journal ``path``."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _write_whole(fd: int, data: bytes) -> None:
    """Write ``data`` at once; raises OSError also where only a part of it fits."""
    if os.write(fd, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _moment(stream: str, closed: Closed) -> Moment:
    interval = closed.interval
    return Moment(
        at_s=round(time.time(), 3),
        stream=stream,
        start_s=interval.start_s,
        end_s=interval.end_s,
        response=Spectrum.of(closed.response, interval.histogram),
        service=Spectrum.of(closed.service),
        lag=Spectrum.of(closed.lag),
        **{name: getattr(interval, name) for name in COUNTED},
    )
