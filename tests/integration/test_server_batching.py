"""A run against a server that gathers inferences of several connections into one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.cli import fastbench

from fastbench.results import from_json

if TYPE_CHECKING:
    from pathlib import Path


def test_batched_answers_go_to_the_right_client(sample: Path, tiny_model: Path) -> None:
    """Four connections with other images each: all are executed by fours, all answers are right.

    Nothing would be answered for a minute if fewer than four inferences were gathered.
    """
    done = fastbench(
        *("run", "embedded:", "--dataset", sample, "--model", tiny_model, "--connections", 4),
        *("--requests", 80, "--warmup", 0, "--repetitions", 1, "--no-pin", "--quiet"),
        *("--server-batch", 4, "--server-min-batch", 4, "--server-min-batch-timeout", 60_000),
        *("--verify", "all", "--format", "json"),
    )

    assert done.code == 0, done.err
    (repetition,) = from_json(done.out.encode()).repetitions
    assert repetition.counts.ok == repetition.counts.intended == 80
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (80, 0)
