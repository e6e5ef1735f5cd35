"""Reference data in a server: which rows it holds, and putting the others there by the engine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench._engine import Engine
from fastbench.datasets.transactions import REFERENCE_VALUES
from fastbench.errors import FastbenchError, ServerError
from fastbench.plan import FIELD_ROW, Expect, Field, Payload, Plan, Stream
from fastbench.servers.connect import endpoints, lasting
from fastbench.servers.data import file_data
from fastbench.servers.redis_server import RedisServer
from fastbench.servers.redisai import RedisAI
from fastbench.servers.resp import command, message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastbench.config import TlsConfig
    from fastbench.datasets.rows import Rows
    from fastbench.plan import Message
    from fastbench.servers.resp import Argument

    Progress = Callable[[int, int], None]

TENSORS, BLOBS = "tensors", "blobs"
#: What the keys of each form begin with; the row's number follows in braces, so that a cluster
#: keeps all that belongs to one transaction together.
PREFIXES = {TENSORS: "referenceTensor:", BLOBS: "referenceBLOB:"}

BLOCK_ROWS = 1000  # looked up in a server together
CONNECTIONS = 4
PIPELINE = 64
TIMEOUT_NS = 60_000_000_000
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class LoadedReferences:
    """How many rows were sent, how many the server had, and how long sending took."""

    sent: int
    found: int
    seconds: float

    def __str__(self) -> str:
        """Say it."""
        return f"{self.sent:,} rows sent in {self.seconds:.1f} s, {self.found:,} were there"


def load_references(
    url: str,
    references: Rows,
    forms: Sequence[str],
    tls: TlsConfig | None = None,
    progress: Progress | None = None,
) -> LoadedReferences:
    """Put reference data into each server at ``url``, in each of ``forms``.

    Row i goes to ``referenceTensor:{i}`` (TENSORS) and ``referenceBLOB:{i}`` (BLOBS, for which any
    Redis will do). ``progress`` is called with (rows sent, rows to send) for one server after
    another. Returns the sums.

    Raises :class:`ServerError` with its first words where a server refuses a row: what was
    loaded stays, and the next call goes on from there.
    """
    kind = RedisAI if TENSORS in forms else RedisServer
    done = []
    for endpoint in endpoints(lasting(url, tls), tls):
        with kind(endpoint, tls) as server:
            done.append(ensure_references(server, references, forms, progress))
    sums = zip(*((d.sent, d.found, d.seconds) for d in done), strict=True)
    return LoadedReferences(*map(sum, sums))


def ensure_references(
    server: RedisServer,
    references: Rows,
    forms: Sequence[str],
    progress: Progress | None = None,
) -> LoadedReferences:
    """Put into ``server`` what it does not hold, and say how much that was."""
    missing = list(find_missing(server, references, forms))
    total = sum(map(len, missing))
    began, done = time.monotonic(), 0
    for rows in missing:
        _send(server, references, rows, forms, _Shown(progress, done, total))
        done += len(rows)
    seconds = time.monotonic() - began if missing else 0.0
    return LoadedReferences(total, references.rows - total, seconds)


def find_missing(server: RedisServer, references: Rows, forms: Sequence[str]) -> Iterator[range]:
    """Yield the runs of rows that ``server`` does not hold, found by blocks of BLOCK_ROWS.

    A block is there where all its keys exist and its first and last row have the right bytes.
    """
    start, values = None, references.array()
    for first in range(0, references.rows, BLOCK_ROWS):
        block = range(first, min(first + BLOCK_ROWS, references.rows))
        there = all(_is_there(server, form, block, values) for form in forms)
        if there and start is not None:
            yield range(start, first)
            start = None
        elif not there and start is None:
            start = first
    if start is not None:
        yield range(start, references.rows)


def references_message(forms: Sequence[str], row_bytes: int, first: int = 0) -> Message:
    """Return what sends one row, and how it is answered; row 0 of the data has number ``first``."""
    row = Field(FIELD_ROW, 0, base=first)
    commands = []
    for data, form in enumerate(forms):
        key: Argument = (f"{PREFIXES[form]}{{", row, "}")
        head: tuple[Argument, ...] = ("SET", key)
        if form == TENSORS:
            head = ("AI.TENSORSET", key, "FLOAT", 1, REFERENCE_VALUES, "BLOB")
        commands.append(command(*head, Payload(1, data), row_bytes=row_bytes))
    return message(commands, replies=len(forms), expect=(Expect(b"+"),) * len(forms))


def _is_there(server: RedisServer, form: str, block: range, values: Any) -> bool:
    if server.is_null_server:  # it says yes to everything
        return False
    keys = [f"{PREFIXES[form]}{{{row}}}" for row in block]
    if server.execute("EXISTS", *keys) != len(keys):
        return False
    return all(
        _read(server, form, keys[i]) == np.ascontiguousarray(values[block[i]]).tobytes()
        for i in (0, -1)
    )


def _read(server: RedisServer, form: str, key: str) -> Any:
    ask = ("AI.TENSORGET", key, "BLOB") if form == TENSORS else ("GET", key)
    try:
        return server.execute(*ask)
    except ServerError as error:
        if str(error).startswith("WRONGTYPE"):
            return None
        raise


def _send(
    server: RedisServer, references: Rows, rows: range, forms: Sequence[str], shown: _Shown
) -> None:
    stream = Stream(
        addresses=(server.address,),
        connections=CONNECTIONS,
        pipeline=PIPELINE,
        messages=(references_message(forms, references.row_bytes, rows[0]),),
        opening=server.opening(),
        data=(file_data(references, rows[0], len(rows)),) * len(forms),
        tls=server.tls,
    )
    plan = Plan(
        streams=(stream,), threads=1, requests=len(rows), timeout_ns=TIMEOUT_NS, max_errors=0
    )
    with Engine(plan) as engine:
        engine.start()
        while not engine.wait(POLL_S):
            engine.take_intervals()
            shown(engine.snapshot().completed)
        try:
            engine.join()
        except FastbenchError as error:
            raise _not_loaded(server, engine, str(error)) from error
        if engine.totals().ok != len(rows):
            raise _not_loaded(server, engine, f"{engine.totals().ok} of {len(rows)} rows answered")
        shown(len(rows))


def _not_loaded(server: RedisServer, engine: Engine, why: str) -> ServerError:
    texts = [text for _, text in engine.error_classes().values()]
    return ServerError(
        f"{server.target.url}: reference data were not all loaded: {(texts or [why])[0]}; "
        "what was loaded stays: the same command goes on from there"
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """Progress of one run of rows among all."""

    progress: Progress | None
    before: int
    total: int

    def __call__(self, done: int) -> None:
        if self.progress is not None:
            self.progress(self.before + done, self.total)
