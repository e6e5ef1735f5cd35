"""AI.DAGEXECUTE and its kin: the whole command is understood before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from fastbench.serve.execute import (
    NO_TIMEOUT,
    SHORTEST_EXECUTE,
    SHORTEST_RUN,
    Execution,
    parse_execute,
    parse_run,
    parse_timeout,
)
from fastbench.serve.resp import CommandError, Request
from fastbench.serve.tensors import (
    LONGEST_GET,
    SHORTEST_SET,
    Format,
    Tensor,
    parse_format,
    parse_tensor,
)
from fastbench.serve.words import Words, upper, wrong_arity

if TYPE_CHECKING:
    from fastbench.serve.queues import Model

SEPARATOR = "|>"
SHORTEST_DAG = {False: 6, True: 4}  # words; True: the deprecated AI.DAGRUN


@dataclass(frozen=True, slots=True)
class SetTensor:
    """AI.TENSORSET: gives a tensor a name inside the DAG."""

    name: bytes
    tensor: Tensor


@dataclass(frozen=True, slots=True)
class GetTensor:
    """AI.TENSORGET: replies with a tensor of the DAG."""

    name: bytes
    form: Format


Op: TypeAlias = SetTensor | GetTensor | Execution
FindModel: TypeAlias = Callable[[bytes], "Model"]
FindTensor: TypeAlias = Callable[[bytes], Tensor]


@dataclass(slots=True)
class Dag:
    """A parsed DAG: ``loaded`` are its tensors from the keyspace, ``persist`` names to keep."""

    ops: list[Op] = field(default_factory=list)
    loaded: dict[bytes, Tensor] = field(default_factory=dict)
    persist: list[bytes] = field(default_factory=list)
    timeout_s: float = NO_TIMEOUT


def parse_dag(request: Request, find_model: FindModel, find_tensor: FindTensor) -> Dag:
    """Read a whole DAG command; ``find_*`` look keys up and raise the error replies."""
    command = upper(request[0])
    legacy = command.startswith("AI.DAGRUN")
    if len(request) < SHORTEST_DAG[legacy]:
        kind = "wrong number of" if legacy else "missing"
        msg = f"ERR {kind} arguments for '{command}' command"
        raise CommandError(msg)
    words = Words(request)
    dag = _parse_head(words, find_tensor, command)
    dag.ops = [_parse_op(op, find_model, legacy=legacy) for op in _split(words.rest())]
    if not dag.ops:
        msg = "ERR DAG is empty"
        raise CommandError(msg)
    _check_names(dag)
    return dag


def _parse_head(words: Words, find_tensor: FindTensor, command: str) -> Dag:
    """Read LOAD, PERSIST, ROUTING and TIMEOUT, up to the first separator."""
    dag, seen = Dag(), set()
    while len(words) and (option := words.keyword()) != SEPARATOR:
        word = words.key()
        if option in seen or option not in ("LOAD", "PERSIST", "ROUTING", "TIMEOUT"):
            raise _unexpected(word.decode("latin-1"))
        seen.add(option)
        if option == "LOAD":
            dag.loaded = {key: find_tensor(key) for key in _counted_keys(words, option)}
        elif option == "PERSIST":
            dag.persist = _parse_persist(words, command)
        elif option == "TIMEOUT":
            dag.timeout_s = parse_timeout(words, any_sign=True)
        else:
            _require(words, option)
            words.take()
    if not command.startswith("AI.DAGRUN") and seen <= {"TIMEOUT"}:
        msg = (
            "ERR AI.DAGEXECUTE and AI.DAGEXECUTE_RO commands must contain at least one out of"
            " ROUTING, LOAD, PERSIST keywords"
        )
        raise CommandError(msg)
    return dag


def _parse_persist(words: Words, command: str) -> list[bytes]:
    if command.endswith("_RO"):
        msg = "ERR PERSIST cannot be specified in a read-only DAG"
        raise CommandError(msg)
    return _counted_keys(words, "PERSIST")


def _counted_keys(words: Words, option: str) -> list[bytes]:
    _require(words, option)
    count = words.integer(
        f"ERR invalid or negative value found in number of keys to {option}", low=0
    )
    if count > len(words):
        problem = "into DAG does not match the number of given arguments"
        msg = f"ERR number of keys to {option} {problem}"
        raise CommandError(msg)
    return words.keys(count)


def _require(words: Words, option: str) -> None:
    if not len(words):
        msg = f"ERR missing arguments after {option} keyword in DAG command"
        raise CommandError(msg)


def _split(words: Request) -> list[Request]:
    """Cut ``|> a b |> c`` into ``[a b]`` and ``[c]``."""
    ops: list[Request] = []
    for word in words:
        if len(word) == len(SEPARATOR) and upper(word) == SEPARATOR:
            ops.append([])
        else:
            ops[-1].append(word)
    if [] in ops:
        raise _unexpected(SEPARATOR)
    return ops


def _parse_op(op: Request, find_model: FindModel, *, legacy: bool) -> Op:
    match upper(op[0]), legacy:
        case "AI.TENSORSET", _:
            _check_length(op, len(op) >= SHORTEST_SET)
            words = Words(op)
            return SetTensor(words.key(), parse_tensor(words))
        case "AI.TENSORGET", _:
            _check_length(op, 1 < len(op) <= LONGEST_GET)
            words = Words(op)
            return GetTensor(words.key(), parse_format(words))
        case "AI.MODELEXECUTE", False:
            return _parse_execution(op, find_model, SHORTEST_EXECUTE)
        case "AI.MODELRUN", True:
            return _parse_execution(op, find_model, SHORTEST_RUN)
        case "AI.MODELEXECUTE", True:
            msg = "AI.MODELEXECUTE cannot be used in a deprecated AI.DAGRUN command"
        case "AI.MODELRUN", False:
            msg = "Deprecated AI.MODELRUN cannot be used in AI.DAGEXECUTE command"
        case _:
            msg = "Unsupported command within DAG"
    raise CommandError(msg)


def _parse_execution(op: Request, find_model: FindModel, shortest: int) -> Execution:
    if len(op) < shortest:
        raise wrong_arity(upper(op[0]))
    words = Words(op)
    model = find_model(words.key())
    parse = parse_execute if shortest == SHORTEST_EXECUTE else parse_run
    execution = parse(words, model)
    if execution.timeout_s != NO_TIMEOUT:
        msg = "ERR TIMEOUT not allowed within a DAG command"
        raise CommandError(msg)
    return execution


def _check_length(op: Request, good: bool) -> None:
    if not good:  # in a DAG without the ERR that the command itself would reply with
        msg = f"wrong number of arguments for '{upper(op[0])}' command"
        raise CommandError(msg)


def _check_names(dag: Dag) -> None:
    """Every input must come from LOAD or an earlier op, every name to persist from some op."""
    known = set(dag.loaded)
    for op in dag.ops:
        if isinstance(op, SetTensor):
            known.add(op.name)
            continue
        needed = op.inputs if isinstance(op, Execution) else [op.name]
        if not known.issuperset(needed):
            msg = "ERR INPUT key cannot be found in DAG"
            raise CommandError(msg)
        if isinstance(op, Execution):
            known.update(op.outputs)
    if not known.issuperset(dag.persist):
        msg = "ERR PERSIST key cannot be found in DAG"
        raise CommandError(msg)
    if len(set(dag.persist)) != len(dag.persist):
        msg = "ERR PERSIST keys must be unique"
        raise CommandError(msg)


def _unexpected(word: str) -> CommandError:
    return CommandError(f"ERR Invalid DAG command. Unexpected argument:  {word}")
