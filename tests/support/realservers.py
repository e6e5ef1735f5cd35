"""Real model servers, brought up by ``fastbench servers``, and runs against them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cli import Done, fastbench, running

from fastbench.local_servers.known import server_called
from fastbench.report.folder import ResultFolder
from fastbench.results import Counts, Repetition, Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Git ignores it, and it stays: what is installed there is not fetched again by the next run.
STATE = Path(__file__).resolve().parent.parent.parent / "build" / "servers"
INSTALL_S = 900.0
MARKS = [pytest.mark.real_servers, pytest.mark.timeout(INSTALL_S)]

Urls = dict[str, str]  # targets by scheme and model, as start() returns them
MODEL = "mobilenet_v1_100_224"
REQUESTS = 20


def servers(*arguments: object) -> Done:
    """Run ``fastbench servers`` with everything that it keeps in the checkout."""
    done = fastbench(
        *("servers", *arguments),
        timeout_s=INSTALL_S,
        FASTBENCH_SERVERS=str(STATE),
        XDG_CACHE_HOME=str(STATE / "cache"),
        PIP_NO_CACHE_DIR="1",
    )
    assert done.code == 0, done.err
    return done


def start(name: str) -> Urls:
    """Return the targets of a server by scheme and model (``triton+http fraud`` → its URL).

    It is started where it does not run: a test may have stopped it. Skips where this machine lacks
    what it needs.
    """
    if (missing := server_called(name).missing()) is not None:
        pytest.skip(f"{name}: {missing}")
    urls = servers("start", name).out.split()
    return {f"{url.partition(':')[0]} {_model_of(url)}": url for url in urls}


def _model_of(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]


@contextlib.contextmanager
def stopping(name: str) -> Iterator[None]:
    """Stop a server in the end."""
    try:
        yield
    finally:
        servers("stop", name)


def run(url: str, *options: object) -> Done:
    """Run briefly, one repetition."""
    short = ("--repetitions", 1, "--quiet", "--warmup", 0, "--format", "json")
    ends = () if "--duration" in options else ("--requests", REQUESTS)
    return fastbench("run", url, *short, *ends, *options)


def verified(url: str, *options: object, sampled: int = 5) -> Result:
    """Run, all of it well, and every sampled answer that of onnxruntime."""
    done = run(url, *options, "--verify", sampled)
    assert done.code == 0, done.err
    result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (REQUESTS, REQUESTS)
    assert repetition.verification is not None
    found = repetition.verification
    assert (found.checked, found.mismatches) == (sampled, 0)
    return result


def stopped_midway(name: str, url: str, out: Path, *options: object) -> Repetition:
    """Stop the server in the middle of a run; the server is stopped afterwards."""
    ends = ("--duration", 600, "--repetitions", 1, "--warmup", 0, "--calibrate", "never")
    with running("run", url, *options, *ends, "--out", out) as process:
        process.wait_until(lambda: moments(out / "journal.jsonl") > 0)
        servers("stop", name)
        done = process.end()
    assert done.code == 1, done.err
    [repetition] = ResultFolder.read(out).repetitions
    return repetition


def moments(journal: Path) -> int:
    """Return how many intervals a journal holds; 0 where there is none yet."""
    return journal.read_bytes().count(b'"kind":"moment"') if journal.exists() else 0


def add_up(counts: Counts) -> bool:
    """Tell whether every inference has exactly one outcome."""
    ended = counts.ok + counts.errors + counts.timeouts + counts.lost + counts.unfinished
    errors = sum(error.count for error in counts.errors_by_class.values())
    return (
        counts.intended == counts.sent + counts.never_sent
        and counts.sent == ended
        and counts.errors == errors
    )
