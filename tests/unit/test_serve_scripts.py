"""Scripts in the embedded server byte for byte, as RedisAI 1.2.7 replies."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from support.wire import Wire, Words, check, reply, server_in_thread

from fastbench.models import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
def add(tensors: List[Tensor], keys: List[str], args: List[str]):
    return tensors[0] + tensors[1]

def two(tensors: List[Tensor], keys: List[str], args: List[str]):
    return torch.relu(tensors[0]), tensors[0] * float(args[0])

def count(tensors: List[Tensor], keys: List[str], args: List[str]):
    return torch.tensor([len(tensors), len(keys), len(args)])

def number(tensors: List[Tensor], keys: List[str], args: List[str]):
    return 1

def nothing(tensors: List[Tensor], keys: List[str], args: List[str]):
    pass

def product(left, right):
    return left * right

def total(first, others: List[Tensor]):
    for other in others:
        first = first + other
    return [first]

def power(base, exponent: int):
    return base ** exponent
"""
ENTRY_POINTS: Words = ("ENTRY_POINTS", 5, "add", "two", "count", "number", "nothing")
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NO_TENSOR = "ERR tensor key is empty or in a different shard"
NO_BACKEND = "ERR Could not load backend"
NO_MATCH = "does not match the number of given arguments"
WRONG_TYPES = (
    "Wrong inputs type in function f. Expected signature similar to:"
    " def f(tensors: List[Tensor], keys: List[str], args: List[str])"
)
NOT_IN_EXEC = "ERR Cannot run RedisAI command within a transaction or a LUA script"

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch warns of its own future


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """Connect to a server with a string ``s``, tensors ``t`` = [[1, 1.5]] and ``u`` = 2 t."""
    with server_in_thread(tmp_path) as path, Wire(path) as wire:
        wire.ask("SET", "s", "text")
        wire.ask("AI.TENSORSET", "t", "FLOAT", 1, 2, "VALUES", 1, 1.5)
        wire.ask("AI.TENSORSET", "u", "FLOAT", 1, 2, "VALUES", 2, 3)
        yield wire


@pytest.fixture
def scripts(wire: Wire) -> Wire:
    """Return the connection; there is also a script ``x``."""
    check(wire, ("AI.SCRIPTSTORE", "x", "cpu", *ENTRY_POINTS, "SOURCE", SOURCE), "+OK")
    return wire


def values(wire: Wire, key: str) -> list[float]:
    """Return the numbers of a tensor of one or two dimensions."""
    lines = wire.ask("AI.TENSORGET", key, "VALUES").split(b"\r\n")[1:-1]
    return [float(line.removeprefix(b":")) for line in lines if not line.startswith(b"$")]


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_without_pytorch(wire: Wire) -> None:
    """Scripts are refused where PyTorch is not installed."""
    words = ("AI.SCRIPTSTORE", "x", "CPU", "ENTRY_POINTS", 1, "f", "SOURCE", "def f(): pass")
    check(wire, words, f"-{NO_BACKEND}")
    check(wire, ("AI.SCRIPTSET", "x", "CPU", "SOURCE", "def f(): pass"), f"-{NO_BACKEND}")
    check(wire, ("EXISTS", "x"), ":0")


STORE_ERRORS: list[tuple[Words, str]] = [
    (("CPU", "ENTRY_POINTS", 1, "f"), "ERR wrong number of arguments for 'ai.scriptstore' command"),
    (("TPU", "ENTRY_POINTS", 1, "f", "SOURCE", "x"), "ERR unsupported device"),
    (
        ("CPU", "TAG", "t", "FOO", 1, "f", "SOURCE", "x"),
        "ERR Insufficient arguments, missing script entry points",
    ),
    (
        ("CPU", "ENTRY_POINTS", 9, "f", "SOURCE", "x"),
        "ERR Insufficient arguments, missing script entry points",
    ),
    (
        ("CPU", "ENTRY_POINTS", "f", "g", "SOURCE", "x"),
        "ERR Non numeric entry points number provided to AI.SCRIPTSTORE command",
    ),
    (
        ("CPU", "ENTRY_POINTS", 3, "f", "SOURCE", "x"),
        "ERR Insufficient arguments, missing script SOURCE",
    ),
    (
        ("CPU", "ENTRY_POINTS", 1, "f", "BLOB", "x"),
        "ERR Insufficient arguments, missing script SOURCE",
    ),
]


@pytest.mark.parametrize(("words", "error"), STORE_ERRORS)
def test_scriptstore_usage(wire: Wire, words: Words, error: str) -> None:
    """A malformed AI.SCRIPTSTORE has RedisAI's words, with PyTorch and without."""
    check(wire, ("AI.SCRIPTSTORE", "x", *words), f"-{error}")
    check(wire, ("EXISTS", "x"), ":0")


def test_no_such_script(wire: Wire) -> None:
    """What names a script finds it, or says what is wrong with the key."""
    for command, *rest in (
        ("AI.SCRIPTGET",),
        ("AI.SCRIPTDEL",),
        ("AI.SCRIPTEXECUTE", "f", "INPUTS", 1, "t", "OUTPUTS", 1, "o"),
        ("AI.SCRIPTRUN", "f", "INPUTS", "t", "OUTPUTS", "o"),
    ):
        check(wire, (str(command), "none", *rest), "-ERR script key is empty")
        check(wire, (str(command), "s", *rest), f"-{WRONG_TYPE}")
    check(wire, ("AI._SCRIPTSCAN",), "*0")
    for command in ("AI.SCRIPTEXECUTE", "AI.SCRIPTRUN"):
        error = f"-ERR wrong number of arguments for '{command}' command"
        check(wire, (command, "x"), error)


@needs_torch
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("x", "expected def but found 'ident' here: x"),
        (
            "def f(tensors: List[Tensor], keys: List[str]):\n    return tensors[0]\n",
            "Wrong number of inputs in function f. Expected 3 but was 2",
        ),
        (
            "def f(a, b, c):\n    return a\n",
            WRONG_TYPES,
        ),
        ("def g(a):\n    return a\n", "Function f does not exist in the given script."),
    ],
)
def test_scripts_that_cannot_be_stored(wire: Wire, source: str, error: str) -> None:
    """What PyTorch or the check of the entry points refuses is one error line."""
    words = ("AI.SCRIPTSTORE", "x", "CPU", "ENTRY_POINTS", 1, "f", "SOURCE", source)
    check(wire, words, f"-{error}")
    check(wire, ("EXISTS", "x"), ":0")


@needs_torch
@pytest.mark.parametrize("name", ["os", "redis", "find_spec", "CommandError"])
def test_scripts_reach_nothing_but_torch(wire: Wire, name: str) -> None:
    """A script can name neither Python's modules nor anything of the server."""
    source = f"def f(a):\n    return {name}.system(a)\n"
    error = wire.ask("AI.SCRIPTSET", "x", "CPU", "SOURCE", source)
    assert error.startswith(f"- undefined value {name}:".encode()), error


@needs_torch
def test_store_get_scan_delete(wire: Wire) -> None:
    """A script is stored, described in RedisAI's fields, listed, replaced and deleted."""
    source = "def f(a):\n    return a\n"
    check(wire, ("AI.SCRIPTSET", "x", "cpu", "TAG", "v1", "SOURCE", source), "+OK")
    meta = ["$6", "device", "$3", "cpu", "$3", "tag", "$2", "v1", "$12", "Entry Points", "*0"]
    whole = ["*8", *meta, "$6", "source", f"${len(source)}", source]
    check(wire, ("AI.SCRIPTGET", "x"), *whole)
    check(wire, ("AI.SCRIPTGET", "x", "SOURCE", "META"), *whole)
    check(wire, ("AI.SCRIPTGET", "x", "META"), "*6", *meta)
    check(wire, ("AI.SCRIPTGET", "x", "source"), f"${len(source)}", source)
    check(wire, ("AI._SCRIPTSCAN",), "*1", "*2", "$1", "x", "$2", "v1")
    check(wire, ("AI._MODELSCAN",), "*0")
    check(wire, ("TYPE", "x"), "+AI_SCRIPT")
    words = ("AI.SCRIPTSTORE", "x", "CPU", *ENTRY_POINTS, "SOURCE", SOURCE)
    check(wire, words, "+OK")
    names = ["*5", "$3", "add", "$3", "two", "$5", "count", "$6", "number", "$7", "nothing"]
    empty = ["$6", "device", "$3", "CPU", "$3", "tag", "$0", "", "$12", "Entry Points", *names]
    check(wire, ("AI.SCRIPTGET", "x", "META"), "*6", *empty)
    check(wire, ("AI.SCRIPTSTORE", "s", "CPU", *ENTRY_POINTS, "SOURCE", SOURCE), f"-{WRONG_TYPE}")
    check(wire, ("AI.SCRIPTDEL", "x"), "+OK")
    check(wire, ("EXISTS", "x"), ":0")


EXECUTE_ERRORS: list[tuple[Words, str]] = [
    (
        ("add", "OUTPUTS", 1, "o"),
        "ERR KEYS or INPUTS scope must be provided first for AI.SCRIPTEXECUTE command",
    ),
    (
        ("add", "INPUTS", 1, "t", "FOO"),
        "ERR Invalid AI.SCRIPTEXECUTE command. Unexpected argument: FOO",
    ),
    (
        ("add", "INPUTS", 1, "t", "INPUTS", 1, "t"),
        "ERR Already Encountered INPUTS scope in AI.SCRIPTEXECUTE command",
    ),
    (("add", "INPUTS"), "ERR Invalid arguments provided to AI.SCRIPTEXECUTE"),
    (("add", "INPUTS", "t"), "ERR Invalid argument for inputs count in AI.SCRIPTEXECUTE"),
    (
        ("add", "INPUTS", 2, "t"),
        f"ERR number of inputs to AI.SCRIPTEXECUTE command {NO_MATCH}",
    ),
    (("add", "KEYS", 1), "ERR Missing arguments after KEYS keyword"),
    (("add", "KEYS", 0, "k"), "ERR Invalid or negative value found in number of KEYS"),
    (
        ("add", "KEYS", 2, "k"),
        f"ERR Number of pre declared KEYS to be used in the command {NO_MATCH}",
    ),
    (
        ("add", "INPUTS", 1, "t", "TIMEOUT"),
        "ERR No value provided for TIMEOUT in AI.SCRIPTEXECUTE",
    ),
    (("add", "INPUTS", 1, "t", "TIMEOUT", 0), "ERR Invalid value for TIMEOUT"),
    (
        ("add", "INPUTS", 1, "t", "TIMEOUT", 9, "OUTPUTS", 1, "o"),
        "ERR Encountered problem parsing AI.SCRIPTEXECUTE",
    ),
    (("add", "INPUTS", 1, "none", "OUTPUTS", 1, "o"), NO_TENSOR),
    (("add", "INPUTS", 1, "s", "OUTPUTS", 1, "o"), WRONG_TYPE),
    (("none", "INPUTS", 1, "t", "OUTPUTS", 1, "o"), "Function does not exist: none"),
    (
        ("two", "INPUTS", 1, "t", "ARGS", 1, "2", "OUTPUTS", 1, "o"),
        "Function returned unexpected number of outputs - two",
    ),
    (
        ("number", "INPUTS", 1, "t", "OUTPUTS", 1, "o"),
        "Function returned non-tensor valuesnumber",
    ),
    (
        ("product", "INPUTS", 1, "t", "OUTPUTS", 1, "o"),
        "Wrong number of inputs provided to function: product",
    ),
    (
        ("power", "INPUTS", 2, "t", "t", "OUTPUTS", 1, "o"),
        "Unsupported input type in function definition: power",
    ),
]


@needs_torch
@pytest.mark.parametrize(("words", "error"), EXECUTE_ERRORS)
def test_scriptexecute_errors(scripts: Wire, words: Words, error: str) -> None:
    """Every refused AI.SCRIPTEXECUTE has RedisAI's words and stores nothing."""
    check(scripts, ("AI.SCRIPTEXECUTE", "x", *words), f"-{error}")
    check(scripts, ("EXISTS", "o"), ":0")


@needs_torch
def test_scriptexecute(scripts: Wire) -> None:
    """Entry points get tensors, keys and arguments; their outputs are stored."""
    words = ("AI.SCRIPTEXECUTE", "x", "add", "INPUTS", 2, "t", "u", "OUTPUTS", 1, "sum")
    check(scripts, words, "+OK")
    assert values(scripts, "sum") == [3, 4.5]
    words = ("AI.SCRIPTEXECUTE", "x", "two", "KEYS", 1, "k", "INPUTS", 1, "t", "ARGS", 1, "-2")
    check(scripts, (*words, "OUTPUTS", 2, "a", "b", "TIMEOUT", 60000), "+OK")
    assert (values(scripts, "a"), values(scripts, "b")) == ([1, 1.5], [-2, -3])
    words = ("AI.SCRIPTEXECUTE", "x", "count", "INPUTS", 2, "t", "t", "KEYS", 1, "k")
    check(scripts, (*words, "OUTPUTS", 1, "n", "ARGS", 3, "a", "b", "c"), "+OK")
    assert values(scripts, "n") == [2, 1, 3]
    check(scripts, ("AI.SCRIPTEXECUTE", "x", "nothing", "KEYS", 1, "k"), "+OK")
    words = ("AI.SCRIPTEXECUTE", "x", "add", "INPUTS", 1, "t", "OUTPUTS", 1, "o")
    failed = b"-The following operation failed in the TorchScript interpreter. Traceback"
    assert scripts.ask(*words).startswith(failed)


@needs_torch
def test_functions_that_are_no_entry_points(scripts: Wire) -> None:
    """Tensors are given one by one, the rest to a list, as AI.SCRIPTRUN always did."""
    words = ("AI.SCRIPTEXECUTE", "x", "product", "INPUTS", 2, "t", "u", "OUTPUTS", 1, "o")
    check(scripts, words, "+OK")
    assert values(scripts, "o") == [2, 4.5]
    words = ("AI.SCRIPTRUN", "x", "total", "TIMEOUT", 60000, "INPUTS", "t", "$", "u", "u")
    check(scripts, (*words, "OUTPUTS", "o"), "+OK")
    assert values(scripts, "o") == [5, 7.5]
    check(
        scripts,
        ("AI.SCRIPTRUN", "x", "total", "t"),
        "-ERR Unrecongnized parameter to SCRIPTRUN",  # codespell:ignore
    )


@needs_torch
def test_scripts_in_dags(scripts: Wire) -> None:
    """A script takes what a model gave and gives what a model takes."""
    scripts.ask(
        "AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", load_model("identity").path.read_bytes()
    )
    words = (
        *("AI.DAGEXECUTE", "LOAD", 2, "t", "u", "PERSIST", 1, "o"),
        *("|>", "AI.MODELEXECUTE", "m", "INPUTS", 1, "t", "OUTPUTS", 1, "a"),
        *("|>", "AI.SCRIPTEXECUTE", "x", "add", "INPUTS", 2, "a", "u", "OUTPUTS", 1, "b"),
        *("|>", "AI.MODELEXECUTE", "m", "INPUTS", 1, "b", "OUTPUTS", 1, "o"),
    )
    check(scripts, words, "*3", "+OK", "+OK", "+OK")
    assert values(scripts, "o") == [3, 4.5]
    old = ("AI.DAGRUN", "LOAD", 2, "t", "u", "|>", "AI.SCRIPTRUN", "x", "product")
    words = (*old, "INPUTS", "t", "u", "OUTPUTS", "p", "|>", "AI.TENSORGET", "p", "VALUES")
    check(scripts, words, "*2", "+OK", "*2", "$1", "2", "$3", "4.5")


@needs_torch
def test_script_errors_in_dags(scripts: Wire) -> None:
    """A failing script is an error inside the reply; a misplaced one is refused as a whole."""
    run: Words = ("|>", "AI.SCRIPTEXECUTE", "x", "none", "INPUTS", 1, "t", "OUTPUTS", 1, "o")
    again: Words = ("|>", "AI.SCRIPTEXECUTE", "x", "add", "INPUTS", 1, "o", "OUTPUTS", 1, "p")
    words: Words = ("AI.DAGEXECUTE", "LOAD", 1, "t", "PERSIST", 1, "o", *run, *again)
    check(scripts, words, "*2", "-Function does not exist: none", "+NA")
    check(scripts, ("EXISTS", "o"), ":0")
    for command, op, error in (
        (
            "AI.DAGEXECUTE_RO",
            run,
            "ERR AI.SCRIPTEXECUTE command cannot be specified in a read-only DAG",
        ),
        ("AI.DAGRUN", run, "AI.SCRIPTEXECUTE cannot be used in a deprecated AI.DAGRUN command"),
        (
            "AI.DAGEXECUTE",
            ("|>", "AI.SCRIPTRUN", "x", "add", "INPUTS", "t", "OUTPUTS", "o"),
            "Deprecated AI.SCRIPTRUN cannot be used in AI.DAGEXECUTE command",
        ),
        ("AI.DAGEXECUTE", (*run, "TIMEOUT", 5), "ERR TIMEOUT not allowed within a DAG command"),
        (
            "AI.DAGEXECUTE",
            ("|>", "AI.SCRIPTEXECUTE", "x", "add", "INPUTS", 1, "u", "OUTPUTS", 1, "o"),
            "ERR INPUT key cannot be found in DAG",
        ),
    ):
        check(scripts, (command, "LOAD", 1, "t", *op), f"-{error}")


@needs_torch
def test_script_info(scripts: Wire) -> None:
    """AI.INFO counts calls and errors of a script; it has no samples."""
    for function in ("add", "none", "add"):
        run = ("AI.SCRIPTEXECUTE", "x", function, "INPUTS", 2, "t", "u", "OUTPUTS", 1, "o")
        scripts.ask(*run)
    lines = scripts.ask("AI.INFO", "x").decode().split("\r\n")
    words = [line for line in lines[1:-1] if not line.startswith("$")]
    found = dict(zip(words[::2], words[1::2], strict=True))

    assert lines[0] == "*18"
    assert (found["type"], found["backend"], found["device"]) == ("SCRIPT", "TORCH", "cpu")
    assert (found["samples"], found["calls"], found["errors"]) == (":-1", ":3", ":1")
    assert int(found["duration"].removeprefix(":")) > 0
    check(scripts, ("AI.INFO", "x", "RESETSTAT"), "+OK")
    assert b"calls\r\n:0\r\n" in scripts.ask("AI.INFO", "x")


@needs_torch
def test_not_in_transactions(scripts: Wire) -> None:
    """A script is not run in MULTI/EXEC."""
    scripts.send("MULTI")
    scripts.send("AI.SCRIPTEXECUTE", "x", "add", "INPUTS", 2, "t", "u", "OUTPUTS", 1, "o")
    scripts.send("EXEC")
    assert reply("+OK", "+QUEUED", "*1", f"-{NOT_IN_EXEC}") == scripts.until_echo()
