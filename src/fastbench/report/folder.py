"""The result folder: ``result.json`` and the files rendered from it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from fastbench.errors import FastbenchError, UsageError
from fastbench.report import hgrm, hlog, timeseries
from fastbench.report.base import Exporter
from fastbench.results import Result, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESULT = Exporter("result.json", to_json)
EXPORTERS = (RESULT, hlog.EXPORTER, hgrm.EXPORTER, timeseries.EXPORTER)


class ResultFolder:
    """A folder that holds the files of one run.

    ``prepare`` before the run, ``write`` as often as there is something new (each time all files
    are replaced, each atomically), ``discard`` when the run ended without a result.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._created: list[Path] = []

    def prepare(self, *, replace: bool = False) -> None:
        """Create the folder where it is missing and check that files can be written into it.

        ``replace``: an earlier run's files there may be overwritten.
        Raises :class:`UsageError` where it cannot be used; then nothing is left behind.
        """
        if not replace and (self.path / RESULT.filename).exists():
            msg = f"{self.path} holds the result of another run: name another folder or remove it"
            raise UsageError(msg)
        try:
            self._create()
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            self.discard()
            msg = f"cannot write results to {self.path}: {error.strerror}; name another folder"
            raise UsageError(msg) from error

    def write(self, result: Result) -> None:
        """Write all files of ``result``; a reader never sees one that is half-written.

        Raises :class:`FastbenchError` where the file system refuses, e.g. a full disk; what was
        in the folder then stays as it was.
        """
        contents = [(self.path / e.filename, e.render(result)) for e in EXPORTERS]
        try:
            with _temporaries(contents) as written:
                for temporary, final in written:
                    temporary.replace(final)
        except OSError as error:
            msg = f"cannot write results to {self.path}: {error.strerror}"
            raise FastbenchError(msg) from error

    def discard(self) -> None:
        """Remove the folders that ``prepare`` created, if nothing was written into them."""
        while self._created:
            with contextlib.suppress(OSError):
                self._created.pop().rmdir()

    @staticmethod
    def read(path: Path) -> Result:
        """Return the result in folder ``path``, or in the file ``path`` itself.

        Raises :class:`UsageError` where there is none, or it is damaged or of a newer schema.
        """
        file = path / RESULT.filename if path.is_dir() else path
        try:
            return from_json(file.read_bytes())
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
