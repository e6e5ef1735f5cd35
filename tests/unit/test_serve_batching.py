"""Batching in the embedded server: requests of several connections in one run of the model.

The model says itself how many rows it was run with, so that a batch is seen in each answer.
"""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.wire import Wire, check, server_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def counting() -> bytes:
    """Return a model: float32 [N, 1] to [N, 2], each row with N beside it."""
    constants = {"zero": [0.0], "one": [1.0], "axes": np.array([0])}
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("ReduceSum", ["ones", "axes"], ["rows"], keepdims=1),
        helper.make_node("Add", ["zeros", "rows"], ["counts"]),
        helper.make_node("Concat", ["x", "counts"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "counting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [
            numpy_helper.from_array(
                np.asarray(value, np.int64 if name == "axes" else np.float32), name
            )
            for name, value in constants.items()
        ],
    )
    opset = helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[opset]).SerializeToString()


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    """Run a server of its own for the test."""
    with server_in_thread(tmp_path) as path:
        yield path


@pytest.fixture
def wire(socket_path: Path) -> Iterator[Wire]:
    """Connect."""
    with Wire(socket_path) as wire:
        yield wire


@pytest.fixture
def clients(socket_path: Path) -> Iterator[list[Wire]]:
    """Return four more connections."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Wire(socket_path)) for _ in range(4)]


def store(wire: Wire, *batching: str | int) -> None:
    """Store the model under ``m``."""
    check(wire, ("AI.MODELSTORE", "m", "ONNX", "CPU", *batching, "BLOB", counting()), "+OK")


def send(client: Wire, *values: float) -> None:
    """Send a DAG over these values, one a row, without reading the answer."""
    blob = struct.pack(f"<{len(values)}f", *values)
    tensor = ("AI.TENSORSET", "x", "FLOAT", len(values), 1, "BLOB", blob)
    run = ("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "y")
    head = ("AI.DAGEXECUTE", "ROUTING", "m", "|>")
    client.send(*head, *tensor, "|>", *run, "|>", "AI.TENSORGET", "y", "BLOB")


def answer(client: Wire) -> list[tuple[float, float]]:
    """Return the answer: each value with the number of rows that were run together."""
    assert [client.line() for _ in range(3)] == [b"*3", b"+OK", b"+OK"]
    size = int(client.line().removeprefix(b"$"))
    data = client.receive(size + 2)[:-2]
    return list(struct.iter_unpack("<2f", data))


def test_without_batching_each_request_is_a_run(wire: Wire, clients: list[Wire]) -> None:
    """The model sees the rows of one request, and says so."""
    store(wire)
    for n, client in enumerate(clients):
        send(client, n, n + 0.5)
    for n, client in enumerate(clients):
        assert answer(client) == [(n, 2), (n + 0.5, 2)]


def test_requests_of_several_connections_are_one_run(wire: Wire, clients: list[Wire]) -> None:
    """1 + 2 + 3 rows reach MINBATCHSIZE together, and each client gets its own rows back."""
    store(wire, "BATCHSIZE", 6, "MINBATCHSIZE", 6)
    one, two, three, _ = clients
    send(one, 10)
    send(two, 20, 21)
    check(wire, ("PING",), "+PONG")
    assert one.is_silent()
    assert two.is_silent()
    send(three, 30, 31, 32)

    assert answer(three) == [(30, 6), (31, 6), (32, 6)]
    assert answer(one) == [(10, 6)]
    assert answer(two) == [(20, 6), (21, 6)]
    counted = wire.ask("AI.INFO", "m").split()
    assert counted[counted.index(b"calls") + 1] == b":3"
    assert counted[counted.index(b"samples") + 1] == b":6"


def test_batches_are_no_larger_than_batchsize_needs(wire: Wire, clients: list[Wire]) -> None:
    """Of four requests of two rows each pair makes a batch of 4: never more, never fewer."""
    store(wire, "BATCHSIZE", 4, "MINBATCHSIZE", 4)
    for n, client in enumerate(clients):
        send(client, n, -n)

    for n, client in enumerate(clients):
        assert answer(client) == [(n, 4), (-n, 4)]


def test_order_of_answers_on_one_connection(wire: Wire, clients: list[Wire]) -> None:
    """Who sends again and again, batched with others, gets every answer once and in order."""
    store(wire, "BATCHSIZE", 4, "MINBATCHSIZE", 4)
    for turn in range(20):
        for n, client in enumerate(clients):
            send(client, 100 * n + turn)
        for n, client in enumerate(clients):
            assert answer(client) == [(100 * n + turn, 4)]


def test_too_few_run_when_the_time_is_over(wire: Wire, clients: list[Wire]) -> None:
    """After MINBATCHTIMEOUT a request runs with what has come until then, here alone."""
    store(wire, "BATCHSIZE", 4, "MINBATCHSIZE", 4, "MINBATCHTIMEOUT", 20)
    send(clients[0], 7)

    assert answer(clients[0]) == [(7, 1)]


def test_other_shapes_are_no_part_of_a_batch(wire: Wire, clients: list[Wire]) -> None:
    """A request with longer rows waits for others like it, and neither runs with the first."""
    store(wire, "BATCHSIZE", 2, "MINBATCHSIZE", 2)
    send(clients[0], 1)
    wide = ("AI.TENSORSET", "x", "FLOAT", 1, 2, "BLOB", struct.pack("<2f", 1, 2))
    run = ("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "y")
    dag = ("AI.DAGEXECUTE", "ROUTING", "m", "TIMEOUT", 50, "|>")
    check(wire, (*dag, *wide, "|>", *run), "+TIMEDOUT")
    assert clients[0].is_silent()
    send(clients[1], 2)

    assert answer(clients[0]) == [(1, 2)]
    assert answer(clients[1]) == [(2, 2)]
