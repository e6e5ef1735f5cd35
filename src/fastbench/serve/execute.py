"""Executing models and scripts: four commands, read into one form."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.serve.queues import Model
from fastbench.serve.resp import CommandError
from fastbench.serve.scripts import Script
from fastbench.serve.state import find
from fastbench.serve.words import MISMATCH, Words, upper, wrong_arity

if TYPE_CHECKING:
    from fastbench.serve.resp import Request
    from fastbench.serve.state import Keys

NO_TIMEOUT = math.inf
#: Words that each command has at least.
SHORTEST = {"AI.MODELEXECUTE": 8, "AI.MODELRUN": 6, "AI.SCRIPTEXECUTE": 3, "AI.SCRIPTRUN": 3}
SCOPES = ("KEYS", "INPUTS", "ARGS", "OUTPUTS")
FEWEST_AFTER_KEYS = 2


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


def parse_timeout(words: Words, *, any_sign: bool = False, where: str = "") -> float:
    """Read the value behind TIMEOUT: milliseconds → seconds.

    ``any_sign``: as a DAG takes it, where 0 and less mean no time-out. ``where``: what the error
    for no value ends with.
    """
    if not len(words):
        msg = f"ERR No value provided for TIMEOUT{where}"
        raise CommandError(msg)
    value = words.integer("ERR Invalid value for TIMEOUT", low=None if any_sign else 1)
    return value / 1000 if value > 0 else NO_TIMEOUT


def parse_execution(request: Request, keys: Keys, *, in_dag: bool = False) -> Execution:
    """Read AI.MODELEXECUTE, AI.SCRIPTEXECUTE or a deprecated form; raise the error replies."""
    command, words = upper(request[0]), Words(request)
    if len(request) < SHORTEST[command]:
        raise wrong_arity(command)
    key = words.key()
    if command.startswith("AI.SCRIPT"):
        execution = _parse_call(words, find(keys, key, Script), command, in_dag=in_dag)
    else:
        parse = _parse_execute if command == "AI.MODELEXECUTE" else _parse_run
        execution = parse(words, find(keys, key, Model))
    if in_dag and execution.timeout_s != NO_TIMEOUT:
        msg = "ERR TIMEOUT not allowed within a DAG command"
        raise CommandError(msg)
    return execution


def _parse_execute(words: Words, model: Model) -> Execution:
    """Read what follows the model's key in AI.MODELEXECUTE."""
    inputs = _counted_keys(words, "INPUTS")
    outputs = _counted_keys(words, "OUTPUTS")
    timeout_s = parse_timeout(words) if words.skip("TIMEOUT") else NO_TIMEOUT
    if len(words):
        msg = f"Invalid argument: {words.key().decode('latin-1')}"
        raise CommandError(msg)
    return _checked(Execution(model, inputs, outputs, timeout_s))


def _parse_run(words: Words, model: Model) -> Execution:
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
        msg = f"ERR number of {one.lower()} keys to AI.MODELEXECUTE command {MISMATCH}"
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


def _parse_call(words: Words, script: Script, command: str, *, in_dag: bool) -> Execution:
    """Read what follows the script's key: the function, then what it is called with."""
    function = words.key().decode("utf-8", "replace")
    if command == "AI.SCRIPTRUN":
        scopes, timeout_s = _script_run_scopes(words)
    else:
        scopes, timeout_s = _script_execute_scopes(words, in_dag=in_dag)
    keys, inputs, args, outputs = (scopes.get(name, []) for name in SCOPES)
    return Execution(script.bind(function, keys, args, len(outputs)), inputs, outputs, timeout_s)


def _script_execute_scopes(words: Words, *, in_dag: bool) -> tuple[dict[str, list[bytes]], float]:
    """Read ``[KEYS n k ...] [INPUTS n k ...] [ARGS n a ...] [OUTPUTS n k ...] [TIMEOUT ms]``."""
    scopes: dict[str, list[bytes]] = {}
    if not in_dag and words.keyword() not in ("KEYS", "INPUTS"):
        msg = "ERR KEYS or INPUTS scope must be provided first for AI.SCRIPTEXECUTE command"
        raise CommandError(msg)
    while len(words):
        name, word = words.keyword(), words.key()
        if name == "TIMEOUT":
            return scopes, _last_timeout(words)
        if name not in SCOPES:
            problem = f"Unexpected argument: {word.decode('latin-1')}"
            msg = f"ERR Invalid AI.SCRIPTEXECUTE command. {problem}"
            raise CommandError(msg)
        if name in scopes:
            msg = f"ERR Already Encountered {name} scope in AI.SCRIPTEXECUTE command"
            raise CommandError(msg)
        scopes[name] = _declared_keys(words) if name == "KEYS" else _counted_words(words, name)
    return scopes, NO_TIMEOUT


def _last_timeout(words: Words) -> float:
    timeout_s = parse_timeout(words, where=" in AI.SCRIPTEXECUTE")
    if len(words):
        msg = "ERR Encountered problem parsing AI.SCRIPTEXECUTE"
        raise CommandError(msg)
    return timeout_s


def _declared_keys(words: Words) -> list[bytes]:
    if len(words) < FEWEST_AFTER_KEYS:
        msg = "ERR Missing arguments after KEYS keyword"
        raise CommandError(msg)
    return words.counted(
        "ERR Invalid or negative value found in number of KEYS",
        f"ERR Number of pre declared KEYS to be used in the command {MISMATCH}",
        low=1,
    )


def _counted_words(words: Words, scope: str) -> list[bytes]:
    if not len(words):
        msg = "ERR Invalid arguments provided to AI.SCRIPTEXECUTE"
        raise CommandError(msg)
    what = "keys" if scope == "ARGS" else scope.lower()  # RedisAI confuses the two here
    return words.counted(
        f"ERR Invalid argument for {what} count in AI.SCRIPTEXECUTE",
        f"ERR number of {scope.lower()} to AI.SCRIPTEXECUTE command {MISMATCH}",
    )


def _script_run_scopes(words: Words) -> tuple[dict[str, list[bytes]], float]:
    """Read ``[TIMEOUT ms] INPUTS k ... [$ k ...] OUTPUTS k ...``; ``$`` begins a list's tensors."""
    scopes: dict[str, list[bytes]] = {}
    timeout_s, here = NO_TIMEOUT, None
    while len(words):
        name, word = words.keyword(), words.key()
        if name == "TIMEOUT":
            timeout_s = parse_timeout(words)
        elif name in ("INPUTS", "OUTPUTS"):
            here = scopes.setdefault(name, [])
        elif here is None:
            msg = "ERR Unrecongnized parameter to SCRIPTRUN"  # codespell:ignore
            raise CommandError(msg)
        elif name != "$":  # the function's signature says where its list begins
            here.append(word)
    return scopes, timeout_s
