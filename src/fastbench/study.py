"""A folder that holds many runs: one process at a time, resumable, never half-written.

Beside the result folders lies one file, e.g. ``sweep.json``, which says what was planned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fastbench import runner
from fastbench.errors import FastbenchError, UsageError
from fastbench.report.folder import EXPORTERS, ResultFolder
from fastbench.report.html import result_page
from fastbench.streams import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastbench.config import RunConfig
    from fastbench.results import Result

_Study = TypeVar("_Study")
#: What each of the many runs leaves: not the page of 5 MB, which can be made of it at any time.
CELL_FILES = tuple(e for e in EXPORTERS if e is not result_page.EXPORTER)
_MOST_SHOWN = 200  # characters of a value in a message


@contextlib.contextmanager
def opened(path: Path, filename: str) -> Iterator[bytes | None]:
    """Create the folder or take it up again; yield what its file holds, None in a new folder.

    What fails before any run has a result leaves no new folder behind.
    Raises :class:`UsageError` where it holds something else, or another process works in it.
    """
    folder = ResultFolder(path)
    folder.prepare()
    with _locked(path):
        file = path / filename
        is_new = not file.exists()
        if is_new and any(path.iterdir()):
            msg = f"{path} is not empty and holds no {filename}: name another folder"
            raise UsageError(msg)
        try:
            yield None if is_new else file.read_bytes()
        except BaseException:
            if is_new:
                _leave_nothing(folder)
            raise


def folder_of(config: RunConfig) -> Path:
    """Return the folder that is to hold the runs. Raises :class:`UsageError` without one."""
    if config.out is None:
        msg = "--out: name the folder that shall hold the results"
        raise UsageError(msg)
    return config.out


def taken_up(file: Path, earlier: bytes, read: Callable[[bytes], _Study]) -> _Study:
    """Return what an earlier study left in its file, by ``read``.

    Raises :class:`UsageError` where it cannot be read.
    """
    try:
        return read(earlier)
    except UsageError as error:
        msg = f"{file}: {error}; name another folder"
        raise UsageError(msg) from error


def plan_of(config: RunConfig) -> dict[str, Any]:
    """Return a configuration as a file holds it, without the folder that it writes to.

    Of streams it has what each sets for itself: a cell or probe may lack in it what it varies.
    """
    streams = [stream.to_dict() for stream in config.streams]
    return _without_folder(config.to_dict() | {"streams": streams})


def require_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise :class:`UsageError` naming what differs between the plan in ``path`` and the new."""
    names = [*old, *(name for name in new if name not in old)]
    differs = [
        f"{name} was {_shown(old.get(name))}, now {_shown(new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]
    if differs:
        msg = (
            f"{path} was begun with another plan: {'; '.join(differs)}: "
            "name another folder, or give the same options to resume it"
        )
        raise UsageError(msg)


def earlier_result(config: RunConfig) -> Result | None:
    """Return the complete result that an earlier run of ``config`` left in ``config.out``.

    Where there is another or a broken one, its folder is removed and None returned.
    Raises :class:`FastbenchError` when that is not possible, :class:`UsageError` where a run
    still writes there.
    """
    out = config.out
    if out is None or not os.path.lexists(out):
        return None
    result: Result | None = None
    with contextlib.suppress(UsageError):
        result = ResultFolder.read(out)
    if result is not None and result.status == "running":
        msg = f"{out}: another run still writes there: wait for its end, or end it"
        raise UsageError(msg)
    if result is not None and _is_whole(result) and _same_plan(result, config):
        if not all((out / e.filename).exists() for e in CELL_FILES):
            ResultFolder(out).write(result, CELL_FILES)
        return result
    try:
        shutil.rmtree(out)
    except OSError as error:
        msg = f"cannot remove the broken result {out}: {error.strerror}; remove it yourself"
        raise FastbenchError(msg) from error
    return None


def run(config: RunConfig, *, show: bool) -> Result:
    """Run a cell or a probe as :func:`fastbench.runner.run` does, for files without the page."""
    return runner.run(config, show=show, files=CELL_FILES)


def write(files: dict[Path, bytes]) -> None:
    """Replace files, each at once: a reader never sees one that is half-written.

    Raises :class:`FastbenchError` where the file system refuses.
    """
    for path, content in files.items():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            msg = f"cannot write {path}: {error.strerror}"
            raise FastbenchError(msg) from error
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out; the lock ends with this process, however it ends."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another fastbench works in {path}: wait for its end, or name another folder"
            raise UsageError(msg) from error
        yield
    finally:
        os.close(fd)


def _leave_nothing(folder: ResultFolder) -> None:
    """Remove the files of a new study, if no run has left a folder of its own."""
    entries = list(folder.path.iterdir())
    if not any(entry.is_dir() for entry in entries):
        for entry in entries:
            entry.unlink()
        folder.discard()


def _is_whole(result: Result) -> bool:
    return result.status == "complete" and result.summary is not None


def _same_plan(result: Result, config: RunConfig) -> bool:
    return _without_folder(result.config) == _without_folder(describe(config))


def _without_folder(config: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    return {name: value for name, value in plain.items() if name != "out"}


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
