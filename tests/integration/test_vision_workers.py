"""The vision dataset with worker processes, and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastbench.datasets import pool, procedural
from fastbench.datasets.base import open_dataset
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError

PATIENCE_S = 120


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of JPEGs."""
    folder = tmp_path_factory.mktemp("photos")
    procedural.write_images(folder, 40)
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Make the dataset in one process: what all others must equal."""
    out = tmp_path_factory.mktemp("expected") / "set"
    build(VisionConfig(out=out, images=photos, workers=1, reuse=2))
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("workers", [2, 5])
def test_same_bytes_whatever_the_workers(
    photos: Path, expected: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    """Any number of workers gives the same files to the last byte."""
    build(VisionConfig(out=tmp_path / "set", images=photos, workers=workers, reuse=2))

    assert expected == contents(tmp_path / "set")


def test_workers_without_a_main_module(photos: Path, tmp_path: Path) -> None:
    """Code from standard input, without any guard, can use workers."""
    program = (
        "from pathlib import Path\n"
        "from fastbench.datasets.vision import VisionConfig, build\n"
        f"config = VisionConfig(out=Path({str(tmp_path / 'set')!r}), "
        f"images=Path({str(photos)!r}), workers=2)\n"
        "print(build(config).rows)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"],
        input=program,
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "40\n", "")


def test_killed_run_is_resumed(photos: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    """After SIGKILL the same command goes on, leaves no worker behind, and gives the same bytes."""
    out = tmp_path / "set"
    journal = tmp_path / "set.partial" / "journal.jsonl"
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from fastbench.datasets.vision import VisionConfig, build\n"
        "def stop(done, total):\n"
        "    if done >= 10:\n"
        "        os.kill(os.getpid(), 9)\n"
        f"build(VisionConfig(out=Path({str(out)!r}), images=Path({str(photos)!r}), workers=2, "
        "reuse=2), stop)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_S, check=False)
    assert killed.returncode == -9
    assert not out.exists()
    before = journal.read_bytes().count(b"\n") - 1
    assert before >= 10
    wait_until_no_process_mentions(str(tmp_path))

    seen: list[int] = []
    build(
        VisionConfig(out=out, images=photos, workers=2, reuse=2),
        lambda done, _total: seen.append(done),
    )

    assert seen[0] == before
    assert expected == contents(out)


def test_killed_worker_is_said(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies ends the work with one clear error, not with a wait for ever."""
    started: list[subprocess.Popen[bytes]] = []
    start = pool._start

    def remember() -> subprocess.Popen[bytes]:
        started.append(start())
        return started[-1]

    def kill_one(done: int, _total: int) -> None:
        if done == 1:
            started[0].kill()

    monkeypatch.setattr(pool, "_start", remember)
    with pytest.raises(DatasetError, match="a worker process ended early"):
        build(VisionConfig(out=tmp_path / "set", images=photos, workers=2), kill_one)

    assert all(process.returncode is not None for process in started)
    assert list(tmp_path.iterdir()) == []


def wait_until_no_process_mentions(text: str) -> None:
    """Wait for every process that has ``text`` open, as worker processes have, to end."""
    deadline = time.monotonic() + PATIENCE_S
    while holders(text):
        assert time.monotonic() < deadline, "worker processes outlived their parent"
        time.sleep(0.01)


def holders(text: str) -> list[Path]:
    """Return the other processes, as folders of /proc, that have a file below ``text`` open."""
    own = Path(f"/proc/{os.getpid()}")
    return [p for p in Path("/proc").glob("[0-9]*") if p != own and holds(p, text)]


def holds(process: Path, text: str) -> bool:
    """Whether a process has a file below ``text`` open; one that just ended has none."""
    try:
        return any(str(link.readlink()).startswith(text) for link in (process / "fd").iterdir())
    except OSError:
        return False


class TestCommandLine:
    """``fastbench data`` from end to end."""

    def fastbench(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return subprocess.run(
            [sys.executable, "-m", "fastbench", "data", *map(str, arguments)],
            text=True,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def test_make_verify_export_import(self, photos: Path, tmp_path: Path) -> None:
        """The four commands work together."""
        done = self.fastbench("vision", "--images", photos, "--out", tmp_path / "set", "--limit", 7)
        assert done.returncode == 0, done.stderr
        assert "7 x 224 x 224 x 3 float32" in done.stdout
        assert "Preparing: 7 of 7 images" in done.stderr

        done = self.fastbench("verify", tmp_path / "set", "--images", photos)
        assert done.returncode == 0, done.stderr
        assert "7 rows and 7 source images" in done.stdout

        tensors = tmp_path / "tensors.out"
        assert (
            self.fastbench(
                "export", tmp_path / "set", "--format", "aibench", "--out", tensors
            ).returncode
            == 0
        )
        assert tensors.stat().st_size == 7 * 602_112
        assert self.fastbench("import", tensors, "--out", tmp_path / "back").returncode == 0
        assert open_dataset(tmp_path / "back").sha256 == open_dataset(tmp_path / "set").sha256

    def test_sample_is_named_synthetic(self, tmp_path: Path) -> None:
        """A generated dataset says what it is, on the screen and in the manifest."""
        done = self.fastbench("vision", "--sample", 2, "--out", tmp_path / "set")

        assert "synthetic" in done.stdout
        assert json.loads((tmp_path / "set" / "manifest.json").read_bytes())["synthetic"] is True

    def test_bad_image_makes_the_exit_code(self, photos: Path, tmp_path: Path) -> None:
        """A skipped image is named and makes the exit code 1, unless that is accepted."""
        source = tmp_path / "photos"
        source.mkdir()
        good = next(iter(photos.iterdir())).read_bytes()
        (source / "good.jpg").write_bytes(good)
        (source / "cut.jpg").write_bytes(good[:5000])

        refused = self.fastbench("vision", "--images", source, "--out", tmp_path / "one")
        assert refused.returncode == 1
        assert "cut.jpg" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert open_dataset(tmp_path / "one").rows == 1

        accepted = self.fastbench(
            "vision", "--images", source, "--out", tmp_path / "two", "--skip-bad"
        )
        assert accepted.returncode == 0
        assert "cut.jpg" in accepted.stderr

    def test_difference_makes_the_exit_code(self, tmp_path: Path) -> None:
        """Verification of a damaged dataset names the row and fails."""
        dataset = build(VisionConfig(out=tmp_path / "set", sample=2, workers=1))
        with dataset.data_path.open("r+b") as file:
            file.seek(10_000)
            file.write(b"damage")
        done = self.fastbench("verify", tmp_path / "set")

        assert done.returncode == 1
        assert "row 0" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("vision",), 2, "exactly one of"),
            (("vision", "--sample", "0"), 2, "--sample 0"),
            (("vision", "--images", "/nowhere"), 2, "/nowhere"),
            (("verify", "/nowhere"), 2, "no such dataset"),
        ],
    )
    def test_bad_input_is_one_line(
        self, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
    ) -> None:
        """Bad input ends with its exit code and one line that says what is wrong."""
        out = ("--out", str(tmp_path / "set")) if arguments[0] == "vision" else ()
        done = self.fastbench(*arguments, *out)

        assert done.returncode == code
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert list(tmp_path.iterdir()) == []
