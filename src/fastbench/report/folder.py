"""The result folder: ``result.json``, the files rendered from it, and before that the journal."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from fastbench import journal
from fastbench.errors import FastbenchError, UsageError
from fastbench.report import hgrm, hlog, timeseries
from fastbench.report.base import Exporter
from fastbench.report.html import result_page
from fastbench.report.studies import refuse
from fastbench.results import Result, from_json, to_json
from fastbench.salvage import salvage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fastbench.journal import Head, Journal

RESULT = Exporter("result.json", to_json)
EXPORTERS = (RESULT, hlog.EXPORTER, hgrm.EXPORTER, timeseries.EXPORTER, result_page.EXPORTER)


class ResultFolder:
    """A folder that holds the files of one run.

    ``prepare`` before the run, ``open_journal`` when it begins, ``write`` as often as there is
    something new (each time all files are replaced, each atomically), ``discard`` when the run
    ended without a result.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._created: list[Path] = []
        self._journal: Journal | None = None

    def prepare(self, *, replace: bool = False) -> None:
        """Create the folder where it is missing and check that files can be written into it.

        ``replace``: an earlier run's files there may be overwritten.
        Raises :class:`UsageError` where it cannot be used; then nothing is left behind.
        """
        if not replace and (self.path / RESULT.filename).exists():
            msg = f"{self.path} holds the result of another run: name another folder or remove it"
            raise UsageError(msg)
        if not replace and (self.path / journal.FILENAME).exists():
            msg = (
                f"{self.path} holds the journal of a run that was killed or still runs: "
                "name another folder or remove it"
            )
            raise UsageError(msg)
        try:
            self._create()
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            self.discard()
            msg = f"cannot write results to {self.path}: {error.strerror}; name another folder"
            raise UsageError(msg) from error

    def open_journal(self, head: Head) -> Journal:
        """Begin the journal of a run; raises :class:`FastbenchError` where it cannot be written."""
        path = self.path / journal.FILENAME
        try:
            self._journal = journal.Journal(path, head)
        except OSError as error:
            msg = f"cannot write {path}: {error.strerror}; name another folder"
            raise FastbenchError(msg) from error
        return self._journal

    def write(self, result: Result, files: Sequence[Exporter] = EXPORTERS) -> None:
        """Write the ``files`` of ``result``; a reader never sees one that is half-written.

        The journal, which holds nothing more, is then removed.
        Raises :class:`FastbenchError` where the file system refuses, e.g. a full disk; what was
        in the folder then stays as it was.
        """
        self._replace([(self.path / e.filename, e.render(result)) for e in files])

    def add(self, filename: str, content: bytes) -> None:
        """Write one file that is not rendered from the result; as atomic as ``write``.

        Raises :class:`FastbenchError` where the file system refuses.
        """
        self._replace([(self.path / filename, content)])

    def _replace(self, contents: list[tuple[Path, bytes]]) -> None:
        try:
            with _temporaries(contents) as written:
                for temporary, final in written:
                    temporary.replace(final)
        except OSError as error:
            kept = self._journal is not None and self._journal.measured
            remedy = f"; 'fastbench report {self.path}' reads its journal" if kept else ""
            msg = f"cannot write results to {self.path}: {error.strerror}{remedy}"
            raise FastbenchError(msg) from error
        if self._journal is not None:
            self._journal.remove()

    def discard(self) -> None:
        """Remove the folders that ``prepare`` created, if nothing was written into them.

        A journal stays where something was measured.
        """
        if self._journal is not None:
            self._journal.close()
            if not self._journal.measured:
                self._journal.remove()
        while self._created:
            with contextlib.suppress(OSError):
                self._created.pop().rmdir()

    @staticmethod
    def read(path: Path) -> Result:
        """Return the result in folder ``path``, or in the file ``path`` itself.

        Without a result, what the journal of a killed run says.
        Raises :class:`UsageError` where there is none (naming what there is instead), or it is
        damaged or of a newer schema.
        """
        refuse(path)
        file = _file_of(path)
        try:
            data, running = file.read_bytes(), journal.is_open(file)
            is_journal = file.name == journal.FILENAME
            return salvage(data, running=running) if is_journal else from_json(data)
        except OSError as error:
            msg = f"cannot read {file}: {error.strerror}; name a folder that a run has written"
            raise UsageError(msg) from error
        except UsageError as error:
            msg = f"{file}: {error}"
            raise UsageError(msg) from error

    def _create(self) -> None:
        missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
        for folder in reversed(missing):
            folder.mkdir()
            self._created.append(folder)


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = [path / RESULT.filename, path / journal.FILENAME]
    return next((file for file in files if file.exists()), files[0])


@contextlib.contextmanager
def _temporaries(contents: list[tuple[Path, bytes]]) -> Iterator[list[tuple[Path, Path]]]:
    """Write each content beside its final path; remove what was not renamed in the end."""
    written: list[tuple[Path, Path]] = []
    try:
        for final, content in contents:
            temporary = final.with_name(f".{final.name}.{os.getpid()}")
            written.append((temporary, final))
            temporary.write_bytes(content)
        yield written
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
