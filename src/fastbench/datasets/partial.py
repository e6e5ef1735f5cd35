"""A dataset in the making: a folder beside the final one, renamed to it when it is whole."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Self

from fastbench.datasets import manifest as manifests
from fastbench.datasets import npy
from fastbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from msgspec import Struct

DATA_FILE = "data.npy"
JOURNAL_FILE = "journal.jsonl"
SUFFIX = ".partial"


class PartialDataset:
    """The folder ``OUT.partial``, locked against other processes while it is open.

    Its data files have room for all rows from the start; JOURNAL_FILE says which are done.
    Leaving the context by an error removes it, unless ``keep`` is set: then a later run can go
    on where this one stopped. What an earlier run left is kept whatever happens, until
    :meth:`clear`.
    """

    def __init__(self, out: Path) -> None:
        """Make or enter the folder.

        Raises :class:`UsageError` where ``out`` exists already, :class:`DatasetError` where the
        folder cannot be made or another process is at work in it.
        """
        self.out = out
        self.path = out.with_name(out.name + SUFFIX)
        self.data_path = self.path / DATA_FILE
        self.journal_path = self.path / JOURNAL_FILE
        check_absent(out)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._journal = self.journal_path.open("a+b")
        except OSError as error:
            msg = f"{self.path}: cannot be made: {error.strerror}; choose another --out"
            raise DatasetError(msg) from error
        try:
            self._lock()
        except BaseException:
            self._journal.close()
            raise
        self.keep = os.fstat(self._journal.fileno()).st_size > 0

    def _lock(self) -> None:
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{self.path}: another fastbench is making this dataset; wait for it to end"
            raise DatasetError(msg) from error
        # Between our opening and locking, the folder may have been finished and renamed.
        check_absent(self.out)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unlock; after an error remove the folder unless it is to be kept."""
        if error is not None and not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)
        self._journal.close()

    def clear(self, *but: str) -> None:
        """Remove what an earlier run left, apart from the names ``but``: it is of no use here.

        Raises :class:`DatasetError` where that fails.
        """
        try:
            self._journal.truncate(0)
            for path in self.path.iterdir():
                if path.name not in {JOURNAL_FILE, *but}:
                    _remove(path)
        except OSError as error:
            msg = f"{self.path}: cannot be emptied: {error.strerror}; choose another --out"
            raise DatasetError(msg) from error
        self.keep = False

    def read_journal(self) -> list[bytes]:
        """Lines written so far; one cut short by a kill is left out."""
        self._journal.seek(0)
        return [line for line in self._journal if line.endswith(b"\n")]

    def restart_journal(self, lines: list[bytes]) -> None:
        """Forget what was written and begin with these lines."""
        self._journal.truncate(0)
        for line in lines:
            self.log(line)

    def log(self, line: bytes) -> None:
        """Append one line (with its end), at once: it survives this process."""
        try:
            self._journal.write(line)
            self._journal.flush()
        except OSError as error:
            msg = f"{self.journal_path}: cannot be written: {error.strerror}"
            raise DatasetError(msg) from error

    def reserve(self, rows: int, row_bytes: int, name: str = DATA_FILE) -> None:
        """Make a data file long enough and claim its disk space now rather than half-way.

        Raises :class:`DatasetError` where the disk has no room.
        """
        size = npy.DATA_OFFSET + rows * row_bytes
        path = self.path / name
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _check_space(self.path, size - 512 * os.fstat(file).st_blocks, self.out)
            os.ftruncate(file, size)
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise _no_space(self.out, size) from error
            msg = f"{path}: cannot be made {size} bytes long: {error.strerror}"
            raise DatasetError(msg) from error
        finally:
            os.close(file)

    def publish(self, manifest: Struct, heads: Mapping[str, bytes]) -> None:
        """Write the manifest and the heads of the data files, by name, and take the final name."""
        try:
            manifests.write(manifest, self.path / manifests.FILE_NAME)
            for name, head in heads.items():
                with (self.path / name).open("r+b") as file:
                    file.write(head)
            self.journal_path.unlink()
            self.path.rename(self.out)
        except OSError as error:
            msg = f"{self.out}: cannot be finished: {error.strerror}"
            raise DatasetError(msg) from error


def check_absent(out: Path) -> None:
    """Raise :class:`UsageError` if there is anything at ``out``, other than an empty folder."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        msg = f"{out}: exists already; remove it or choose another --out"
        raise UsageError(msg)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _check_space(path: Path, needed: int, out: Path) -> None:
    free = os.statvfs(path)
    if free.f_bavail * free.f_frsize < needed:
        raise _no_space(out, needed)


def _no_space(out: Path, needed: int) -> DatasetError:
    free = os.statvfs(out.parent)
    return DatasetError(
        f"{out}: not enough disk space: {needed / 1e6:.0f} MB needed, "
        f"{free.f_bavail * free.f_frsize / 1e6:.0f} MB free; make room, make "
        f"fewer rows or choose another --out"
    )
