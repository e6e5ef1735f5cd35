"""What one fraud inference and one row of reference data are on the wire, byte for byte."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import hiredis
import pytest
from support.driver import drive
from support.fakeserver import FakeServer, Reply, Request

from fastbench.plan import FIELD_ROW, Data, Expect, Field, Length, Plan, Step, Stream, Text
from fastbench.servers.redisai_messages import MESSAGES, TRANSACTION_KEYS, Inference
from fastbench.servers.references import BLOBS, TENSORS, references_message
from fastbench.servers.resp import command as command_of
from fastbench.servers.resp import message as message_of
from fastbench.workloads.fraud import REFERENCE_KEY, setting_reference

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.plan import Message

OK = Expect(b"+")
ANSWER = Expect(b"$", 8)
#: Ids of one, two and three digits: the lengths around them change.
IDS = (0, 9, 10, 123)
ROW = b"<%0118d>"  # 120 bytes

SET_WORDS = "AI.TENSORSET transactionTensor:{ID} FLOAT 1 30 BLOB DATA"
GET_WORDS = "AI.TENSORGET classificationTensor:{ID} BLOB"
WITH = "INPUTS transactionTensor:{ID} referenceTensor:{ID} OUTPUTS classificationTensor:{ID}"
ALONE = "INPUTS transactionTensor:{ID} OUTPUTS classificationTensor:{ID}"
COUNTED_WITH = (
    "INPUTS 2 transactionTensor:{ID} referenceTensor:{ID} OUTPUTS 1 classificationTensor:{ID}"
)
EXECUTE_WITH = f"AI.MODELEXECUTE m {COUNTED_WITH}"
COUNTED_ALONE = "INPUTS 1 transactionTensor:{ID} OUTPUTS 1 classificationTensor:{ID}"

#: The legacy DAGs are aibench's own, word for word.
COMMANDS = {
    ("dag", "legacy", True): [
        f"AI.DAGRUN LOAD 1 referenceTensor:{{ID}} |> {SET_WORDS} |> AI.MODELRUN m {WITH} |> "
        + GET_WORDS
    ],
    ("dag", "legacy", False): [f"AI.DAGRUN |> {SET_WORDS} |> AI.MODELRUN m {ALONE} |> {GET_WORDS}"],
    ("dag", "modern", True): [
        f"AI.DAGEXECUTE LOAD 1 referenceTensor:{{ID}} |> {SET_WORDS} |> {EXECUTE_WITH} |> "
        + GET_WORDS
    ],
    ("dag", "modern", False): [
        f"AI.DAGEXECUTE ROUTING {{ID}} |> {SET_WORDS} |> AI.MODELEXECUTE m {COUNTED_ALONE} |> "
        + GET_WORDS
    ],
    ("dag-ro", "legacy", True): [
        f"AI.DAGRUN_RO LOAD 1 referenceTensor:{{ID}} |> {SET_WORDS} |> AI.MODELRUN m {WITH} |> "
        + GET_WORDS
    ],
    ("dag-ro", "modern", True): [
        f"AI.DAGEXECUTE_RO LOAD 1 referenceTensor:{{ID}} |> {SET_WORDS} |> {EXECUTE_WITH} |> "
        + GET_WORDS
    ],
    ("dag-ro", "modern", False): [
        f"AI.DAGEXECUTE_RO ROUTING {{ID}} |> {SET_WORDS} |> AI.MODELEXECUTE m {COUNTED_ALONE} |> "
        + GET_WORDS
    ],
    ("pipeline", "legacy", True): [SET_WORDS, f"AI.MODELRUN m {WITH}", GET_WORDS],
    ("pipeline", "legacy", False): [SET_WORDS, f"AI.MODELRUN m {ALONE}", GET_WORDS],
    ("pipeline", "modern", True): [SET_WORDS, f"AI.MODELEXECUTE m {COUNTED_WITH}", GET_WORDS],
    ("pipeline", "modern", False): [SET_WORDS, f"AI.MODELEXECUTE m {COUNTED_ALONE}", GET_WORDS],
}


def words(text: str, row: int) -> tuple[bytes, ...]:
    """Return a command's arguments for one row."""
    filled = text.replace("ID", str(row)).split()
    return tuple(ROW % row if word == "DATA" else word.encode() for word in filled)


def make(form: str, dialect: str, reference: bool, **others: Any) -> Message:
    """Return the message of a model ``m`` that answers with two float32."""
    return MESSAGES[form](
        Inference(
            model_key="m",
            dtype="FLOAT",
            batch=1,
            shape=(30,),
            row_bytes=120,
            output_bytes=8,
            dialect=dialect,
            keys=TRANSACTION_KEYS._replace(reference=REFERENCE_KEY if reference else None),
            **others,
        )
    )


def sent(message: Message, rows: int, folder: Path, n_data: int = 1) -> list[tuple[bytes, ...]]:
    """Let the engine send each row once; return the commands that a server reads."""
    path = folder / "rows"
    path.write_bytes(b"".join(ROW % row for row in range(rows)))
    heard: list[tuple[bytes, ...]] = []

    def script(request: Request) -> Reply:
        heard.append(request.words)
        return Reply(b"+OK\r\n")

    plain = type(message)(message.parts, message.replies)  # any answer will do here
    with FakeServer(script) as server:
        stream = Stream(
            addresses=(server.address,),
            connections=1,
            pipeline=3,
            messages=(plain,),
            data=(Data(str(path), 0, 120, rows),) * n_data,
        )
        ran = drive(Plan(streams=(stream,), threads=1, requests=rows))
    assert (ran.error, ran.totals.ok) == (None, rows)
    return heard


@pytest.mark.parametrize(("form", "dialect", "reference"), list(COMMANDS))
def test_commands(tmp_path: Path, form: str, dialect: str, reference: bool) -> None:
    """What the engine sends are the literal commands, with each row's own id in every key."""
    literal = COMMANDS[form, dialect, reference]
    heard = sent(make(form, dialect, reference), 124, tmp_path)

    assert len(heard) == 124 * len(literal)
    for row in IDS:
        at = row * len(literal)
        assert heard[at : at + len(literal)] == [words(text, row) for text in literal]


@pytest.mark.parametrize(
    ("dialect", "head"), [("modern", "AI.DAGEXECUTE"), ("legacy", "AI.DAGRUN")]
)
def test_everything_before_the_operations(tmp_path: Path, dialect: str, head: str) -> None:
    """What a DAG loads stands before what it keeps, and TIMEOUT last."""
    message = make("dag", dialect, reference=True, persist=True, timeout_ms=50)
    begins = (
        f"{head} LOAD 1 referenceTensor:{{ID}} PERSIST 1 classificationTensor:{{ID}} TIMEOUT 50 |>"
    )
    heard = sent(message, 11, tmp_path)

    for row, command in enumerate(heard):
        assert command[: len(begins.split())] == words(begins, row)


def test_chain(tmp_path: Path) -> None:
    """The bytes that each row fetched are set right before the commands of its form."""
    path = tmp_path / "rows"
    path.write_bytes(b"".join(ROW % row for row in range(124)))
    at_store: list[tuple[bytes, ...]] = []
    at_model: list[tuple[bytes, ...]] = []

    def store(request: Request) -> Reply:
        at_store.append(request.words)
        return Reply(b"$1024\r\n%01024d\r\n" % (len(at_store) - 1))

    def model(request: Request) -> Reply:
        at_model.append(request.words)
        return Reply(b"+OK\r\n")

    get = message_of([command_of("GET", ("referenceBLOB:{", Field(FIELD_ROW, 0), "}"))], replies=1)
    inference = setting_reference(make("dag", "legacy", reference=True))
    with FakeServer(store) as holder, FakeServer(model) as server:
        step = Step(
            name="fetch",
            target="redis://holder",
            addresses=(holder.address,),
            connections=1,
            pipeline=1,
            message=get,
            fetch_bytes=1024,
        )
        stream = Stream(
            addresses=(server.address,),
            connections=1,
            pipeline=1,
            messages=(type(inference)(inference.parts, inference.replies),),
            data=(Data(str(path), 0, 120, 124),),
            before=(step,),
        )
        ran = drive(Plan(streams=(stream,), threads=1, requests=124))

    assert (ran.error, ran.totals.ok) == (None, 124)
    assert inference.expect == (OK, Expect(b"*", 3), OK, OK, ANSWER)
    (dag,) = COMMANDS["dag", "legacy", True]
    for row in IDS:
        fetched = b"%01024d" % row
        assert at_store[row] == (b"GET", b"referenceBLOB:{%d}" % row)
        key = b"referenceTensor:{%d}" % row
        assert at_model[2 * row] == (
            *(b"AI.TENSORSET", key, b"FLOAT", b"1", b"256", b"BLOB"),
            fetched,
        )
        assert at_model[2 * row + 1] == words(dag, row)


@pytest.mark.parametrize(("form", "dialect", "reference"), list(COMMANDS))
def test_replies(form: str, dialect: str, reference: bool) -> None:
    """A pipeline has three replies, a DAG one array of three; the answer is 8 bytes."""
    message = make(form, dialect, reference)

    if form == "pipeline":
        assert (message.replies, message.expect) == (3, (OK, OK, ANSWER))
    else:
        assert (message.replies, message.expect) == (1, (Expect(b"*", 3), OK, OK, ANSWER))


def test_nothing_is_kept() -> None:
    """No DAG persists anything."""
    for form, dialect, reference in COMMANDS:
        text = b"".join(p.data for p in make(form, dialect, reference).parts if isinstance(p, Text))
        assert b"PERSIST" not in text


def test_texts_are_joined_where_no_length_counts_them() -> None:
    """Runs of constant bytes are one part, but for those that a length counts and what follows."""
    parts = make("dag", "legacy", reference=True).parts
    apart = 0
    for i, (a, b) in enumerate(pairwise(parts)):
        if isinstance(a, Text) and isinstance(b, Text):
            counting = [
                k
                for k, p in enumerate(parts[: i + 1])
                if isinstance(p, Length) and k + p.skip + p.covers + 1 > i
            ]
            assert counting, (i, a, b)
            apart += 1
    assert apart == 2 * 6  # before and behind each of six keys


@pytest.mark.parametrize(
    ("forms", "literal"),
    [
        ((TENSORS,), ["AI.TENSORSET referenceTensor:{ID} FLOAT 1 256 BLOB DATA"]),
        ((BLOBS,), ["SET referenceBLOB:{ID} DATA"]),
        (
            (TENSORS, BLOBS),
            [
                "AI.TENSORSET referenceTensor:{ID} FLOAT 1 256 BLOB DATA",
                "SET referenceBLOB:{ID} DATA",
            ],
        ),
    ],
)
def test_reference_data(tmp_path: Path, forms: tuple[str, ...], literal: list[str]) -> None:
    """Loading sends aibench's commands; numbering may begin anywhere."""
    first = 95
    message = references_message(forms, 120, first)
    heard = sent(message, 10, tmp_path, len(forms))

    for row in range(10):
        expected = [words(text, row) for text in literal]
        numbered = [
            tuple(w.replace(b"{%d}" % row, b"{%d}" % (first + row)) for w in command)
            for command in expected
        ]
        assert heard[row * len(literal) : (row + 1) * len(literal)] == numbered
    assert (message.replies, message.expect) == (len(forms), (OK,) * len(forms))


def test_literals_are_commands() -> None:
    """The oracle of these tests is hiredis: what it packs is what the words mean."""
    packed = hiredis.pack_command(words(GET_WORDS, 12))

    assert packed.startswith(b"*3\r\n$12\r\nAI.TENSORGET\r\n$25\r\nclassificationTensor:{12}\r\n")
