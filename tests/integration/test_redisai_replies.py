"""What RedisAI may answer, in every form: each inference ends in the right column of the books.

The server is one that does as told; its answers carry the rows that came, so that an answer to
another inference would show.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.driver import MS, S, drive
from support.fakeserver import OK, FakeServer, Reply, Request
from support.streams import stream_of

from fastbench.plan import Data, Plan
from fastbench.servers.redisai_messages import MESSAGES, Inference, set_once_message

if TYPE_CHECKING:
    from pathlib import Path

    from support.driver import Ran

ROWS = 50
ROW_BYTES = 16
REQUESTS = 400
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
EXECUTING = {b"AI.MODELEXECUTE", b"AI.MODELRUN"}


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Return a dataset whose rows hold their own number, four times."""
    path = tmp_path / "rows"
    np.repeat(np.arange(ROWS, dtype=np.float32), 4).tofile(path)
    return Data(str(path), 0, ROW_BYTES, ROWS)


class Model:
    """A server of the identity model; every ``every``-th execution gives ``odd`` instead of +OK."""

    def __init__(self, odd: bytes, every: int, after: bytes | None = None) -> None:
        """``after``: what reading an answer gives that no execution has stored."""
        self.odd, self.every, self.after = odd, every, after
        self.executed = 0
        self._tensors: dict[int, bytes] = {}
        self._stored: dict[int, bool] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        """Answer one command."""
        name = request.words[0]
        if name == b"AI.TENSORSET":
            self._tensors[request.connection] = request.words[-1]
            return Reply(OK)
        if name in EXECUTING:
            return Reply(self._execute(request.connection))
        if name.startswith(b"AI.DAG"):
            return Reply(self._dag(request))
        return Reply(self._get(request.connection))

    def _is_odd(self) -> bool:
        with self._lock:
            self.executed += 1
            return self.executed % self.every == 0

    def _execute(self, connection: int) -> bytes:
        odd = self._is_odd()
        self._stored[connection] = not odd
        return self.odd if odd else OK

    def _get(self, connection: int) -> bytes:
        if self.after is not None and not self._stored.get(connection, True):
            return self.after
        tensor = self._tensors[connection]
        return b"$%d\r\n%s\r\n" % (len(tensor), tensor)

    def _dag(self, request: Request) -> bytes:
        if self._is_odd():
            return self.odd
        tensor = request.words[request.words.index(b"BLOB") + 1]
        return b"*3\r\n+OK\r\n+OK\r\n$%d\r\n%s\r\n" % (len(tensor), tensor)


def run(model: Model, data: Data, form: str, *, dialect: str = "modern", pipeline: int = 1) -> Ran:
    """Run 400 inferences of a form, and keep all their replies."""
    inference = Inference(
        model_key="m",
        dtype="FLOAT",
        batch=1,
        shape=(4,),
        row_bytes=ROW_BYTES,
        output_bytes=ROW_BYTES,
        dialect=dialect,
        timeout_ms=50,
    )
    with FakeServer(model) as server:
        load = stream_of(
            server.address,
            2,
            pipeline,
            MESSAGES[form](inference),
            data=data,
            opening=(set_once_message(inference),),
            redisai=True,
        )
        return drive(
            Plan(
                streams=(load,),
                threads=1,
                requests=REQUESTS,
                interval_ns=50 * MS,
                timeout_ns=20 * S,
                captures=REQUESTS,
                capture_bytes=256,
            )
        )


def check_answers(ran: Ran) -> None:
    """Every reply that counted as a success is the answer to the row that was sent."""
    whole = [c for c in ran.captures if c.whole]
    assert len(whole) == ran.totals.ok
    for capture in whole:
        expected = np.full(4, capture.row, np.float32).tobytes()
        assert capture.data[-ROW_BYTES - 2 : -2] == expected


@pytest.mark.parametrize("pipeline", [1, 8])
@pytest.mark.parametrize("dialect", ["modern", "legacy"])
@pytest.mark.parametrize("form", ["pipeline", "dag", "dag-ro"])
def test_time_out_of_the_server(data: Data, form: str, dialect: str, pipeline: int) -> None:
    """+TIMEDOUT is a time-out, in a DAG in place of the array, and the replies stay in step."""
    missing = b"-ERR tensor key is empty or in a different shard\r\n"

    ran = run(Model(b"+TIMEDOUT\r\n", 10, missing), data, form, dialect=dialect, pipeline=pipeline)

    assert (ran.totals.ok, ran.totals.timeouts, ran.totals.errors) == (360, 40, 0)
    assert ran.totals.gave_up == 40
    assert ran.totals.breaks == 0
    check_answers(ran)


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        (b"*3\r\n+OK\r\n-Got invalid dimensions\r\n+NA\r\n", "Got"),
        (b"*3\r\n+OK\r\n-ERR no\r\n-ERR tensor key is empty\r\n", "ERR"),
        (b"*3\r\n+OK\r\n+NA\r\n+NA\r\n", "NA"),
        (b"*4\r\n+OK\r\n+OK\r\n$16\r\n0123456789abcdef\r\n" + WRONG_TYPE, "WRONGTYPE"),
        (b"-ERR PERSIST key cannot be found in DAG\r\n", "ERR"),
        (WRONG_TYPE, "WRONGTYPE"),
    ],
    ids=["nested", "nested ERR", "NA", "persist refused", "whole", "load refused"],
)
@pytest.mark.parametrize("form", ["dag", "dag-ro"])
def test_errors_of_a_dag(data: Data, form: str, reply: bytes, name: str) -> None:
    """An error anywhere in a DAG's array makes the inference an error, by the first one's class."""
    ran = run(Model(reply, 10), data, form, pipeline=4)

    assert (ran.totals.ok, ran.totals.errors) == (360, 40)
    assert {key: count for key, (count, _) in ran.classes.items()} == {name: 40}
    assert ran.totals.breaks == 0
    check_answers(ran)


@pytest.mark.parametrize("pipeline", [1, 8])
@pytest.mark.parametrize("dialect", ["modern", "legacy"])
def test_two_replies_to_one_command(data: Data, dialect: str, pipeline: int) -> None:
    """RedisAI replies twice where the output's key holds a string: no answer gets another's place.

    The connection is opened anew, for nothing else tells which reply belongs to which command; what
    was in flight on it is lost, and everything is counted.
    """
    model = Model(OK + WRONG_TYPE, 40, WRONG_TYPE)

    ran = run(model, data, "pipeline", dialect=dialect, pipeline=pipeline)

    totals = ran.totals
    assert totals.intended == REQUESTS == totals.ok + totals.errors + totals.lost
    assert set(ran.classes) == {"WRONGTYPE"}
    assert totals.errors > 0
    assert totals.breaks >= totals.errors
    assert totals.ok > REQUESTS / 2
    check_answers(ran)


@pytest.mark.parametrize("pipeline", [1, 8])
def test_two_replies_to_an_execution(data: Data, pipeline: int) -> None:
    """Where nothing is read back, an error follows each such success, and no reply is passed on."""
    ran = run(Model(OK + WRONG_TYPE, 40), data, "execute", pipeline=pipeline)

    totals = ran.totals
    assert totals.intended == REQUESTS == totals.ok + totals.errors + totals.lost
    assert set(ran.classes) <= {"WRONGTYPE"}
    assert totals.breaks > 0
    assert totals.ok > REQUESTS / 2
