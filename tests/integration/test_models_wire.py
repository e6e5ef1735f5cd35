"""Several models in turn: what the engine sends in every form and dialect, word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
import pytest
from support.driver import drive
from support.fakeserver import OK, FakeServer, Reply, Request

from fastbench.plan import Data, Message, Plan, Stream
from fastbench.servers.model_keys import keys_of, numbered, numbers_of
from fastbench.servers.redisai_messages import (
    MESSAGES,
    Inference,
    StoredScript,
    set_once_message,
)

if TYPE_CHECKING:
    from pathlib import Path

MODELS = 12
ROW = b"0123456789abcdef"
SET = "AI.TENSORSET imageTensor:{c000000} FLOAT 1 4 BLOB 0123456789abcdef"
GET = "AI.TENSORGET classificationTensor:{c000000} BLOB"
KEYS = "INPUTS 1 imageTensor:{c000000} OUTPUTS 1 classificationTensor:{c000000}"
PLAIN = "INPUTS imageTensor:{c000000} OUTPUTS classificationTensor:{c000000}"
AFTER = "INPUTS 1 classificationTensor:{c000000} OUTPUTS 1 answerTensor:{c000000}"
PLAIN_AFTER = "INPUTS classificationTensor:{c000000} OUTPUTS answerTensor:{c000000}"
MODERN = f"|> {SET} |> AI.MODELEXECUTE m:N {KEYS}"
LEGACY = f"|> {SET} |> AI.MODELRUN m:N {PLAIN}"
SCRIPT = {"script": StoredScript(key="s", functions=("post_process",))}

#: N: number of the model, from 0.
COMMANDS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("pipeline", "modern", {}, [SET, f"AI.MODELEXECUTE m:N {KEYS}", GET]),
    ("pipeline", "legacy", {}, [SET, f"AI.MODELRUN m:N {PLAIN}", GET]),
    (
        "pipeline",
        "modern",
        {"timeout_ms": 50},
        [SET, f"AI.MODELEXECUTE m:N {KEYS} TIMEOUT 50", GET],
    ),
    ("pipeline", "legacy", {"timeout_ms": 50}, [SET, f"AI.MODELRUN m:N TIMEOUT 50 {PLAIN}", GET]),
    ("execute", "modern", {}, [f"AI.MODELEXECUTE m:N {KEYS}"]),
    ("execute", "legacy", {}, [f"AI.MODELRUN m:N {PLAIN}"]),
    ("dag", "modern", {}, [f"AI.DAGEXECUTE ROUTING {{c000000}} {MODERN} |> {GET}"]),
    ("dag", "legacy", {}, [f"AI.DAGRUN {LEGACY} |> {GET}"]),
    ("dag-ro", "modern", {}, [f"AI.DAGEXECUTE_RO ROUTING {{c000000}} {MODERN} |> {GET}"]),
    ("dag-ro", "legacy", {}, [f"AI.DAGRUN_RO {LEGACY} |> {GET}"]),
    (
        "script",
        "modern",
        SCRIPT,
        [
            (
                f"AI.DAGEXECUTE ROUTING {{c000000}} {MODERN} |> AI.SCRIPTEXECUTE s post_process "
                f"{AFTER} |> AI.TENSORGET answerTensor:{{c000000}} BLOB"
            )
        ],
    ),
    (
        "script",
        "legacy",
        SCRIPT,
        [
            (
                f"AI.DAGRUN {LEGACY} |> AI.SCRIPTRUN s post_process {PLAIN_AFTER} "
                "|> AI.TENSORGET answerTensor:{c000000} BLOB"
            )
        ],
    ),
]


def packed(words: tuple[bytes, ...]) -> bytes:
    """Return a command's bytes, by hiredis."""
    return bytes(hiredis.pack_command(words))


@pytest.mark.parametrize(("form", "dialect", "others", "commands"), COMMANDS)
def test_models_are_taken_in_turn(
    tmp_path: Path, form: str, dialect: str, others: dict[str, Any], commands: list[str]
) -> None:
    """Inference after inference the number in the model's key goes up, past 9, and starts anew."""
    path = tmp_path / "rows"
    path.write_bytes(ROW)
    heard: list[tuple[bytes, ...]] = []

    def script(request: Request) -> Reply:
        heard.append(request.words)
        return Reply(OK)

    inference = Inference(
        model_key=numbered("m"),
        dtype="FLOAT",
        batch=1,
        shape=(4,),
        row_bytes=len(ROW),
        output_bytes=16,
        dialect=dialect,
        **others,
    )
    made = MESSAGES[form](inference)
    with FakeServer(script) as server:
        stream = Stream(
            addresses=(server.address,),
            connections=1,
            pipeline=2,
            messages=(Message(made.parts, made.replies),),  # any answer will do here
            opening=(set_once_message(inference),) if form == "execute" else (),
            data=(Data(str(path), 0, len(ROW), 1),),
            keys=(numbers_of(MODELS),),
        )
        ran = drive(Plan(streams=(stream,), threads=1, requests=2 * MODELS + 1))

    assert (ran.error, ran.totals.ok) == (None, 2 * MODELS + 1)
    opened = [SET] if form == "execute" else []
    turns = [n % MODELS for n in range(2 * MODELS + 1)]
    literal = [*opened, *(c.replace("m:N", f"m:{n}") for n in turns for c in commands)]
    assert b"".join(map(packed, heard)) == b"".join(
        packed(tuple(word.encode() for word in command.split())) for command in literal
    )


def test_keys_that_are_stored_are_those_that_are_sent() -> None:
    """One model has its plain key, several are numbered from 0."""
    assert keys_of("m", 1) == ["m"]
    assert keys_of("m", 3) == ["m:0", "m:1", "m:2"]
