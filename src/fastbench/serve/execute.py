"""Executing models: AI.MODELEXECUTE and AI.MODELRUN, read into one form."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.serve.resp import CommandError

if TYPE_CHECKING:
    from fastbench.serve.queues import Model
    from fastbench.serve.words import Words

NO_TIMEOUT = math.inf
SHORTEST_EXECUTE = 8
SHORTEST_RUN = 6


@dataclass(frozen=True, slots=True)
class Execution:
    """What to run, on the tensors under which keys, and where the outputs go."""

    model: Model
    inputs: list[bytes]
    outputs: list[bytes]
    timeout_s: float = NO_TIMEOUT


def deadline(timeout_s: float) -> float:
    """Return the instant on ``time.monotonic()`` at which a request times out."""
    return time.monotonic() + timeout_s


def parse_timeout(words: Words, *, any_sign: bool = False) -> float:
    """Read the value behind TIMEOUT: milliseconds → seconds.

    ``any_sign``: as a DAG takes it, where 0 and less mean no time-out.
    """
    if not len(words):
        msg = "ERR No value provided for TIMEOUT"
        raise CommandError(msg)
    value = words.integer("ERR Invalid value for TIMEOUT", low=None if any_sign else 1)
    return value / 1000 if value > 0 else NO_TIMEOUT


def parse_execute(words: Words, model: Model) -> Execution:
    """Read what follows the model's key in AI.MODELEXECUTE."""
    inputs = _counted_keys(words, "INPUTS")
    outputs = _counted_keys(words, "OUTPUTS")
    timeout_s = NO_TIMEOUT
    if len(words):
        if not words.skip("TIMEOUT"):
            msg = f"Invalid argument: {words.key().decode('latin-1')}"
            raise CommandError(msg)
        timeout_s = parse_timeout(words)
    if len(words):
        msg = f"Invalid argument: {words.key().decode('latin-1')}"
        raise CommandError(msg)
    return _checked(Execution(model, inputs, outputs, timeout_s))


def parse_run(words: Words, model: Model) -> Execution:
    """Read what follows the model's key in AI.MODELRUN: no counts, TIMEOUT first."""
    timeout_s = parse_timeout(words) if words.skip("TIMEOUT") else NO_TIMEOUT
    if not words.skip("INPUTS"):
        msg = "ERR INPUTS not specified"
        raise CommandError(msg)
    inputs = []
    while len(words) and words.keyword() != "OUTPUTS":
        inputs.append(words.key())
    if not words.skip("OUTPUTS"):
        msg = "ERR OUTPUTS not specified"
        raise CommandError(msg)
    return _checked(Execution(model, inputs, words.keys(len(words)), timeout_s))


def _counted_keys(words: Words, option: str) -> list[bytes]:
    if not words.skip(option):
        msg = f"ERR {option} not specified"
        raise CommandError(msg)
    one = option[:-1]
    count = words.integer(f"ERR Invalid argument for {one.lower()}_count")
    if count <= 0:
        msg = f"ERR {one.capitalize()} count must be a positive integer"
        raise CommandError(msg)
    if count > len(words):
        msg = (
            f"ERR number of {one.lower()} keys to AI.MODELEXECUTE command does not match"
            " the number of given arguments"
        )
        raise CommandError(msg)
    return words.keys(count)


def _checked(execution: Execution) -> Execution:
    executable = execution.model.executable
    for option, given, defined in (
        ("INPUTS", execution.inputs, executable.inputs),
        ("OUTPUTS", execution.outputs, executable.outputs),
    ):
        if len(given) != len(defined):
            msg = f"Number of keys given as {option} here does not match model definition"
            raise CommandError(msg)
    return execution
