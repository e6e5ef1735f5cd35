"""What one vision inference is on the wire, byte for byte, in every form, dialect and batch.

The commands are written as RedisAI's documentation writes them; hiredis makes bytes of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import hiredis
import pytest

from fastbench.plan import FIELD_CONNECTION, Expect, Field, Payload, Text
from fastbench.servers.redisai_messages import (
    MESSAGES,
    Inference,
    StoredScript,
    set_once_message,
)

if TYPE_CHECKING:
    from fastbench.plan import Message

OK = Expect(b"+")
ROW = b"<602112>"  # not the bytes of a real image, so that the row is as long as its name
CONNECTION = 7

TENSORSET = "AI.TENSORSET imageTensor:{c000007} FLOAT 1 224 224 3 BLOB <602112>"
EXECUTE = "INPUTS 1 imageTensor:{c000007} OUTPUTS 1 classificationTensor:{c000007}"
RUN = "INPUTS imageTensor:{c000007} OUTPUTS classificationTensor:{c000007}"
TENSORGET = "AI.TENSORGET classificationTensor:{c000007} BLOB"
MODERN = f"|> {TENSORSET} |> AI.MODELEXECUTE m {EXECUTE} |> {TENSORGET}"
LEGACY = f"|> {TENSORSET} |> AI.MODELRUN m {RUN} |> {TENSORGET}"
BEFORE = "INPUTS 1 imageTensor:{c000007} OUTPUTS 1 processedTensor:{c000007}"
BETWEEN = "INPUTS 1 processedTensor:{c000007} OUTPUTS 1 classificationTensor:{c000007}"
AFTER = "INPUTS 1 classificationTensor:{c000007} OUTPUTS 1 answerTensor:{c000007}"


def legacy(keys: str) -> str:
    """Return keys as the deprecated commands take them: without counts."""
    return keys.replace("INPUTS 1", "INPUTS").replace("OUTPUTS 1", "OUTPUTS")


#: Form, dialect, what else was asked for, and the commands that are then sent.
TABLE: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("pipeline", "modern", {}, [TENSORSET, f"AI.MODELEXECUTE m {EXECUTE}", TENSORGET]),
    (
        "pipeline",
        "modern",
        {"timeout_ms": 50},
        [TENSORSET, f"AI.MODELEXECUTE m {EXECUTE} TIMEOUT 50", TENSORGET],
    ),
    ("pipeline", "legacy", {}, [TENSORSET, f"AI.MODELRUN m {RUN}", TENSORGET]),
    (
        "pipeline",
        "legacy",
        {"timeout_ms": 50},
        [TENSORSET, f"AI.MODELRUN m TIMEOUT 50 {RUN}", TENSORGET],
    ),
    ("execute", "modern", {}, [f"AI.MODELEXECUTE m {EXECUTE}"]),
    ("execute", "modern", {"timeout_ms": 50}, [f"AI.MODELEXECUTE m {EXECUTE} TIMEOUT 50"]),
    ("execute", "legacy", {}, [f"AI.MODELRUN m {RUN}"]),
    ("execute", "legacy", {"timeout_ms": 50}, [f"AI.MODELRUN m TIMEOUT 50 {RUN}"]),
    ("dag", "modern", {}, ["AI.DAGEXECUTE ROUTING {c000007} " + MODERN]),
    (
        "dag",
        "modern",
        {"persist": True},
        ["AI.DAGEXECUTE PERSIST 1 classificationTensor:{c000007} " + MODERN],
    ),
    (
        "dag",
        "modern",
        {"persist": True, "timeout_ms": 50},
        ["AI.DAGEXECUTE PERSIST 1 classificationTensor:{c000007} TIMEOUT 50 " + MODERN],
    ),
    ("dag", "legacy", {}, [f"AI.DAGRUN {LEGACY}"]),
    (
        "dag",
        "legacy",
        {"persist": True},
        ["AI.DAGRUN PERSIST 1 classificationTensor:{c000007} " + LEGACY],
    ),
    ("dag", "legacy", {"timeout_ms": 50}, [f"AI.DAGRUN TIMEOUT 50 {LEGACY}"]),
    ("dag-ro", "modern", {}, ["AI.DAGEXECUTE_RO ROUTING {c000007} " + MODERN]),
    (
        "dag-ro",
        "modern",
        {"timeout_ms": 50},
        ["AI.DAGEXECUTE_RO ROUTING {c000007} TIMEOUT 50 " + MODERN],
    ),
    ("dag-ro", "legacy", {}, [f"AI.DAGRUN_RO {LEGACY}"]),
    (
        "script",
        "modern",
        {"script": StoredScript(key="s", functions=("pre_process", "post_process"))},
        [
            (
                "AI.DAGEXECUTE ROUTING {c000007} "
                f"|> {TENSORSET} |> AI.SCRIPTEXECUTE s pre_process {BEFORE} "
                f"|> AI.MODELEXECUTE m {BETWEEN} |> AI.SCRIPTEXECUTE s post_process {AFTER} "
                "|> AI.TENSORGET answerTensor:{c000007} BLOB"
            )
        ],
    ),
    (
        "script",
        "modern",
        {"script": StoredScript(key="s", functions=("post_process",)), "persist": True},
        [
            (
                "AI.DAGEXECUTE PERSIST 1 answerTensor:{c000007} "
                f"|> {TENSORSET} |> AI.MODELEXECUTE m {EXECUTE} "
                f"|> AI.SCRIPTEXECUTE s post_process {AFTER} "
                "|> AI.TENSORGET answerTensor:{c000007} BLOB"
            )
        ],
    ),
    (
        "script",
        "legacy",
        {"script": StoredScript(key="s", functions=("pre_process",)), "timeout_ms": 50},
        [
            (
                f"AI.DAGRUN TIMEOUT 50 |> {TENSORSET} "
                f"|> AI.SCRIPTRUN s pre_process {legacy(BEFORE)} "
                f"|> AI.MODELRUN m {legacy(BETWEEN)} |> {TENSORGET}"
            )
        ],
    ),
]


def inference(dialect: str, batch: int, **others: Any) -> Inference:
    """Return an inference whose rows are 8 bytes long and whose answers are 4004."""
    return Inference(
        model_key="m",
        dtype="FLOAT",
        batch=batch,
        shape=(224, 224, 3),
        row_bytes=len(ROW),
        output_bytes=4004 * batch,
        dialect=dialect,
        **others,
    )


def wire(message: Message) -> bytes:
    """Return what connection 7 sends, as the engine would fill it in."""
    out = b""
    for part in message.parts:
        if isinstance(part, Text):
            out += part.data
        elif isinstance(part, Payload):
            out += ROW * part.rows
        else:
            assert isinstance(part, Field)
            assert part.kind == FIELD_CONNECTION
            out += b"%0*d" % (part.width, CONNECTION)
    return out


def packed(commands: list[str], batch: int) -> bytes:
    """Return the bytes of commands whose tensors have ``batch`` rows."""
    batched = [c.replace("FLOAT 1 ", f"FLOAT {batch} ") for c in commands]
    rows = (ROW * batch).decode()
    return b"".join(
        hiredis.pack_command(tuple(rows if w == ROW.decode() else w for w in command.split()))
        for command in batched
    )


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("form", "dialect", "others", "commands"), TABLE)
def test_commands(
    form: str, dialect: str, others: dict[str, Any], commands: list[str], batch: int
) -> None:
    """Every form in every dialect is the literal commands, in one write, and nothing else."""
    message = MESSAGES[form](inference(dialect, batch, **others))

    assert wire(message) == packed(commands, batch)
    assert message.replies == len(commands)


def test_every_form_is_in_the_table() -> None:
    """No form can be sent that the table does not have in both dialects."""
    assert {(form, dialect) for form, dialect, *_ in TABLE} == {
        (form, dialect) for form in MESSAGES for dialect in ("modern", "legacy")
    }


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dialect", ["modern", "legacy"])
def test_replies(dialect: str, batch: int) -> None:
    """Each reply is known by its type, arrays by their length, the answer by its bytes."""
    answer = Expect(b"$", 4004 * batch)
    whole = StoredScript(key="s", functions=("pre_process", "post_process"))
    expected = {
        "pipeline": (OK, OK, answer),
        "execute": (OK,),
        "dag": (Expect(b"*", 3), OK, OK, answer),
        "dag-ro": (Expect(b"*", 3), OK, OK, answer),
        "script": (Expect(b"*", 5), OK, OK, OK, OK, answer),
    }

    for form, replies in expected.items():
        others = {"script": whole} if form == "script" else {}
        assert MESSAGES[form](inference(dialect, batch, **others)).expect == replies


@pytest.mark.parametrize("batch", [1, 3])
def test_tensor_is_set_once(batch: int) -> None:
    """The form that only executes sets its tensor when the connection is opened."""
    once = set_once_message(inference("modern", batch))

    assert wire(once) == packed([TENSORSET], batch)
    assert (once.replies, once.expect) == (1, (OK,))


def test_texts_are_joined() -> None:
    """The engine sees as few parts as there are runs of constant bytes."""
    parts = MESSAGES["pipeline"](inference("modern", 1)).parts

    assert not any(isinstance(a, Text) and isinstance(b, Text) for a, b in pairwise(parts))
