"""A folder of many runs: what it takes up again, what it refuses, what it leaves behind."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pytest
from support import sample_result
from support.journals import HEAD

from fastbench import study
from fastbench.config import CommandConfig, RunConfig, StreamConfig
from fastbench.errors import UsageError
from fastbench.report.folder import ResultFolder
from fastbench.streams import describe

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.results import Result

FILE = "sweep.json"


def result_of(config: RunConfig, status: str = "complete") -> Result:
    """Return a result as a run of ``config`` would give."""
    return msgspec.structs.replace(sample_result.result(status=status), config=describe(config))


def written(config: RunConfig, result: Result) -> None:
    """Write ``result`` where ``config`` says."""
    assert config.out is not None
    ResultFolder(config.out).prepare()
    ResultFolder(config.out).write(result)


def _fail_in(path: Path, run: str = "") -> None:
    with study.opened(path, FILE):
        study.write({path / FILE: b"{}"})
        (path / run).mkdir(exist_ok=True)
        msg = "no"
        raise UsageError(msg)


def test_new_folder_is_taken_up_again(tmp_path: Path) -> None:
    """The first time there is nothing, the second time what was written."""
    path = tmp_path / "a" / "b"
    with study.opened(path, FILE) as earlier:
        assert earlier is None
        study.write({path / FILE: b"{}"})

    with study.opened(path, FILE) as earlier:
        assert earlier == b"{}"
    assert [entry.name for entry in path.iterdir()] == [FILE]


def test_failure_before_any_run_leaves_nothing(tmp_path: Path) -> None:
    """Wrong usage that shows late does not leave folders behind."""
    path = tmp_path / "a" / "b"

    with pytest.raises(UsageError):
        _fail_in(path)

    assert list(tmp_path.iterdir()) == []


def test_failure_after_a_run_leaves_it(tmp_path: Path) -> None:
    """What was measured stays."""
    with pytest.raises(UsageError):
        _fail_in(tmp_path / "x", run="cell")

    assert (tmp_path / "x" / FILE).exists()


@pytest.mark.parametrize("name", ["notes.txt", "result.json"])
def test_folder_with_something_else_is_refused(tmp_path: Path, name: str) -> None:
    """Nobody's files are touched."""
    (tmp_path / name).write_text("mine")

    with pytest.raises(UsageError, match="name another folder"), study.opened(tmp_path, FILE):
        pass

    assert (tmp_path / name).read_text() == "mine"


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    """A second process in the same folder would repeat and overwrite cells."""
    path = tmp_path / "x"
    with (
        study.opened(path, FILE),
        pytest.raises(UsageError, match="another fastbench works in"),
        study.opened(path, FILE),
    ):
        pass
    with study.opened(path, FILE):
        pass


def test_changed_plan_is_named(tmp_path: Path) -> None:
    """Each difference is said with both values, in one line."""
    old = study.plan_of(RunConfig(duration_s=5, threads=2, out=tmp_path))
    new = study.plan_of(RunConfig(duration_s=1, threads=2, target="redisai://h:1"))

    with pytest.raises(UsageError) as caught:
        study.require_same(tmp_path, old, new)

    text = str(caught.value)
    assert "duration_s was 5, now 1" in text
    assert 'target was "embedded:", now "redisai://h:1"' in text
    assert "threads" not in text
    assert "out was" not in text


def test_complete_result_is_taken(tmp_path: Path) -> None:
    """A run that is there and whole is not repeated, wherever the folder was named from."""
    config = RunConfig(out=tmp_path / "cell", cpus=(0, 1))
    result = result_of(dataclasses.replace(config, out=tmp_path / ".." / tmp_path.name / "cell"))
    written(config, result)

    found = study.earlier_result(config)

    assert found is not None
    assert found.summary == result.summary


def test_files_that_a_killed_run_did_not_write_are_made(tmp_path: Path) -> None:
    """Killed between result.json and the files made from it: they are made from it."""
    config = RunConfig(out=tmp_path / "cell")
    written(config, result_of(config))
    assert config.out is not None
    (config.out / "latency.hlog").unlink()

    assert study.earlier_result(config) is not None

    assert all((config.out / exporter.filename).exists() for exporter in study.CELL_FILES)


def test_a_run_that_goes_on_is_not_taken_away(tmp_path: Path) -> None:
    """A folder in which another run still writes is refused and left as it is."""
    config = RunConfig(out=tmp_path / "cell")
    assert config.out is not None
    folder = ResultFolder(config.out)
    folder.prepare()
    journal = folder.open_journal(HEAD)
    with pytest.raises(UsageError, match="another run still writes there"):
        study.earlier_result(config)
    assert list(config.out.iterdir())
    journal.close()

    assert study.earlier_result(config) is None
    assert not config.out.exists()


@pytest.mark.parametrize("broken", ["cut", "partial", "other plan", "empty"])
def test_broken_result_makes_room(tmp_path: Path, broken: str) -> None:
    """What is not the whole result of this very plan is removed, so that it is run again."""
    config = RunConfig(out=tmp_path / "cell")
    assert config.out is not None
    other = dataclasses.replace(config, pipeline=7)
    status = "partial" if broken == "partial" else "complete"
    written(config, result_of(other if broken == "other plan" else config, status))
    file = config.out / "result.json"
    if broken == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif broken == "empty":
        file.unlink()

    assert study.earlier_result(config) is None
    assert not config.out.exists()


def test_no_result_is_no_result(tmp_path: Path) -> None:
    """A cell that was never begun has none."""
    assert study.earlier_result(RunConfig(out=tmp_path / "cell")) is None


def test_streams_are_part_of_the_plan(tmp_path: Path) -> None:
    """A complete run of several streams is taken up; other streams are another plan."""
    ping, echo = (CommandConfig(commands=((word,),)) for word in ("PING", "ECHO x"))
    configs = [
        RunConfig(
            target="redis://h",
            out=tmp_path / "x",
            streams=tuple(StreamConfig(name=n, own={"command": c}) for n in "ab"),
        )
        for c in (ping, echo)
    ]
    written(configs[0], result_of(configs[0]))

    assert study.earlier_result(configs[0]) is not None
    with pytest.raises(UsageError, match="another plan"):
        study.require_same(tmp_path, *(study.plan_of(config) for config in configs))
