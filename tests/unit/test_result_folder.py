"""The result folder: prepared before the run, written whole or not at all, read back."""

from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest
from support.sample_result import result

from fastbench.errors import FastbenchError, UsageError
from fastbench.report.folder import EXPORTERS, ResultFolder

FILES = {"result.json", "latency.hlog", "latency.hgrm", "timeseries.csv", "report.html"}


def names(folder: Path) -> set[str]:
    """Return the names of all files in ``folder``, hidden ones too."""
    return {path.name for path in folder.iterdir()}


def test_written_files_are_read_back(tmp_path: Path) -> None:
    """A new folder, parents too, gets exactly the documented files and holds the result."""
    path = tmp_path / "runs" / "one"
    folder = ResultFolder(path)
    folder.prepare()
    folder.write(result())

    assert names(path) == FILES
    assert ResultFolder.read(path) == result()
    assert ResultFolder.read(path / "result.json") == result()


def test_second_write_replaces_the_first(tmp_path: Path) -> None:
    """A run may write after each repetition: the last state stays, and no other file."""
    folder = ResultFolder(tmp_path)
    folder.prepare()
    folder.write(msgspec.structs.replace(result(), status="partial"))
    folder.write(result())

    assert names(tmp_path) == FILES
    assert ResultFolder.read(tmp_path).status == "complete"


def test_result_of_another_run_is_not_overwritten(tmp_path: Path) -> None:
    """An earlier result is refused with the remedy, unless replacing it was asked for."""
    ResultFolder(tmp_path).write(result())

    with pytest.raises(UsageError, match="result of another run: name another folder"):
        ResultFolder(tmp_path).prepare()
    ResultFolder(tmp_path).prepare(replace=True)


def test_preparing_leaves_nothing_but_the_folder(tmp_path: Path) -> None:
    """The check for writing leaves no file, and a run without a result no folder."""
    folder = ResultFolder(tmp_path / "a" / "b")
    folder.prepare()
    assert names(tmp_path / "a" / "b") == set()

    folder.discard()
    assert names(tmp_path) == set()


def test_discard_spares_what_was_there(tmp_path: Path) -> None:
    """Only folders that were created are removed, and only when they are empty."""
    existing = ResultFolder(tmp_path)
    existing.prepare()
    existing.discard()
    assert tmp_path.exists()

    written = ResultFolder(tmp_path / "new")
    written.prepare()
    written.write(result())
    written.discard()
    assert names(tmp_path / "new") == FILES


@pytest.mark.parametrize("below", ["file", "file/folder"])
def test_folder_that_cannot_be_made(tmp_path: Path, below: str) -> None:
    """A path through a file is one clear line before the run."""
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(UsageError, match=r"cannot write results to .*file"):
        ResultFolder(tmp_path / below).prepare()
    assert (tmp_path / "file").read_text() == "not a folder"


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system is found before the run, and no new folder is left behind."""

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)

    with pytest.raises(UsageError, match="Read-only file system"):
        ResultFolder(tmp_path / "new").prepare()
    assert names(tmp_path) == set()


def test_full_disk_leaves_the_earlier_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the third file does not fit, all files stay those of the earlier write."""
    folder = ResultFolder(tmp_path)
    folder.write(result())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        written = write_bytes(path, data[:10])
        if "hgrm" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(FastbenchError, match="No space left on device"):
        folder.write(msgspec.structs.replace(result(), status="partial"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_missing_result(tmp_path: Path) -> None:
    """A folder without a result is one clear line that says where it was looked for."""
    with pytest.raises(UsageError, match=r"cannot read .*result\.json: No such file"):
        ResultFolder.read(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read .*absent: No such file"):
        ResultFolder.read(tmp_path / "absent")


def test_damaged_result(tmp_path: Path) -> None:
    """A cut file is one clear line that names the file."""
    ResultFolder(tmp_path).write(result())
    file = tmp_path / "result.json"
    file.write_bytes(file.read_bytes()[:-100])

    with pytest.raises(UsageError, match=r"result\.json: not a whole fastbench result"):
        ResultFolder.read(tmp_path)


def test_every_file_is_rendered_from_the_data_alone(tmp_path: Path) -> None:
    """What was read from result.json renders to the same bytes as the run's own result."""
    ResultFolder(tmp_path).write(result())
    again = ResultFolder.read(tmp_path)

    for exporter in EXPORTERS:
        assert exporter.render(again) == (tmp_path / exporter.filename).read_bytes()
