"""The journal: what is in it after each line, and what a full disk does to it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from support.journals import BEGIN, HEAD, fill
from support.sample_result import repetition, samples_ns

from fastbench.errors import UsageError
from fastbench.journal import Begin, Journal, Spectrum, is_open
from fastbench.salvage import salvage
from fastbench.series import HistogramSum

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.jsonl"


def test_every_line_is_there_as_soon_as_it_was_written(path: Path) -> None:
    """Another process sees each line at once and whole: nothing waits in a buffer."""
    journal = Journal(path, HEAD)
    sizes = [path.stat().st_size]
    journal.begin(BEGIN)
    sizes.append(path.stat().st_size)
    fill(journal, [samples_ns(1, 10), samples_ns(2, 10)])
    sizes.append(path.stat().st_size)
    journal.whole(repetition(1))
    sizes.append(path.stat().st_size)

    assert sizes == sorted(set(sizes))
    assert sizes[0] > 0
    assert path.read_bytes().count(b"\n") == 5
    journal.close()


def test_it_is_locked_while_it_is_written(path: Path) -> None:
    """A reader can tell a run that goes on from one that was killed."""
    journal = Journal(path, HEAD)
    assert is_open(path)

    journal.close()
    assert not is_open(path)


def test_an_existing_journal_is_not_touched(path: Path) -> None:
    """Two runs never write into one file."""
    path.write_text("another's")

    with pytest.raises(FileExistsError):
        Journal(path, HEAD)
    assert path.read_text() == "another's"


def test_measured_is_what_was_counted(path: Path) -> None:
    """Heads and empty intervals do not make a journal worth keeping."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    fill(journal, [samples_ns(1, 0)])
    assert not journal.measured

    fill(journal, [samples_ns(1, 1)])
    assert journal.measured
    journal.remove()
    assert not path.exists()


def test_full_disk_takes_the_torn_line_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is cut off again; the next whole repetition is written when it fits."""
    journal = Journal(path, HEAD)
    journal.begin(BEGIN)
    before = path.read_bytes()
    write = os.write

    def short(fd: int, data: bytes) -> int:
        return write(fd, data[:20])

    monkeypatch.setattr(os, "write", short)
    fill(journal, [samples_ns(1, 100)])
    assert path.read_bytes() == before
    assert not journal.measured

    monkeypatch.setattr(os, "write", write)
    fill(journal, [samples_ns(1, 100)])
    assert path.read_bytes() == before, "an interval after a gap would be a wrong series"
    journal.whole(repetition(1))
    journal.begin(Begin(index=2, started_at=HEAD.started_at))
    fill(journal, [samples_ns(2, 50)])
    journal.close()
    first, second = salvage(path.read_bytes()).repetitions
    assert first == repetition(1)
    assert second.counts.ok == 50


def test_journal_that_cannot_begin_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the head already fails: no file stays."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)

    with pytest.raises(OSError, match="No space"):
        Journal(path, HEAD)
    assert not path.exists()


def test_spectrum_is_exact() -> None:
    """A histogram comes back with its exact extremes and sum; an empty one costs nothing."""
    sums = HistogramSum()
    assert Spectrum.of(sums) == Spectrum()
    assert Spectrum().sums().total == 0

    sums.counts[[5, 700]] = 3
    sums.total, sums.min_ns, sums.max_ns, sums.sum_ns = 6, 321, 44_800, 135_363.0
    again = Spectrum.of(sums).sums()
    assert (again.counts == sums.counts).all()
    assert (again.total, again.min_ns, again.max_ns, again.sum_ns) == (6, 321, 44_800, 135_363.0)


def test_interval_without_a_head_is_no_journal() -> None:
    """A file of something else is one clear line."""
    for data in (b"", b"x\n", b'{"kind":"head"', b'{"schema_version":1,"kind":"begin"}\n'):
        with pytest.raises(UsageError, match="journal") as caught:
            salvage(data)
        assert "\n" not in str(caught.value)
