"""The embedded server byte for byte, against what a RedisAI 1.2.7 server replied."""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec
from typing import TYPE_CHECKING

import onnx
import pytest
from support.wire import Wire, Words, check, encode, reply, server_in_thread

from fastbench.models import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NO_TENSOR = "ERR tensor key is empty or in a different shard"


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    """Run a server of its own for the test."""
    with server_in_thread(tmp_path) as path:
        yield path


@pytest.fixture
def wire(socket_path: Path) -> Iterator[Wire]:
    """Connect; the keys are a string ``s``, a tensor ``t`` = [[1, 1.5]] and a model ``m``."""
    with Wire(socket_path) as wire:
        wire.ask("SET", "s", "text")
        wire.ask("AI.TENSORSET", "t", "FLOAT", 1, 2, "VALUES", 1, 1.5)
        wire.ask("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", identity())
        yield wire


def identity() -> bytes:
    """Return a model that copies a float32 [N, M] tensor."""
    return load_model("identity").path.read_bytes()


def addition() -> bytes:
    """Return a model that adds two float32 [N, M] tensors."""
    names = ["left", "right", "sum"]
    values = [onnx.helper.make_tensor_value_info(n, 1, ["N", "M"]) for n in names]
    node = onnx.helper.make_node("Add", names[:2], names[2:])
    graph = onnx.helper.make_graph([node], "addition", values[:2], values[2:])
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[opset]).SerializeToString()


TENSORSET_ERRORS: list[tuple[Words, str]] = [
    (("FLOAT", 2, "BLOB", b"1234"), "ERR data length does not match tensor shape and type"),
    (("FLOAT", 2, "BLOB", b""), "ERR data length does not match tensor shape and type"),
    (
        ("FLOAT", 2, "BLOB"),
        "ERR a single binary string should come after the BLOB argument in 'AI.TENSORSET' command",
    ),
    (
        ("FLOAT", 1, "BLOB", b"1234", b"5678"),
        "ERR a single binary string should come after the BLOB argument in 'AI.TENSORSET' command",
    ),
    (
        ("FLOAT", 2, "VALUES", 1),
        "ERR wrong number of values was given in 'AI.TENSORSET' command",
    ),
    (("FLOAT", 1, "VALUES", "x"), "ERR invalid value"),
    (("INT8", 1, "VALUES", 128), "ERR invalid value"),
    (("UINT16", 1, "VALUES", 65536), "ERR invalid value"),
    (("INT32", 1, "VALUES", -1), "ERR invalid value"),
    (("FLOAT", 0), "ERR invalid or negative value found in tensor shape"),
    (("FLOAT", -1), "ERR invalid or negative value found in tensor shape"),
    (("FLOAT", "x"), "ERR invalid or negative value found in tensor shape"),
    (("BOOL", 2, "BLOB", b"\0\2"), "ERR BOOL tensor elements must be 0 or 1"),
    (
        ("STRING", 3, "BLOB", b"a\0b\0"),
        "ERR Number of string elements in data blob does not match tensor length",
    ),
    (("FLOAT32", 1), "ERR invalid data type"),
    (("UINT64", 1), "ERR invalid data type"),
]


@pytest.mark.parametrize(("words", "error"), TENSORSET_ERRORS)
def test_tensorset_errors(wire: Wire, words: Words, error: str) -> None:
    """Every refused AI.TENSORSET has RedisAI's words and sets nothing."""
    check(wire, ("AI.TENSORSET", "new", *words), f"-{error}")
    check(wire, ("EXISTS", "new"), ":0")


def test_tensorset_of_other_keys(wire: Wire) -> None:
    """A tensor replaces a tensor only, and three words are too few."""
    check(wire, ("AI.TENSORSET", "s", "FLOAT", 1), f"-{WRONG_TYPE}")
    check(wire, ("AI.TENSORSET", "t", "INT8", 1), "+OK")
    check(
        wire,
        ("AI.TENSORSET", "t", "FLOAT"),
        "-ERR wrong number of arguments for 'ai.tensorset' command",
    )


def test_tensorget_forms(wire: Wire) -> None:
    """Every form of AI.TENSORGET, in any order and case."""
    blob = struct.pack("<2f", 1, 1.5).decode("latin-1")
    meta = ["$5", "dtype", "$5", "FLOAT", "$5", "shape", "*2", ":1", ":2"]
    values = ["*2", "$1", "1", "$3", "1.5"]
    check(wire, ("AI.TENSORGET", "t"), "*6", *meta, "$4", "blob", "$8", blob)
    check(wire, ("AI.TENSORGET", "t", "BLOB", "META"), "*6", *meta, "$4", "blob", "$8", blob)
    check(wire, ("ai.tensorget", "t", "meta"), "*4", *meta)
    check(wire, ("AI.TENSORGET", "t", "BLOB"), "$8", blob)
    check(wire, ("AI.TENSORGET", "t", "VALUES"), *values)
    check(wire, ("AI.TENSORGET", "t", "META", "VALUES"), "*6", *meta, "$6", "values", *values)


def test_tensorget_errors(wire: Wire) -> None:
    """Every refused AI.TENSORGET has RedisAI's words."""
    check(wire, ("AI.TENSORGET", "none"), f"-{NO_TENSOR}")
    check(wire, ("AI.TENSORGET", "s"), f"-{WRONG_TYPE}")
    check(wire, ("AI.TENSORGET", "t", "FOO"), "-ERR unsupported data format")
    check(wire, ("AI.TENSORGET", "t", "BLOB", "VALUES"), "-ERR both BLOB and VALUES specified")
    check(
        wire,
        ("AI.TENSORGET", "t", "META", "BLOB", "BLOB"),
        "-ERR wrong number of arguments for 'ai.tensorget' command",
    )


@pytest.mark.parametrize(
    ("dtype", "form", "values"),
    [
        ("FLOAT", "<2f", (1.5, -2)),
        ("DOUBLE", "<2d", (1.5, -2)),
        ("INT8", "<2b", (-1, 127)),
        ("INT16", "<2h", (-1, 32767)),
        ("INT32", "<2i", (-1, 5)),
        ("INT64", "<2q", (-1, 5)),
        ("UINT8", "<2B", (0, 255)),
        ("UINT16", "<2H", (0, 65535)),
        ("BOOL", "<2?", (0, 1)),
    ],
)
def test_dtypes(wire: Wire, dtype: str, form: str, values: tuple[float, float]) -> None:
    """A blob of every type comes back as it went in, and its values are its values."""
    blob = struct.pack(form, *values)
    check(wire, ("AI.TENSORSET", "x", dtype, 2, "BLOB", blob), "+OK")
    check(wire, ("AI.TENSORGET", "x", "BLOB"), f"${len(blob)}", blob.decode("latin-1"))
    texts = [f"{value:g}" for value in values]
    floats = [line for text in texts for line in (f"${len(text)}", text)]
    integers = [f":{value}" for value in values]
    expected = floats if dtype in ("FLOAT", "DOUBLE") else integers
    check(wire, ("AI.TENSORGET", "x", "VALUES"), "*2", *expected)


def test_strings_zeros_scalars(wire: Wire) -> None:
    """Strings end with NUL; no data means zeros; no dimensions mean one element."""
    check(wire, ("AI.TENSORSET", "x", "STRING", 2, "BLOB", b"ab\0\0"), "+OK")
    check(wire, ("AI.TENSORGET", "x", "VALUES"), "*2", "$2", "ab", "$0", "")
    check(wire, ("AI.TENSORGET", "x", "BLOB"), "$4", "ab\0\0")
    check(wire, ("AI.TENSORSET", "x", "INT8", 2), "+OK")
    check(wire, ("AI.TENSORGET", "x", "VALUES"), "*2", ":0", ":0")
    check(wire, ("AI.TENSORSET", "x", "FLOAT", "BLOB", b"\0\0\0\0"), "+OK")
    meta = ["*4", "$5", "dtype", "$5", "FLOAT", "$5", "shape", "*0"]
    check(wire, ("AI.TENSORGET", "x", "META"), *meta)


def test_resp3(wire: Wire) -> None:
    """After HELLO 3 floats and null have types of their own; arrays stay flat."""
    assert wire.ask("HELLO", 3).startswith(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
    check(wire, ("AI.TENSORGET", "t", "VALUES"), "*2", ",1", ",1.5")
    check(wire, ("GET", "none"), "_")
    check(wire, ("HELLO", 4), "-NOPROTO unsupported protocol version")


BLOB: Words = ("BLOB", b"x")
STORE_ERRORS: list[tuple[Words, str]] = [
    (("XYZ", "CPU", *BLOB), "ERR unsupported backend"),
    (("ONNX", "TPU", *BLOB), "ERR Invalid DEVICE"),
    (("ONNX", "CPU:x", *BLOB), "ERR Invalid DEVICE"),
    (("TFLITE", "CPU", *BLOB), "ERR Could not load backend"),
    (
        ("TF", "CPU", "INPUTS", 1, "a", "OUTPUTS", 1, "b", *BLOB),
        "ERR Could not load backend",
    ),
    (("TF", "CPU", *BLOB), "ERR INPUTS not specified for TF"),
    (("TF", "CPU", "INPUTS", 1, "a", *BLOB), "ERR OUTPUTS not specified for TF"),
    (("TF", "CPU", "INPUTS", "a", "OUTPUTS", *BLOB), "ERR Invalid argument for input_count"),
    (
        ("ONNX", "CPU", "INPUTS", 1, "a", *BLOB),
        "ERR INPUTS argument should not be specified for this backend",
    ),
    (("ONNX", "CPU", "BATCHSIZE", -1, *BLOB), "ERR Invalid argument for BATCHSIZE"),
    (("ONNX", "CPU", "BATCHSIZE", "x", *BLOB), "ERR Invalid argument for BATCHSIZE"),
    (
        ("ONNX", "CPU", "BATCHSIZE", 2, "MINBATCHSIZE", "x", *BLOB),
        "ERR Invalid argument for MINBATCHSIZE",
    ),
    (("ONNX", "CPU", "MINBATCHSIZE", 2, *BLOB), "ERR MINBATCHSIZE specified without BATCHSIZE"),
    (
        ("ONNX", "CPU", "BATCHSIZE", 2, "MINBATCHTIMEOUT", 2, *BLOB),
        "ERR MINBATCHTIMEOUT specified without MINBATCHSIZE",
    ),
    (("ONNX", "CPU", "BLOB"), "ERR wrong number of arguments for 'ai.modelstore' command"),
    (("ONNX", "CPU", "TAG", "a"), "ERR Insufficient arguments, missing model BLOB"),
    (("ONNX", "CPU", "TAG", "a", "BLOB"), "ERR Insufficient arguments, missing model BLOB"),
    (("ONNX", "CPU", "BATCHSIZES", 1, *BLOB), "ERR Invalid argument, expected BLOB"),
    (
        ("ONNX", "CPU", "BLOB", b"garbage"),
        "Failed to load model because protobuf parsing failed.",
    ),
]


@pytest.mark.parametrize(("words", "error"), STORE_ERRORS)
def test_modelstore_errors(wire: Wire, words: Words, error: str) -> None:
    """Every refused AI.MODELSTORE has RedisAI's words and stores nothing."""
    check(wire, ("AI.MODELSTORE", "new", *words), f"-{error}")
    check(wire, ("EXISTS", "new"), ":0")


def test_modelstore_over_another_type(wire: Wire) -> None:
    """A model does not replace a tensor (RedisAI 1.2.7 crashes here)."""
    check(wire, ("AI.MODELSTORE", "t", "ONNX", "CPU", "BLOB", identity()), f"-{WRONG_TYPE}")


def test_gpu_without_cuda(wire: Wire) -> None:
    """A GPU is refused where onnxruntime has no CUDA."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    error = "-ERR GPU requested but ONNX couldn't find CUDA"
    check(wire, ("AI.MODELSTORE", "g", "ONNX", "GPU:0", "BLOB", identity()), error)


def test_modelget(wire: Wire) -> None:
    """AI.MODELGET gives back what was stored, the device as it was spelt."""
    blob = identity()
    store = ("AI.MODELSTORE", "x", "onnx", "cpu:1", "TAG", "v1", "BATCHSIZE", 8, "MINBATCHSIZE", 2)
    check(wire, (*store, "MINBATCHTIMEOUT", 5, "BLOB", blob[:9], blob[9:]), "+OK")
    meta = [
        *("$7", "backend", "$4", "ONNX", "$6", "device", "$5", "cpu:1", "$3", "tag", "$2", "v1"),
        *("$9", "batchsize", ":8", "$12", "minbatchsize", ":2"),
        *("$6", "inputs", "*1", "$5", "input", "$7", "outputs", "*1", "$6", "output"),
        *("$15", "minbatchtimeout", ":5"),
    ]
    whole = [f"${len(blob)}", blob.decode("latin-1")]
    check(wire, ("AI.MODELGET", "x", "META"), "*16", *meta)
    check(wire, ("AI.MODELGET", "x", "BLOB"), *whole)
    check(wire, ("AI.MODELGET", "x"), "*18", *meta, "$4", "blob", *whole)
    check(wire, ("AI.MODELGET", "x", "META", "BLOB"), "*18", *meta, "$4", "blob", *whole)
    check(wire, ("AI.MODELGET", "none"), "-ERR model key is empty")
    check(wire, ("AI.MODELGET", "t"), f"-{WRONG_TYPE}")


def test_modelget_in_chunks(wire: Wire) -> None:
    """A blob above MODEL_CHUNK_SIZE comes as an array of chunks."""
    blob = identity()
    check(wire, ("AI.CONFIG", "MODEL_CHUNK_SIZE", len(blob) - 1), "+OK")
    first, last = blob[:-1].decode("latin-1"), blob[-1:].decode("latin-1")
    check(wire, ("AI.MODELGET", "m", "BLOB"), "*2", f"${len(first)}", first, "$1", last)


def test_modelset_modeldel_modelscan(wire: Wire) -> None:
    """The deprecated AI.MODELSET ignores names of tensors; the scan lists keys and tags."""
    words = ("AI.MODELSET", "old", "ONNX", "CPU", "TAG", "t1", "INPUTS", "a", "b", "OUTPUTS", "c")
    check(wire, (*words, "BLOB", identity()), "+OK")
    listed = ("*2", "*2", "$1", "m", "$0", "", "*2", "$3", "old", "$2", "t1")
    check(wire, ("AI._MODELSCAN",), *listed)
    check(wire, ("AI.MODELDEL", "old"), "+OK")
    check(wire, ("AI.MODELDEL", "old"), "-ERR model key is empty")
    check(wire, ("AI.MODELDEL", "t"), f"-{WRONG_TYPE}")


EXECUTE_ERRORS: list[tuple[Words, str]] = [
    (("none", "INPUTS", 1, "t", "OUTPUTS", 1, "o"), "ERR model key is empty"),
    (("t", "INPUTS", 1, "t", "OUTPUTS", 1, "o"), WRONG_TYPE),
    (("m", "INPUTS", 1, "none", "OUTPUTS", 1, "o"), NO_TENSOR),
    (("m", "INPUTS", 1, "s", "OUTPUTS", 1, "o"), WRONG_TYPE),
    (("m", "INPUT", 1, "t", "OUTPUTS", 1, "o"), "ERR INPUTS not specified"),
    (("m", "INPUTS", 1, "t", "OUTPUT", 1, "o"), "ERR OUTPUTS not specified"),
    (("m", "INPUTS", "x", "t", "OUTPUTS", 1, "o"), "ERR Invalid argument for input_count"),
    (("m", "INPUTS", 1, "t", "OUTPUTS", "x", "o"), "ERR Invalid argument for output_count"),
    (("m", "INPUTS", 0, "t", "OUTPUTS", 1, "o"), "ERR Input count must be a positive integer"),
    (("m", "INPUTS", 1, "t", "OUTPUTS", 0, "o"), "ERR Output count must be a positive integer"),
    (
        ("m", "INPUTS", 2, "t", "t", "OUTPUTS", 1, "o"),
        "Number of keys given as INPUTS here does not match model definition",
    ),
    (
        ("m", "INPUTS", 1, "t", "OUTPUTS", 2, "o", "p"),
        "Number of keys given as OUTPUTS here does not match model definition",
    ),
    (
        ("m", "INPUTS", 1, "t", "OUTPUTS", 2, "o"),
        (
            "ERR number of output keys to AI.MODELEXECUTE command does not match"
            " the number of given arguments"
        ),
    ),
    (("m", "INPUTS", 1, "t", "OUTPUTS", 1, "o", "TIMEOUT"), "ERR No value provided for TIMEOUT"),
    (("m", "INPUTS", 1, "t", "OUTPUTS", 1, "o", "TIMEOUT", 0), "ERR Invalid value for TIMEOUT"),
    (("m", "INPUTS", 1, "t", "OUTPUTS", 1, "o", "TIMEOUT", "x"), "ERR Invalid value for TIMEOUT"),
    (("m", "INPUTS", 1, "t", "OUTPUTS", 1, "o", "FOO"), "Invalid argument: FOO"),
    (("m", "INPUTS", 1), "ERR wrong number of arguments for 'AI.MODELEXECUTE' command"),
    (("m", "INPUTS", 1, "t", "OUTPUTS", 1, "s"), WRONG_TYPE),
]


@pytest.mark.parametrize(("words", "error"), EXECUTE_ERRORS)
def test_modelexecute_errors(wire: Wire, words: Words, error: str) -> None:
    """Every refused AI.MODELEXECUTE has RedisAI's words and writes nothing."""
    check(wire, ("AI.MODELEXECUTE", *words), f"-{error}")
    check(wire, ("EXISTS", "o"), ":0")


BACKEND_ERRORS: list[tuple[Words, str]] = [
    (
        ("FLOAT", 3),
        (
            "Invalid rank for input: input Got: 1 Expected: 2 Please fix either the inputs/outputs"
            " or the model."
        ),
    ),
    (
        ("UINT8", 1, 2),
        "Unexpected input data type. Actual: (tensor(uint8)) , expected: (tensor(float))",
    ),
]


@pytest.mark.parametrize(("tensor", "error"), BACKEND_ERRORS)
def test_backend_errors(wire: Wire, tensor: Words, error: str) -> None:
    """What onnxruntime says is passed on in one line, without Python's prefix."""
    wire.ask("AI.TENSORSET", "x", *tensor)
    check(wire, ("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "o"), f"-{error}")


def test_wrong_dimensions(wire: Wire) -> None:
    """Wrong dimensions are named as RedisAI names them."""
    blob = load_model("mean_rgb_224").path.read_bytes()
    wire.ask("AI.MODELSTORE", "v", "ONNX", "CPU", "BLOB", blob)
    wire.ask("AI.TENSORSET", "x", "FLOAT", 1, 3, 224, 224)
    error = (
        "-Got invalid dimensions for input: input for the following indices  index: 1 Got: 3"
        " Expected: 224  index: 3 Got: 224 Expected: 3  Please fix either the inputs/outputs or"
        " the model."
    )
    check(wire, ("AI.MODELEXECUTE", "v", "INPUTS", 1, "x", "OUTPUTS", 1, "o"), error)


def test_execute(wire: Wire) -> None:
    """Outputs are stored, also over the input; AI.MODELRUN does the same without counts."""
    check(wire, ("AI.MODELSTORE", "add", "ONNX", "CPU:1", "BLOB", addition()), "+OK")
    check(wire, ("AI.MODELEXECUTE", "add", "INPUTS", 2, "t", "t", "OUTPUTS", 1, "t"), "+OK")
    check(wire, ("AI.TENSORGET", "t", "VALUES"), "*2", "$1", "2", "$1", "3")
    run = ("AI.MODELRUN", "add", "TIMEOUT", 60000, "INPUTS", "t", "t", "OUTPUTS", "o")
    check(wire, run, "+OK")
    check(wire, ("AI.TENSORGET", "o", "VALUES"), "*2", "$1", "4", "$1", "6")
    short = "-ERR wrong number of arguments for 'AI.MODELRUN' command"
    check(wire, ("AI.MODELRUN", "add", "INPUTS", "t", "t"), short)


def test_pipelined_commands_run_in_order(wire: Wire) -> None:
    """What is sent at once is done one after another, executions included."""
    rounds = 50
    for value in range(rounds):
        wire.send("AI.TENSORSET", "x", "FLOAT", 1, 1, "VALUES", value)
        wire.send("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "o")
        wire.send("AI.TENSORGET", "o", "VALUES")
    expected = [
        line
        for value in range(rounds)
        for line in ("+OK", "+OK", "*1", f"${len(str(value))}", str(value))
    ]

    assert reply(*expected) == wire.until_echo()


def info(wire: Wire, key: str) -> dict[str, str]:
    """Return AI.INFO as a dict."""
    lines = wire.ask("AI.INFO", key).decode().split("\r\n")[1:-1]
    words = [line.removeprefix(":") for line in lines if not line.startswith("$")]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_info(wire: Wire) -> None:
    """AI.INFO counts rows, calls and errors; RESETSTAT begins anew."""
    assert wire.ask("AI.INFO", "m").startswith(b"*18\r\n$3\r\nkey\r\n$1\r\nm\r\n")
    wire.ask("AI.TENSORSET", "x", "FLOAT", 3, 2)
    wire.ask("AI.TENSORSET", "bad", "UINT8", 3, 2)
    for key in ("x", "x", "bad"):
        wire.ask("AI.MODELEXECUTE", "m", "INPUTS", 1, key, "OUTPUTS", 1, "o")
    counted = info(wire, "m")

    assert (counted["samples"], counted["calls"], counted["errors"]) == ("6", "3", "1")
    assert int(counted["duration"]) > 0
    check(wire, ("AI.INFO", "m", "RESETSTAT"), "+OK")
    assert info(wire, "m")["calls"] == "0"
    check(wire, ("AI.INFO", "t"), "-ERR cannot find run info for key")


def test_config(wire: Wire) -> None:
    """Every reply of AI.CONFIG."""
    check(wire, ("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE"), ":535822336")
    check(wire, ("AI.CONFIG", "GET", "FOO"), "$-1")
    check(wire, ("AI.CONFIG", "GET"), "-ERR wrong number of arguments for 'ai.config' command")
    check(wire, ("AI.CONFIG", "MODEL_CHUNK_SIZE"), "-ERR MODEL_CHUNK_SIZE: missing chunk size")
    check(wire, ("AI.CONFIG", "MODEL_CHUNK_SIZE", 0), "-ERR MODEL_CHUNK_SIZE: invalid chunk size")
    check(wire, ("AI.CONFIG", "BACKENDSPATH"), "-ERR BACKENDSPATH: missing path argument")
    check(wire, ("AI.CONFIG", "BACKENDSPATH", "/x"), "+OK")
    check(wire, ("AI.CONFIG", "GET", "BACKENDSPATH"), "$2", "/x")
    check(wire, ("AI.CONFIG", "LOADBACKEND", "TF", "x"), "-ERR error loading backend")
    check(wire, ("AI.CONFIG", "LOADBACKEND", "X", "x"), "-ERR unsupported backend")
    check(wire, ("AI.CONFIG", "FOO"), "-ERR unsupported subcommand")


RUN: Words = ("|>", "AI.MODELEXECUTE", "m", "INPUTS", 1, "t", "OUTPUTS", 1, "o")
MUST_CONTAIN = (
    "ERR AI.DAGEXECUTE and AI.DAGEXECUTE_RO commands must contain at least one out of ROUTING,"
    " LOAD, PERSIST keywords"
)
DAG_ERRORS: list[tuple[Words, str]] = [
    (("LOAD", 1, "t"), "ERR missing arguments for 'AI.DAGEXECUTE' command"),
    (RUN, MUST_CONTAIN),
    (("TIMEOUT", 9, *RUN), MUST_CONTAIN),
    (("FOO", 1, "t", *RUN), "ERR Invalid DAG command. Unexpected argument:  FOO"),
    (("KEYS", 1, "t", *RUN), "ERR Invalid DAG command. Unexpected argument:  KEYS"),
    (("LOAD", 1, "t", *RUN, "|>"), "ERR Invalid DAG command. Unexpected argument:  |>"),
    (
        ("LOAD", 1, "t", "LOAD", 1, "t", *RUN),
        "ERR Invalid DAG command. Unexpected argument:  LOAD",
    ),
    (
        ("LOAD", "x", "t", *RUN),
        "ERR invalid or negative value found in number of keys to LOAD",
    ),
    (
        ("LOAD", 1, "t", "PERSIST", -1, "t", *RUN),
        "ERR invalid or negative value found in number of keys to PERSIST",
    ),
    (
        ("LOAD", 99, "t", *RUN),
        "ERR number of keys to LOAD into DAG does not match the number of given arguments",
    ),
    (
        ("ROUTING", "r", "TIMEOUT", 1, "LOAD"),
        "ERR missing arguments after LOAD keyword in DAG command",
    ),
    (("LOAD", 1, "none", *RUN), NO_TENSOR),
    (("LOAD", 1, "s", *RUN), WRONG_TYPE),
    (("LOAD", 1, "t", "PERSIST", 1, "x", *RUN), "ERR PERSIST key cannot be found in DAG"),
    (("LOAD", 1, "t", "PERSIST", 2, "o", "o", *RUN), "ERR PERSIST keys must be unique"),
    (("ROUTING", "r", *RUN), "ERR INPUT key cannot be found in DAG"),
    (("ROUTING", "r", "|>", "AI.TENSORGET", "x"), "ERR INPUT key cannot be found in DAG"),
    (("LOAD", 1, "t", "ROUTING", "r"), "ERR DAG is empty"),
    (("LOAD", 1, "t", "|>", "PING"), "Unsupported command within DAG"),
    (
        ("LOAD", 1, "t", "|>", "AI.MODELRUN", "m", "INPUTS", "t", "OUTPUTS", "o"),
        "Deprecated AI.MODELRUN cannot be used in AI.DAGEXECUTE command",
    ),
    (
        ("LOAD", 1, "t", *RUN, "TIMEOUT", 5),
        "ERR TIMEOUT not allowed within a DAG command",
    ),
    (("LOAD", 1, "t", "TIMEOUT", "x", *RUN), "ERR Invalid value for TIMEOUT"),
    (
        ("LOAD", 1, "t", "|>", "AI.TENSORSET", "x", "FLOAT"),
        "wrong number of arguments for 'AI.TENSORSET' command",
    ),
    (("LOAD", 1, "t", "|>", "AI.TENSORSET", "x", "F", 1), "ERR invalid data type"),
    (
        ("LOAD", 1, "t", "|>", "AI.TENSORGET"),
        "wrong number of arguments for 'AI.TENSORGET' command",
    ),
]


@pytest.mark.parametrize(("words", "error"), DAG_ERRORS)
def test_dag_errors(wire: Wire, words: Words, error: str) -> None:
    """A DAG with a mistake is refused as a whole, in RedisAI's words."""
    check(wire, ("AI.DAGEXECUTE", *words), f"-{error}")


def test_other_dag_errors(wire: Wire) -> None:
    """What the read-only and the deprecated forms refuse."""
    check(
        wire,
        ("AI.DAGEXECUTE_RO", "LOAD", 1, "t", "PERSIST", 1, "o", *RUN),
        "-ERR PERSIST cannot be specified in a read-only DAG",
    )
    check(
        wire,
        ("AI.DAGRUN", "LOAD", 1, "t", *RUN),
        "-AI.MODELEXECUTE cannot be used in a deprecated AI.DAGRUN command",
    )
    short = "-ERR wrong number of arguments for 'AI.DAGRUN' command"
    check(wire, ("AI.DAGRUN", "|>", "PING"), short)


def test_dag(wire: Wire) -> None:
    """A DAG replies with an entry per op, keeps its names to itself and persists what it should."""
    words = (
        *("AI.DAGEXECUTE", "LOAD", 1, "t", "PERSIST", 1, "o", "TIMEOUT", 0),
        *RUN,
        *("|>", "AI.TENSORSET", "local", "INT8", 1, "VALUES", 7),
        *("|>", "AI.TENSORGET", "local", "VALUES", "|>", "AI.TENSORGET", "o", "VALUES"),
    )
    check(wire, words, "*4", "+OK", "+OK", "*1", ":7", "*2", "$1", "1", "$3", "1.5")
    check(wire, ("AI.TENSORGET", "o", "VALUES"), "*2", "$1", "1", "$3", "1.5")
    check(wire, ("EXISTS", "local"), ":0")


def test_dag_as_aibench_sends_it(wire: Wire) -> None:
    """The deprecated form that aibench's vision runner uses."""
    words = (
        *("AI.DAGRUN", "|>", "AI.TENSORSET", "i:{w1}", "FLOAT", 1, 1, "BLOB", b"\0\0\0\0"),
        *("|>", "AI.MODELRUN", "m", "INPUTS", "i:{w1}", "OUTPUTS", "c:{w1}"),
        *("|>", "AI.TENSORGET", "c:{w1}", "BLOB"),
    )
    check(wire, words, "*3", "+OK", "+OK", "$4", "\0\0\0\0")


def test_dag_run_errors_are_nested(wire: Wire) -> None:
    """A failing op gives an error inside the array, later ones +NA; nothing is persisted."""
    words = (
        *("AI.DAGEXECUTE", "LOAD", 1, "t", "PERSIST", 1, "ok"),
        *("|>", "AI.MODELEXECUTE", "m", "INPUTS", 1, "t", "OUTPUTS", 1, "ok"),
        *("|>", "AI.TENSORSET", "bad", "UINT8", 1, 1),
        *("|>", "AI.MODELEXECUTE", "m", "INPUTS", 1, "bad", "OUTPUTS", 1, "o"),
        *("|>", "AI.MODELEXECUTE", "m", "INPUTS", 1, "t", "OUTPUTS", 1, "p"),
        *("|>", "AI.TENSORGET", "o", "BLOB", "|>", "AI.TENSORGET", "bad", "VALUES"),
    )
    error = "-Unexpected input data type. Actual: (tensor(uint8)) , expected: (tensor(float))"
    check(wire, words, "*6", "+OK", "+OK", error, "+NA", "+NA", "*1", ":0")
    check(wire, ("EXISTS", "ok", "o", "p"), ":0")


def test_dag_persist_onto_another_type(wire: Wire) -> None:
    """A key that cannot be written adds an entry to the reply."""
    words = ("AI.DAGEXECUTE", "PERSIST", 1, "s", "|>", "AI.TENSORSET", "s", "INT8", 1)
    check(wire, words, "*2", "+OK", f"-{WRONG_TYPE}")


def test_timeouts_while_waiting_for_a_batch(wire: Wire) -> None:
    """TIMEOUT ends what has not begun, alone or in a DAG, with +TIMEDOUT and no effect."""
    store = ("AI.MODELSTORE", "b", "ONNX", "CPU", "BATCHSIZE", 4, "MINBATCHSIZE", 4)
    check(wire, (*store, "BLOB", identity()), "+OK")
    run = ("AI.MODELEXECUTE", "b", "INPUTS", 1, "t", "OUTPUTS", 1, "o")
    check(wire, (*run, "TIMEOUT", 50), "+TIMEDOUT")
    dag = ("AI.DAGEXECUTE", "LOAD", 1, "t", "PERSIST", 1, "o", "TIMEOUT", 50, "|>")
    check(wire, (*dag, *run), "+TIMEDOUT")
    check(wire, ("EXISTS", "o"), ":0")
    assert info(wire, "b")["calls"] == "0"


def test_batching(wire: Wire, socket_path: Path) -> None:
    """Executions of several clients are gathered into one run and get their own rows back."""
    store = ("AI.MODELSTORE", "b", "ONNX", "CPU", "BATCHSIZE", 2, "MINBATCHSIZE", 2)
    check(wire, (*store, "BLOB", identity()), "+OK")
    wire.ask("AI.TENSORSET", "u", "FLOAT", 1, 2, "VALUES", 7, 8)
    with Wire(socket_path) as first:
        first.send("AI.MODELEXECUTE", "b", "INPUTS", 1, "t", "OUTPUTS", 1, "o1")
        # Blocked until a second row comes, for the client alone: others are served meanwhile.
        check(wire, ("PING",), "+PONG")
        check(wire, ("AI.MODELEXECUTE", "m", "INPUTS", 1, "t", "OUTPUTS", 1, "o"), "+OK")
        assert first.is_silent()
        check(wire, ("AI.MODELEXECUTE", "b", "INPUTS", 1, "u", "OUTPUTS", 1, "o2"), "+OK")
        assert first.line() == b"+OK"
    check(wire, ("AI.TENSORGET", "o1", "VALUES"), "*2", "$1", "1", "$3", "1.5")
    check(wire, ("AI.TENSORGET", "o2", "VALUES"), "*2", "$1", "7", "$1", "8")
    assert info(wire, "b")["samples"] == "2"


def test_min_batch_timeout(wire: Wire) -> None:
    """A batch that stays too small runs when MINBATCHTIMEOUT is over."""
    store = ("AI.MODELSTORE", "b", "ONNX", "CPU", "BATCHSIZE", 9, "MINBATCHSIZE", 9)
    check(wire, (*store, "MINBATCHTIMEOUT", 20, "BLOB", identity()), "+OK")
    check(wire, ("AI.MODELEXECUTE", "b", "INPUTS", 1, "t", "OUTPUTS", 1, "o"), "+OK")


def test_plain_commands(wire: Wire) -> None:
    """The plain Redis commands that clients send."""
    for words, line in (
        (("PING",), "+PONG"),
        (("TYPE", "t"), "+AI_TENSOR"),
        (("TYPE", "m"), "+AI__MODEL"),
        (("TYPE", "none"), "+none"),
        (("EXISTS", "t", "t", "none"), ":2"),
        (("DEL", "t", "none"), ":1"),
        (("DBSIZE",), ":2"),
        (("SELECT", 1), "+OK"),
        (("DBSIZE",), ":0"),
        (("SELECT", 99), "-ERR DB index is out of range"),
        (("CLIENT", "SETNAME", "me"), "+OK"),
        (("CLIENT", "SETINFO", "LIB-NAME", "x"), "+OK"),
        (("CONFIG", "RESETSTAT"), "+OK"),
        (("COMMAND",), "*0"),
        (("FLUSHALL",), "+OK"),
        (("GET",), "-ERR wrong number of arguments for 'get' command"),
        (("NOPE", "a"), "-ERR unknown command 'NOPE', with args beginning with: 'a' "),
    ):
        check(wire, words, line)
    check(wire, ("CLIENT", "GETNAME"), "$2", "me")
    check(wire, ("SELECT", 0), "+OK")
    check(wire, ("DBSIZE",), ":0")


def test_transactions(wire: Wire) -> None:
    """Tensors may be set in MULTI/EXEC; models may not be run there."""
    for words in (
        ("MULTI",),
        ("AI.TENSORSET", "x", "INT8", 1),
        ("AI.MODELEXECUTE", "m", "INPUTS", 1, "t", "OUTPUTS", 1, "o"),
        ("EXEC",),
    ):
        wire.send(*words)
    refused = "-ERR Cannot run RedisAI command within a transaction or a LUA script"
    expected = ("+OK", "+QUEUED", "+QUEUED", "*2", "+OK", refused)
    assert reply(*expected) == wire.until_echo()
    for words in (("MULTI",), ("NOPE",), ("EXEC",)):
        wire.send(*words)
    expected = (
        "+OK",
        "-ERR unknown command 'NOPE', with args beginning with: ",
        "-EXECABORT Transaction discarded because of previous errors.",
    )
    assert reply(*expected) == wire.until_echo()
    check(wire, ("EXEC",), "-ERR EXEC without MULTI")


def test_quit_and_malformed_requests(socket_path: Path) -> None:
    """QUIT and bytes that are no request end the connection, after what came before."""
    with Wire(socket_path) as wire:
        wire.send_raw(encode("PING") + encode("QUIT") + encode("PING"))
        assert wire.receive(100) == b"+PONG\r\n+OK\r\n"
    with Wire(socket_path) as wire:
        wire.send_raw(encode("PING") + b"*1\r\n:1\r\n")
        assert wire.receive(100) == b"+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n"


def test_password(tmp_path: Path) -> None:
    """Without the password nothing is answered, with it everything."""
    with server_in_thread(tmp_path, password="opensesame") as path, Wire(path) as wire:
        wire.send("PING")
        assert wire.line() == b"-NOAUTH Authentication required."
        wire.send("AUTH", "wrong")
        expected = b"-WRONGPASS invalid username-password pair or user is disabled."
        assert expected == wire.line()
        wire.send("HELLO", 3)
        assert wire.line().startswith(b"-NOAUTH HELLO must be called")
        wire.send("AUTH", "default", "opensesame")
        assert wire.line() == b"+OK"
        check(wire, ("PING",), "+PONG")


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_torch_without_pytorch(wire: Wire) -> None:
    """TORCH is refused where PyTorch is not installed."""
    check(wire, ("AI.MODELSTORE", "x", "TORCH", "CPU", *BLOB), "-ERR Could not load backend")


@pytest.mark.filterwarnings("ignore")
def test_torchscript(wire: Wire) -> None:
    """A TorchScript module runs; its inputs are named, and it may have several outputs."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = torch.jit.script(torch.nn.Module())
    module.define("def forward(self, left, right):\n    return left + right, left * right\n")
    file = io.BytesIO()
    torch.jit.save(module, file)
    check(wire, ("AI.MODELSTORE", "x", "TORCH", "CPU", "BLOB", file.getvalue()), "+OK")
    named = b"$6\r\ninputs\r\n*2\r\n$4\r\nleft\r\n$5\r\nright\r\n$7\r\noutputs\r\n*2\r\n$0\r\n\r\n"
    assert named in wire.ask("AI.MODELGET", "x", "META")
    run = ("AI.MODELEXECUTE", "x", "INPUTS", 2, "t", "t", "OUTPUTS", 2, "sum", "product")
    check(wire, run, "+OK")
    check(wire, ("AI.TENSORGET", "sum", "VALUES"), "*2", "$1", "2", "$1", "3")
    check(wire, ("AI.TENSORGET", "product", "VALUES"), "*2", "$1", "1", "$4", "2.25")
    wire.ask("AI.TENSORSET", "bad", "FLOAT", 3, 3)
    error = b"-The following operation failed in the TorchScript interpreter. Traceback"
    words = ("AI.MODELEXECUTE", "x", "INPUTS", 2, "t", "bad", "OUTPUTS", 2, "o", "p")
    assert wire.ask(*words).startswith(error)
