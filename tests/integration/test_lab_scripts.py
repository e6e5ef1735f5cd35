"""The scripts for labs, dry: a tiny model, few clients, fractions of a second each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cli import COMMAND

from fastbench import sweeps

if TYPE_CHECKING:
    from fastbench.servers.embedded import EmbeddedServer

LAB = Path(__file__).parents[2] / "scripts" / "lab"
TIMEOUT_S = 300


def script(name: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    environment = {**os.environ, "FASTBENCH": " ".join(COMMAND)}
    environment |= {name: str(value) for name, value in settings.items()}
    return subprocess.run(
        [LAB / name, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def settings(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> dict[str, object]:
    """Return the settings of the smallest run."""
    return {
        "TARGET": ai_server.url,
        "DATASET": sample,
        "MODEL": tiny_model,
        "CLIENTS": "1 2",
        "REPETITIONS": 1,
        "DURATION": 0.5,
        "WARMUP": 0,
        "OUT": tmp_path / "out",
    }


def swept(folder: Path) -> sweeps.SweepResult:
    """Return a sweep that is complete, and whose tables are there."""
    assert {"sweep.json", "sweep.csv", "sweep.md", "sweep.html"} <= {
        p.name for p in folder.iterdir()
    }
    found = sweeps.from_json((folder / "sweep.json").read_bytes())
    assert found.status == "complete"
    return found


def test_load_model(settings: dict[str, object]) -> None:
    """The model is in the server, on the device asked for, and its answer was compared."""
    done = script("load-model", **settings)

    assert done.returncode == 0, done.stderr
    assert "stored tiny as fastbench:tiny on cpu" in done.stdout
    assert "agrees with onnxruntime" in done.stdout


def test_load_model_of_fraud(settings: dict[str, object]) -> None:
    """The workload names the model where nothing else does."""
    done = script("load-model", **{**settings, "WORKLOAD": "fraud", "MODEL": ""})

    assert done.returncode == 0, done.stderr
    assert "stored fraud as fastbench:fraud on cpu" in done.stdout


def test_clients(settings: dict[str, object], tmp_path: Path) -> None:
    """A cell for each number of clients, each with that many in flight."""
    done = script("clients", "--quiet", **settings)

    assert done.returncode == 0, done.stderr
    found = swept(tmp_path / "out" / "clients")
    assert [cell.settings for cell in found.cells] == [{"connections": 1}, {"connections": 2}]


def test_tables(settings: dict[str, object], tmp_path: Path) -> None:
    """Both tables are whole, clients by batch, and in every cell Little's law holds.

    A cell with fewer slots than a batch has samples is no error: the server waits for nobody.
    """
    longer = {"DURATION": 2, "WARMUP": 0.5, "BATCHES": "3"}
    done = script("tables", "--quiet", **(settings | longer))

    assert done.returncode == 0, done.stderr
    for folder, axis, sizes in (
        ("tensor-batch", "batch", (1, 3)),
        ("server-batch", "server-batch", (0, 3)),
    ):
        cells = swept(tmp_path / "out" / folder).cells
        expected = [(clients, size) for clients in (1, 2) for size in sizes]
        assert [(c.settings["connections"], c.settings[axis]) for c in cells] == expected
        for cell in cells:
            assert cell.figures is not None
            assert cell.figures.counts.ok == cell.figures.counts.intended
            assert cell.figures.littles_law.status != "off", cell


@pytest.mark.parametrize("name", ["load-model", "clients", "tables"])
@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"TARGET": ""}, "TARGET is not set"),
        ({"WORKLOAD": "chess"}, "WORKLOAD=chess: must be vision or fraud"),
        ({"DEVICE": "tpu"}, "DEVICE=tpu: must be cpu or gpu"),
        ({"FASTBENCH": "no-such-program"}, "no-such-program is not there"),
    ],
)
def test_wrong_settings(name: str, wrong: dict[str, object], word: str) -> None:
    """A wrong setting is one line and exit code 2; nothing was started."""
    done = script(name, **({"TARGET": "redisai://127.0.0.1:1"} | wrong))

    assert done.returncode == 2
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck() -> None:
    """Shellcheck has nothing to say of the scripts, sourced files followed."""
    files = [path for path in LAB.iterdir() if path.suffix != ".yaml"]

    done = subprocess.run(
        ["shellcheck", "-x", "-P", str(LAB), "-s", "bash", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == ""


def test_compose() -> None:
    """The file of real servers has one for each device, and says that CI does not run it."""
    text = (LAB / "compose.yaml").read_text()

    assert re.findall(r"^  (redisai-\w+):", text, re.MULTILINE) == ["redisai-cpu", "redisai-gpu"]
    assert "NOT RUN IN CI" in text
