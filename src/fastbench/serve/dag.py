"""AI.DAGEXECUTE and its kin: the whole command is understood before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from fastbench.serve.execute import NO_TIMEOUT, Execution, parse_execution, parse_timeout
from fastbench.serve.resp import CommandError, Request
from fastbench.serve.state import find
from fastbench.serve.tensors import (
    LONGEST_GET,
    SHORTEST_SET,
    Format,
    Tensor,
    parse_format,
    parse_tensor,
)
from fastbench.serve.words import MISMATCH, Words, upper

if TYPE_CHECKING:
    from fastbench.serve.state import Keys

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


@dataclass(slots=True)
class Dag:
    """A parsed DAG: ``loaded`` are its tensors from the keyspace, ``persist`` names to keep."""

    ops: list[Op] = field(default_factory=list)
    loaded: dict[bytes, Tensor] = field(default_factory=dict)
    persist: list[bytes] = field(default_factory=list)
    timeout_s: float = NO_TIMEOUT


def parse_dag(request: Request, keys: Keys) -> Dag:
    """Read a whole DAG command; raise the error replies."""
    command = upper(request[0])
    legacy = command.startswith("AI.DAGRUN")
    if len(request) < SHORTEST_DAG[legacy]:
        kind = "wrong number of" if legacy else "missing"
        msg = f"ERR {kind} arguments for '{command}' command"
        raise CommandError(msg)
    words = Words(request)
    dag = _parse_head(words, keys, command)
    dag.ops = [_parse_op(op, keys, command) for op in _split(words.rest())]
    if not dag.ops:
        msg = "ERR DAG is empty"
        raise CommandError(msg)
    _check_names(dag)
    return dag


def _parse_head(words: Words, keys: Keys, command: str) -> Dag:
    """Read LOAD, PERSIST, ROUTING and TIMEOUT, up to the first separator."""
    dag, seen = Dag(), set()
    while len(words) and (option := words.keyword()) != SEPARATOR:
        word = words.key()
        if option in seen or option not in ("LOAD", "PERSIST", "ROUTING", "TIMEOUT"):
            raise _unexpected(word.decode("latin-1"))
        seen.add(option)
        if option == "LOAD":
            loaded = _counted_keys(words, option)
            dag.loaded = {key: find(keys, key, Tensor) for key in loaded}
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
    return words.counted(
        f"ERR invalid or negative value found in number of keys to {option}",
        f"ERR number of keys to {option} into DAG {MISMATCH}",
        low=0,
    )


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


def _parse_op(op: Request, keys: Keys, command: str) -> Op:
    name, legacy = upper(op[0]), command.startswith("AI.DAGRUN")
    match name:
        case "AI.TENSORSET":
            _check_length(op, len(op) >= SHORTEST_SET)
            words = Words(op)
            return SetTensor(words.key(), parse_tensor(words))
        case "AI.TENSORGET":
            _check_length(op, 1 < len(op) <= LONGEST_GET)
            words = Words(op)
            return GetTensor(words.key(), parse_format(words))
        case "AI.MODELEXECUTE" | "AI.SCRIPTEXECUTE" if legacy:
            msg = f"{name} cannot be used in a deprecated AI.DAGRUN command"
        case "AI.MODELRUN" | "AI.SCRIPTRUN" if not legacy:
            msg = f"Deprecated {name} cannot be used in AI.DAGEXECUTE command"
        case "AI.SCRIPTEXECUTE" if command.endswith("_RO"):
            msg = f"ERR {name} command cannot be specified in a read-only DAG"
        case "AI.MODELEXECUTE" | "AI.MODELRUN" | "AI.SCRIPTEXECUTE" | "AI.SCRIPTRUN":
            return parse_execution(op, keys, in_dag=True)
        case _:
            msg = "Unsupported command within DAG"
    raise CommandError(msg)


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
