"""A run that is killed, or whose disk is full: what was measured can still be read."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.cli import fastbench, running

from fastbench.report.folder import ResultFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastbench.servers.embedded import EmbeddedServer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root and CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def intervals(journal: Path) -> int:
    """Return how many intervals a journal holds; 0 where there is none yet."""
    return journal.read_bytes().count(b'"kind":"moment"') if journal.exists() else 0


def test_killed_run_is_readable(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle: all intervals until then are in the report, marked loudly."""
    out = tmp_path / "out"
    options = ("--dataset", sample, "--model", tiny_model, "--out", out)
    ends = ("--duration", 600, "--repetitions", 2, "--warmup", 0)
    with running("run", ai_server.url, *options, *ends) as run:
        run.wait_until(lambda: intervals(out / "journal.jsonl") >= 2)
        during = fastbench("report", out)
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
    seen = intervals(out / "journal.jsonl")
    done = fastbench("report", out)
    (repetition,) = ResultFolder.read(out).repetitions

    assert (during.code, done.code) == (0, 0)
    assert "vision, RUNNING" in during.out
    assert "vision, KILLED" in done.out
    assert "ended early: killed" in done.out
    assert [path.name for path in out.iterdir()] == ["journal.jsonl"]
    assert len(repetition.timeseries) == seen >= 2
    assert repetition.counts.ok == sum(i.ok for i in repetition.timeseries) > 0
    assert repetition.response_ms.count == repetition.counts.ok
    again = fastbench("run", "embedded:", "--out", out)
    assert again.code == 2
    assert "journal of a run that was killed" in again.line


def test_full_disk(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, small_disk: Path
) -> None:
    """The run goes on, ends in one line, and nothing that is half-written looks whole."""
    out = small_disk / "out"
    options = ("--dataset", sample, "--model", tiny_model, "--out", out, "--quiet")
    ends = ("--duration", 4, "--repetitions", 1, "--warmup", 0)
    with running("run", ai_server.url, *options, *ends) as run:
        run.wait_until(lambda: intervals(out / "journal.jsonl") >= 1)
        fill(small_disk / "other")
        done = run.end()
    other = fastbench("run", "embedded:", "--out", small_disk / "second")

    assert done.code == 1
    assert "No space left on device" in done.line
    assert f"'fastbench report {out}' reads its journal" in done.line
    assert "inferences/s   response p50" in done.out  # what was measured is printed all the same
    assert [path.name for path in out.iterdir()] == ["journal.jsonl"]
    report = fastbench("report", out)
    assert report.code == 0
    assert "KILLED" in report.out
    assert ResultFolder.read(out).repetitions[0].counts.ok > 0
    assert other.code == 1
    assert "No space left on device" in other.line
    assert not (small_disk / "second").exists()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return
