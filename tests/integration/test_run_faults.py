"""`fastbench run` where something is wrong: one clear line, the exit code, nothing left over."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from support.cli import Running, command, environment, fastbench, gone, running

from fastbench.models.builtin import build_file
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.servers.embedded import EmbeddedServer

QUICK = ("--duration", 0.2, "--warmup", 0, "--repetitions", 1, "--quiet")
FOR_EVER = ("--duration", 600, "--warmup", 0, "--repetitions", 2)
FILES = {"result.json", "latency.hlog", "latency.hgrm", "timeseries.csv", "report.html"}
MEASURING = r"rep 1/2 measure +[\d.]+/600 s +[\d.,]+ +[1-9]"


@contextlib.contextmanager
def listening(answer: bytes) -> Iterator[int]:
    """Answer whatever comes with ``answer`` on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(answer)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def arguments(sample: Path, tiny_model: Path) -> tuple[object, ...]:
    """Return the arguments of a quick run."""
    return ("--dataset", sample, "--model", tiny_model, *QUICK)


@pytest.fixture
def long_run(sample: Path, tiny_model: Path, tmp_path: Path) -> Iterator[Running]:
    """Start a run with an embedded server that goes on until it is ended."""
    options = ("--dataset", sample, "--model", tiny_model, "--out", tmp_path / "out")
    with running("run", *options, *FOR_EVER) as run:
        yield run


def written(folder: Path) -> Result:
    """Return the result in a folder that holds all files and nothing half-written."""
    assert {path.name for path in folder.iterdir()} == FILES
    return from_json((folder / "result.json").read_bytes())


# ---- the target ------------------------------------------------------------------------------


def test_unknown_scheme(arguments: tuple[object, ...]) -> None:
    """A target that nobody can speak to is a usage error that names those that work."""
    done = fastbench("run", "smtp://127.0.0.1", *arguments)

    assert done.code == 2
    assert "unknown scheme" in done.line
    assert "redisai://" in done.line


def test_nobody_listens(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """A refused connection is said with the target, and no folder is left behind."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, but not listening
        target = f"redisai://127.0.0.1:{unused.getsockname()[1]}"
        done = fastbench("run", target, *arguments, "--out", tmp_path / "a" / "out")

    assert done.code == 1
    assert f"cannot connect to {target}: Connection refused" in done.line
    assert list(tmp_path.iterdir()) == []


def test_no_such_socket(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """The same for a unix socket."""
    done = fastbench("run", f"redisai+unix://{tmp_path}/none", *arguments)

    assert done.code == 1
    assert f"cannot connect to redisai+unix://{tmp_path}/none: No such file" in done.line


def test_no_such_host(arguments: tuple[object, ...]) -> None:
    """A name that cannot be resolved is said so."""
    done = fastbench("run", "redisai://nobody.invalid", *arguments)

    assert done.code == 1
    assert "cannot connect to redisai://nobody.invalid" in done.line


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff" * 400 + b"\r\n",
    ],
    ids=["http", "ssh", "noise"],
)
def test_not_resp(arguments: tuple[object, ...], answer: bytes) -> None:
    """A server that speaks something else is recognised as such."""
    with listening(answer) as port:
        done = fastbench("run", f"redisai://127.0.0.1:{port}", *arguments)

    assert done.code == 1
    assert f"127.0.0.1:{port} does not speak RESP" in done.line


def test_closes_at_once(arguments: tuple[object, ...]) -> None:
    """A server that hangs up without a word is an error of one line."""
    with listening(b"") as port:
        done = fastbench("run", f"redisai://127.0.0.1:{port}", *arguments)

    assert done.code == 1
    assert f"redisai://127.0.0.1:{port}" in done.line


def _redis_servers() -> list[str]:
    return [path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]


@pytest.mark.skipif(not _redis_servers(), reason="neither redis-server nor valkey-server is there")
def test_redis_without_redisai(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """A plain Redis is told from RedisAI, and the line says what to do."""
    path = tmp_path / "socket"
    server = subprocess.Popen(
        [_redis_servers()[0], "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for_redis(path)
        done = fastbench("run", f"redisai+unix://{path}", *arguments)
    finally:
        server.kill()
        server.wait()

    assert done.code == 1
    assert "without the RedisAI module" in done.line


def _wait_for_redis(path: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with redis.Redis(unix_socket_path=str(path)) as client:
                client.ping()
                return
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_password(
    arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the password, or with a wrong one, nothing runs; with the right one it does."""
    monkeypatch.setenv("FASTBENCH_REQUIREPASS", "s3cret")
    path = tmp_path / "socket"
    with running("serve", "--unix", path) as server:
        server.wait_for("ready on ")
        target = f"redisai+unix://{path}"
        without = fastbench("run", target, *arguments)
        wrong = fastbench("run", target, *arguments, FASTBENCH_PASSWORD="other")
        right = fastbench("run", target, *arguments, FASTBENCH_PASSWORD="s3cret")

    for done in (without, wrong):
        assert done.code == 1
        assert "FASTBENCH_PASSWORD" in done.line
    assert right.code == 0
    assert "s3cret" not in right.out + right.err + wrong.err


# ---- dataset and model -----------------------------------------------------------------------


def _truncated(folder: Path) -> None:
    with (folder / "data.npy").open("r+b") as file:
        file.truncate(500_000)


def _wrong_type(folder: Path) -> None:
    data = folder / "data.npy"
    data.write_bytes(data.read_bytes().replace(b"'<f4'", b"'<i4'", 1))


DATASET_FAULTS: dict[str, tuple[Any, str]] = {
    "missing": (shutil.rmtree, "no such dataset folder"),
    "file missing": (lambda folder: (folder / "data.npy").unlink(), "No such file"),
    "truncated": (_truncated, "truncated"),
    "empty": (lambda folder: (folder / "data.npy").write_bytes(b""), "npy"),
    "wrong dtype": (_wrong_type, "int32"),
    "manifest missing": (lambda folder: (folder / "manifest.json").unlink(), "manifest"),
    "manifest garbage": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest"),
}


@pytest.mark.parametrize("fault", DATASET_FAULTS)
def test_bad_dataset(sample: Path, tiny_model: Path, tmp_path: Path, fault: str) -> None:
    """A dataset that is not whole is named with what is wrong, before anything is started."""
    folder = tmp_path / "dataset"
    shutil.copytree(sample, folder)
    damage, word = DATASET_FAULTS[fault]
    damage(folder)

    done = fastbench(
        "run", "--dataset", folder, "--model", tiny_model, *QUICK, "--out", tmp_path / "out"
    )

    assert done.code == (2 if fault == "missing" else 1)
    assert str(folder) in done.line
    assert word in done.line
    assert not (tmp_path / "out").exists()


def test_dataset_truncated_while_running(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """A dataset that shrinks during the run ends it: partial result, exit code 1."""
    folder, out = tmp_path / "dataset", tmp_path / "out"
    shutil.copytree(sample, folder)
    options = ("--dataset", folder, "--model", tiny_model, "--out", out)
    with running("run", ai_server.url, *options, *FOR_EVER) as run:
        run.wait_for(MEASURING)
        _truncated(folder)
        done = run.end()

    result = written(out)
    assert done.code == 1
    assert result.status == "partial"
    assert "dataset" in result.error
    assert result.repetitions[0].counts.ok > 0
    assert "PARTIAL" in done.out


def test_dataset_changed_while_running(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """A dataset that is written to during the run makes the result partial."""
    folder, out = tmp_path / "dataset", tmp_path / "out"
    shutil.copytree(sample, folder)
    options = ("--dataset", folder, "--model", tiny_model, "--out", out)
    ends = ("--duration", 10, "--warmup", 0, "--repetitions", 1)
    with running("run", ai_server.url, *options, *ends) as run:
        run.wait_for("measure")
        with (folder / "data.npy").open("r+b") as file:
            file.seek(5000)
            file.write(b"\0" * 100)
        done = run.end()

    assert done.code == 1
    assert written(out).status == "partial"
    assert "changed" in written(out).error


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "no model"),
        (b"", "empty"),
        (b"\x07not a model\xff" * 50, "not an ONNX file"),
        (b"half", "not an ONNX file"),
    ],
    ids=["missing", "empty", "garbage", "half"],
)
def test_bad_model(
    sample: Path, tiny_model: Path, tmp_path: Path, content: bytes | None, word: str
) -> None:
    """A model file that is no model is named."""
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(tiny_model.read_bytes()[:60] if content == b"half" else content)

    done = fastbench("run", "--dataset", sample, "--model", path, *QUICK)

    assert done.code == (2 if content is None else 1)  # what is named is not there
    assert str(path) in done.line
    assert word in done.line


@pytest.mark.parametrize("name", ["mobilenet_v1_100_224_nchw", "identity"])
def test_model_does_not_fit(sample: Path, tmp_path: Path, name: str) -> None:
    """A model that takes another shape is refused before it is loaded, with both shapes."""
    path = tmp_path / "other.onnx"
    build_file(name, path)

    done = fastbench("run", "--dataset", sample, "--model", path, *QUICK)

    assert done.code == 1
    assert "1x224x224x3" in done.line


def test_model_that_the_server_refuses(arguments: tuple[object, ...]) -> None:
    """The words of the server are passed on, in one line."""
    done = fastbench("run", *arguments, "--device", "gpu:9")

    assert done.code == 1
    assert "refused model tiny on gpu:9" in done.line


def test_batch_larger_than_the_dataset(arguments: tuple[object, ...]) -> None:
    """A batch that the dataset cannot fill is a usage error."""
    done = fastbench("run", *arguments, "--batch", 9)

    assert done.code == 2
    assert "--batch 9" in done.line
    assert "8 rows" in done.line


# ---- where the result goes -------------------------------------------------------------------


def test_out_cannot_be_written(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """The folder is checked before the run: a file in its place, or a file system that refuses."""
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below", Path("/proc/fastbench")):
        done = fastbench("run", *arguments, "--out", out)

        assert done.code == 2
        assert f"cannot write results to {out}" in done.line
    assert file.read_text() == "mine"


def test_out_holds_a_result(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """An earlier result is never overwritten."""
    (tmp_path / "result.json").write_text("earlier")

    done = fastbench("run", *arguments, "--out", tmp_path)

    assert done.code == 2
    assert "another run" in done.line
    assert (tmp_path / "result.json").read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"XDG_CACHE_HOME": None, "HOME": "/proc/none"},
        {"XDG_CACHE_HOME": "/proc/none"},
    ],
    ids=["home", "cache"],
)
def test_no_cache_folder(tiny_model: Path, variables: dict[str, str | None]) -> None:
    """Where the sample cannot be kept, one line says what to set."""
    done = fastbench("run", "--model", tiny_model, *QUICK, **variables)

    assert done.code == 1
    assert "XDG_CACHE_HOME" in done.line


def test_no_cache_folder_needed(arguments: tuple[object, ...]) -> None:
    """With a dataset and a model of one's own no cache folder is needed."""
    done = fastbench("run", *arguments, XDG_CACHE_HOME=None, HOME="/proc/none")

    assert done.code == 0


def test_closed_output(arguments: tuple[object, ...], tmp_path: Path) -> None:
    """``fastbench report DIR | head`` ends quietly, as soon as nobody reads any more."""
    assert fastbench("run", *arguments, "--out", tmp_path / "out").code == 0
    reading, writing = os.pipe()
    os.close(reading)
    for options in ((), ("--format", "json")):
        with subprocess.Popen(
            command("report", tmp_path / "out", *options),
            stdout=writing,
            stderr=subprocess.PIPE,
        ) as process:
            _, err = process.communicate(timeout=60)

        assert err == b""
        assert process.returncode == 1
    os.close(writing)


# ---- while it runs ---------------------------------------------------------------------------


def test_server_dies(long_run: Running, tmp_path: Path) -> None:
    """The server is killed: what was measured is written, marked partial; exit code 1."""
    server = long_run.server()
    long_run.wait_for(MEASURING)
    server.kill()
    done = long_run.end()

    result = written(tmp_path / "out")
    assert done.code == 1
    assert result.status == "partial"
    assert result.error
    assert result.repetitions[0].status == "partial"
    assert result.repetitions[0].counts.ok > 0
    assert "PARTIAL" in done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(long_run: Running, tmp_path: Path, number: int) -> None:
    """Ctrl-C goes to the whole group: the result is written, the server ended in an orderly way."""
    server = long_run.server()
    long_run.wait_for(MEASURING)
    long_run.signal_group(number)
    done = long_run.end()

    result = written(tmp_path / "out")
    assert done.code == 130
    assert (result.status, len(result.repetitions)) == ("interrupted", 1)
    counts = result.repetitions[0].counts
    assert counts.ok > 0
    assert counts.errors == counts.lost == 0
    assert counts.sent == counts.ok + counts.unfinished
    assert "INTERRUPTED" in done.out
    assert "Traceback" not in done.err
    assert gone(server)


def test_interrupted_in_a_later_repetition(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Whenever it is interrupted, repetitions that were complete are in the result."""
    out = tmp_path / "out"
    options = ("--dataset", sample, "--model", tiny_model, "--out", out)
    ends = ("--requests", 30, "--warmup", 1, "--repetitions", 3)
    with running("run", ai_server.url, *options, *ends) as run:
        run.wait_for("rep 2/3 warm-up")
        run.signal_group(signal.SIGINT)
        done = run.end()

    result = written(out)
    assert done.code == 130
    assert result.status == "interrupted"
    assert result.repetitions[0].counts.ok == 30
    assert result.summary is not None


def test_interrupted_in_warm_up(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Before anything was measured there is no result: one line, and no folder."""
    options = ("--dataset", sample, "--model", tiny_model, "--out", tmp_path / "out")
    with running("run", ai_server.url, *options, "--warmup", 600) as run:
        run.wait_for("warm-up")
        run.signal_group(signal.SIGINT)
        done = run.end()

    assert done.code == 130
    assert done.out == ""
    assert done.err.splitlines()[-1] == "fastbench: interrupted"
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_starting(long_run: Running, tmp_path: Path) -> None:
    """Ctrl-C while the embedded server starts: it goes too, and nothing is left behind."""
    server = long_run.server()
    long_run.signal_group(signal.SIGINT)
    done = long_run.end()

    assert done.code == 130
    assert done.line == "fastbench: interrupted"
    assert gone(server)
    assert list(tmp_path.iterdir()) == []


def test_client_killed(long_run: Running) -> None:
    """Even when the client is killed and cannot clean up, its server ends."""
    server = long_run.server()
    long_run.wait_for(MEASURING)
    long_run.process.kill()

    assert gone(server)


# ---- terminals -------------------------------------------------------------------------------


def test_plain_output(arguments: tuple[object, ...]) -> None:
    """Outside a terminal neither stream has escape sequences, and lines fit 100 columns."""
    done = fastbench("run", *[a for a in arguments if a != "--quiet"])

    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert max(map(len, done.out.splitlines())) <= 100


@pytest.mark.parametrize("columns", [60, 100, 200])
@pytest.mark.parametrize("no_color", [None, "1"])
def test_terminal(
    arguments: tuple[object, ...], tmp_path: Path, columns: int, no_color: str | None
) -> None:
    """In a terminal the report fits its width; NO_COLOR means no colour."""
    out = tmp_path / "out"
    assert fastbench("run", *arguments, "--out", out).code == 0
    text = _in_terminal("report", out, COLUMNS=str(columns), NO_COLOR=no_color)

    assert "inferences/s" in text
    assert max(len(line) for line in _without_escapes(text).splitlines()) <= columns
    assert ("\x1b[3" in text) is False  # the report itself is bold and dim, never coloured


def test_error_is_red_in_a_terminal() -> None:
    """An error is red where there is a terminal and nobody has asked for no colour."""
    assert "\x1b[31m" in _in_terminal("run", "foo:", NO_COLOR=None)
    assert "\x1b" not in _in_terminal("run", "foo:", NO_COLOR="1")


def _without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


def _in_terminal(*arguments: object, **variables: str | None) -> str:
    """Run a command with a pseudo-terminal as standard output and error; return what it shows."""
    main, terminal = os.openpty()
    process = subprocess.Popen(
        command(*arguments),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(TERM="xterm", **variables),
    )
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while piece := os.read(main, 65536):
            text += piece
    os.close(main)
    process.wait(60)
    return text.decode()
