"""What one vision inference is on the wire, byte for byte, in every form, dialect and batch."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from fastbench.plan import FIELD_CONNECTION, Expect, Field, Payload, Text
from fastbench.servers.redisai_messages import MESSAGES, Inference, set_once_message

if TYPE_CHECKING:
    from fastbench.plan import Message

OK = Expect(b"+")
#: Not the 602,112 bytes of a real image, so that the expected bytes can be read.
ROWS = {1: b"<602112>", 3: b"<602112><602112><602112>"}
CONNECTION = 7


def inference(dialect: str, batch: int) -> Inference:
    """Return an inference whose rows are 8 bytes long and whose answers are 4004."""
    return Inference(
        model_key="m",
        dtype="FLOAT",
        batch=batch,
        shape=(224, 224, 3),
        row_bytes=8,
        output_bytes=4004 * batch,
        dialect=dialect,
    )


def wire(message: Message) -> bytes:
    """Return what connection 7 sends, as the engine would fill it in."""
    out = b""
    for part in message.parts:
        if isinstance(part, Text):
            out += part.data
        elif isinstance(part, Payload):
            out += ROWS[1] * part.rows
        else:
            assert isinstance(part, Field)
            assert part.kind == FIELD_CONNECTION
            out += b"%0*d" % (part.width, CONNECTION)
    return out


def tensorset(batch: int) -> bytes:
    """Return AI.TENSORSET's bulk strings, without the array's head."""
    return (
        b"$12\r\nAI.TENSORSET\r\n$21\r\nimageTensor:{c000007}\r\n$5\r\nFLOAT\r\n"
        b"$1\r\n%d\r\n$3\r\n224\r\n$3\r\n224\r\n$1\r\n3\r\n"
        b"$4\r\nBLOB\r\n$%d\r\n%s\r\n" % (batch, len(ROWS[batch]), ROWS[batch])
    )


EXECUTE = {
    "modern": b"$15\r\nAI.MODELEXECUTE\r\n$1\r\nm\r\n"
    b"$6\r\nINPUTS\r\n$1\r\n1\r\n$21\r\nimageTensor:{c000007}\r\n"
    b"$7\r\nOUTPUTS\r\n$1\r\n1\r\n$30\r\nclassificationTensor:{c000007}\r\n",
    "legacy": b"$11\r\nAI.MODELRUN\r\n$1\r\nm\r\n"
    b"$6\r\nINPUTS\r\n$21\r\nimageTensor:{c000007}\r\n"
    b"$7\r\nOUTPUTS\r\n$30\r\nclassificationTensor:{c000007}\r\n",
}
EXECUTE_ARGUMENTS = {"modern": 8, "legacy": 6}
TENSORGET = b"$12\r\nAI.TENSORGET\r\n$30\r\nclassificationTensor:{c000007}\r\n$4\r\nBLOB\r\n"
DAG_HEAD = {
    "modern": b"*26\r\n$13\r\nAI.DAGEXECUTE\r\n$7\r\nROUTING\r\n$9\r\n{c000007}\r\n",
    "legacy": b"*22\r\n$9\r\nAI.DAGRUN\r\n",
}
THEN = b"$2\r\n|>\r\n"

both_dialects = pytest.mark.parametrize("dialect", ["modern", "legacy"])
batches = pytest.mark.parametrize("batch", [1, 3])


@both_dialects
@batches
def test_pipeline(dialect: str, batch: int) -> None:
    """Three commands in one write; the third reply is the answer, of the length of the batch."""
    message = MESSAGES["pipeline"](inference(dialect, batch))

    assert wire(message) == (
        b"*9\r\n"
        + tensorset(batch)
        + b"*%d\r\n" % EXECUTE_ARGUMENTS[dialect]
        + EXECUTE[dialect]
        + b"*3\r\n"
        + TENSORGET
    )
    assert message.replies == 3
    assert message.expect == (OK, OK, Expect(b"$", 4004 * batch))


@both_dialects
@batches
def test_dag(dialect: str, batch: int) -> None:
    """One command of three operations; one array reply whose third element is the answer."""
    message = MESSAGES["dag"](inference(dialect, batch))

    operations = (tensorset(batch), EXECUTE[dialect], TENSORGET)
    assert wire(message) == DAG_HEAD[dialect] + b"".join(THEN + op for op in operations)
    assert message.replies == 1
    assert message.expect == (Expect(b"*", 3), OK, OK, Expect(b"$", 4004 * batch))


@both_dialects
@batches
def test_execute(dialect: str, batch: int) -> None:
    """Only the execution is measured; the tensor is set when the connection is opened."""
    once = set_once_message(inference(dialect, batch))
    message = MESSAGES["execute"](inference(dialect, batch))

    assert wire(once) == b"*9\r\n" + tensorset(batch)
    assert wire(message) == b"*%d\r\n" % EXECUTE_ARGUMENTS[dialect] + EXECUTE[dialect]
    assert (once.replies, once.expect) == (1, (OK,))
    assert (message.replies, message.expect) == (1, (OK,))


def test_array_heads_count_their_elements() -> None:
    """The literals above are commands: hiredis' reader finds whole arrays and nothing left."""
    hiredis = pytest.importorskip("hiredis")
    for form, commands in (("pipeline", 3), ("dag", 1), ("execute", 1)):
        for dialect in ("modern", "legacy"):
            reader = hiredis.Reader()
            reader.feed(wire(MESSAGES[form](inference(dialect, 3))))
            found = [reader.gets() for _ in range(commands)]

            assert all(isinstance(command, list) for command in found)
            assert not reader.has_data()


def test_texts_are_joined() -> None:
    """The engine sees as few parts as there are runs of constant bytes."""
    parts = MESSAGES["pipeline"](inference("modern", 1)).parts

    assert not any(isinstance(a, Text) and isinstance(b, Text) for a, b in pairwise(parts))
