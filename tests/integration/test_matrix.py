"""``fastbench matrix``: several real targets at once, one of which is not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.cli import fastbench

from fastbench import results, sweeps
from fastbench._nullserver import NullServer
from fastbench.plan import PROTOCOL_HTTP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "mean_rgb_224"
OPTIONS = ("--requests", 20, "--warmup", 0, "--repetitions", 1, "--quiet", "--calibrate", "never")
NOBODY = "rest://127.0.0.1:1/"


@pytest.fixture
def servers() -> Iterator[tuple[str, str]]:
    """Yield the URLs of two servers that speak different protocols."""
    # 3 float32: what the model answers.
    with (
        NullServer(reply_bytes=12) as resp,
        NullServer(reply_bytes=12, protocol=PROTOCOL_HTTP) as http,
    ):
        yield f"redisai://127.0.0.1:{resp.port}", f"rest://127.0.0.1:{http.port}/p"


def matrix(out: Path, *options: object) -> tuple[object, ...]:
    """Return the words that run a matrix into ``out``."""
    return ("matrix", "--model", MODEL, "--out", out, *OPTIONS, *options)


def read(out: Path) -> sweeps.SweepResult:
    """Return what the matrix found."""
    return sweeps.from_json((out / "sweep.json").read_bytes())


def test_each_target_is_a_row(servers: tuple[str, str], tmp_path: Path) -> None:
    """Two protocols are driven by the same plan; who is not there is a row that says so."""
    out = tmp_path / "m"

    done = fastbench(*matrix(out, "--servers", ",".join((*servers, NOBODY))))

    assert done.code == 1, done.err
    found = read(out)
    assert [cell.settings["target"] for cell in found.cells] == [*servers, NOBODY]
    assert [cell.status for cell in found.cells] == ["complete", "complete", "failed"]
    assert "cannot connect to rest://127.0.0.1:1/" in found.cells[2].error
    for cell in found.cells[:2]:
        result = results.from_json((out / cell.name / "result.json").read_bytes())
        assert result.target.url == cell.settings["target"]
        assert result.repetitions[0].counts.ok == 20
        assert cell.figures is not None
        assert result.verdict is not None
        assert cell.figures.verdict == result.verdict.verdict
    assert sorted(p.name for p in out.iterdir() if p.is_file()) == [
        *("sweep.csv", "sweep.html", "sweep.json", "sweep.md")
    ]
    for url in (*servers, NOBODY):
        assert url in done.out
        assert url in (out / "sweep.html").read_text()
    assert fastbench("report", out).out == done.out


def test_only_what_failed_is_tried_again(servers: tuple[str, str], tmp_path: Path) -> None:
    """The same command again measures what is missing, and leaves the rest as it is."""
    out, socket = tmp_path / "m", tmp_path / "s"
    words = matrix(out, "--servers", f"{servers[1]},redisai+unix://{socket}")
    assert fastbench(*words).code == 1
    kept = (out / read(out).cells[0].name / "result.json").read_bytes()

    with NullServer(unix_path=str(socket), reply_bytes=12):
        again = fastbench(*words)

    assert again.code == 0, again.err
    assert [cell.status for cell in read(out).cells] == ["complete", "complete"]
    assert (out / read(out).cells[0].name / "result.json").read_bytes() == kept


def test_loads_may_be_varied_too(servers: tuple[str, str], tmp_path: Path) -> None:
    """Each target runs at each load that is asked for: a curve for each."""
    words = ("--servers", ",".join(servers), "--over", "pipeline=1,2", "--format", "json")
    done = fastbench(*matrix(tmp_path / "m", *words))

    assert done.code == 0, done.err
    found = sweeps.from_json(done.out.encode())
    assert [(c.settings["target"], c.settings["pipeline"]) for c in found.cells] == [
        (url, pipeline) for url in servers for pipeline in (1, 2)
    ]
    assert [curve.fixed for curve in found.curves] == [{"target": url} for url in servers]


def test_workloads_are_combined_with_targets(tmp_path: Path) -> None:
    """Each target runs each workload, with its own model and dataset."""
    done = fastbench(
        *("matrix", "--servers", "embedded:", "--workloads", "vision,fraud", *OPTIONS[2:]),
        *("--requests", 5, "--out", tmp_path / "m", "--format", "json"),
    )

    assert done.code == 0, done.err
    found = sweeps.from_json(done.out.encode())
    assert [c.settings["workload"] for c in found.cells] == ["vision", "fraud"]
    ran = [json.loads((tmp_path / "m" / c.name / "result.json").read_text()) for c in found.cells]
    assert [result["config"]["workload"] for result in ran] == ["vision", "fraud"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--servers: name the targets"),
        (("--servers", "redisai://a,gopher://b"), "unknown scheme"),
        (("--servers", NOBODY, "--over", "target=rest://x/"), "give it by --servers alone"),
        (("--servers", NOBODY, "--workloads", "vision,opera"), "--workload 'opera'"),
        (("--servers", f"{NOBODY},redisai://a", "--body", "json"), "--body is for HTTP and gRPC"),
        (("--servers", NOBODY, "--require", "perfection"), "--require"),
    ],
)
def test_wrong_usage_leaves_nothing(tmp_path: Path, options: tuple[object, ...], says: str) -> None:
    """One line, exit code 2, and no folder."""
    done = fastbench(*matrix(tmp_path / "m", *options))

    assert done.code == 2
    assert says in done.line
    assert not list(tmp_path.iterdir())
