"""`fastbench serve` as a process: other people's clients, its start and its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import redis
from support.wire import Wire

from fastbench.errors import ServerError
from fastbench.models import Oracle, load_model
from fastbench.servers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def server(cache_home: Path) -> Iterator[EmbeddedServer]:
    """Start one server for all tests here, on TCP."""
    del cache_home
    with EmbeddedServer(options=("--intra-op", "1")) as server:
        yield server


@pytest.fixture
def port(server: EmbeddedServer) -> int:
    """Return its port; the server is empty."""
    port = urlsplit(server.url).port
    assert port is not None
    with redis.Redis(port=port) as client:
        client.flushall()
    return port


@pytest.fixture(scope="module")
def redisai_client() -> type[Any]:
    """Return the class of the PyPI client."""
    pytest.importorskip("deprecated", reason="what the redisai client needs is not installed")
    # It asks pkg_resources, which setuptools no longer has, for its own version.
    stub = types.ModuleType("pkg_resources")
    stub.get_distribution = lambda _: types.SimpleNamespace(version="1.3.0")
    sys.modules.setdefault("pkg_resources", stub)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        redisai = pytest.importorskip("redisai", reason="the redisai client is not installed")
    client: type[Any] = redisai.Client
    return client


def image() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one tensor of the size that is benchmarked."""
    return np.random.default_rng(5).random((1, 224, 224, 3), np.float32)


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(port: int, protocol: int) -> None:
    """redis-py loads and runs MobileNet; the output is that of onnxruntime in this process."""
    model = load_model("mobilenet_v1_100_224")
    with redis.Redis(port=port, protocol=protocol) as client:
        call = client.execute_command
        call("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", model.path.read_bytes())
        call("AI.TENSORSET", "in", "FLOAT", 1, 224, 224, 3, "BLOB", image().tobytes())
        call("AI.MODELEXECUTE", "m", "INPUTS", 1, "in", "OUTPUTS", 1, "out")
        output = np.frombuffer(call("AI.TENSORGET", "out", "BLOB"), np.float32)
        (expected,) = Oracle(model).run([image()])

        assert np.allclose(expected[0], output, rtol=1e-4, atol=1e-7)
        assert image().tobytes() == call("AI.TENSORGET", "in", "BLOB")


def test_redis_py_reads_info(port: int) -> None:
    """INFO has the fields of Redis and RedisAI, and says who it is."""
    with redis.Redis(port=port) as client:
        client.config_resetstat()
        client.ping()
        info = client.info()
        stats = client.info("commandstats")

        assert info["redis_version"]
        assert info["fastbench_serve"]
        assert "ai" in [module["name"] for module in info["modules"]]
        assert info["ai_threads_per_queue"] == 1
        assert stats["cmdstat_ping"]["calls"] == 1


def test_redis_py_pipeline(port: int) -> None:
    """A pipeline of redis-py, with and without a transaction."""
    for transaction in (False, True):
        with redis.Redis(port=port) as client, client.pipeline(transaction) as pipeline:
            pipeline.set("a", "1")
            pipeline.get("a")
            pipeline.execute_command("AI.TENSORSET", "t", "INT8", 1, "VALUES", 5)
            pipeline.execute_command("AI.TENSORGET", "t", "VALUES")

            assert pipeline.execute() == [True, b"1", b"OK", [5]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Experimental")
def test_redisai_client(port: int, redisai_client: type[Any]) -> None:
    """The PyPI client: models, tensors, execution, information, scan, configuration."""
    model = load_model("identity")
    values = np.array([[1.5, -2.5]], np.float32)
    client = redisai_client(port=port)
    stored = client.modelstore(
        "m", "onnx", "cpu", model.path.read_bytes(), tag="v1", batch=4, minbatch=1
    )

    assert stored == "OK"
    assert client.tensorset("a", values) == "OK"
    assert client.modelexecute("m", ["a"], ["b"]) == "OK"
    assert client.modelrun("m", ["a"], ["c"]) == "OK"
    for key in ("b", "c"):
        np.testing.assert_array_equal(values, client.tensorget(key))
    assert client.tensorget("b", as_numpy=False)["values"] == [1.5, -2.5]
    assert client.modelget("m", meta_only=True)["inputs"] == ["input"]
    assert model.path.read_bytes() == client.modelget("m")["blob"]
    assert client.modelscan() == [["m", "v1"]]
    assert client.infoget("m")["calls"] == 2
    assert client.inforeset("m") == "OK"
    assert client.modeldel("m") == "OK"
    client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_redisai_client_dag(port: int, redisai_client: type[Any]) -> None:
    """The PyPI client's DAGs, modern and deprecated, and its pipeline."""
    values = np.array([[1.5, -2.5]], np.float32)
    client = redisai_client(port=port)
    client.modelstore("m", "onnx", "cpu", load_model("identity").path.read_bytes())
    client.tensorset("a", values)
    modern = client.dag(load=["a"], persist=["b"])
    result = modern.modelexecute("m", ["a"], ["b"]).tensorget("b").execute()
    old = client.dag()
    old_result = old.tensorset("x", values).modelrun("m", ["x"], ["y"]).tensorget("y").run()
    pipeline = client.pipeline(transaction=True)
    pipeline.tensorset("p", values)
    pipeline.tensorget("p")

    assert result[0] == old_result[1] == "OK"
    for found in (result[1], old_result[2], client.tensorget("b"), pipeline.execute()[1]):
        np.testing.assert_array_equal(values, found)
    client.close()


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.filterwarnings("ignore")
def test_redisai_client_scripts(port: int, redisai_client: type[Any]) -> None:
    """The PyPI client stores, describes, runs, lists and deletes a script, also in a DAG."""
    source = (
        "def add(tensors: List[Tensor], keys: List[str], args: List[str]):\n"
        "    return tensors[0] + tensors[1]\n"
    )
    values = np.array([[1.5, -2.5]], np.float32)
    client = redisai_client(port=port)

    assert client.scriptstore("s", "cpu", source, ["add"], tag="v1") == "OK"
    assert client.tensorset("a", values) == "OK"
    assert client.scriptexecute("s", "add", inputs=["a", "a"], outputs=["b"]) == "OK"
    np.testing.assert_array_equal(values * 2, client.tensorget("b"))
    found = client.scriptget("s")
    assert (found["source"], found["entry points"], found["tag"]) == (source, [b"add"], "v1")
    assert client.scriptscan() == [["s", "v1"]]
    assert client.infoget("s")["calls"] == 1
    dag = client.dag(load=["a"]).scriptexecute("s", "add", inputs=["a", "a"], outputs=["c"])
    np.testing.assert_array_equal(values * 2, dag.tensorget("c").execute()[1])
    assert client.scriptdel("s") == "OK"
    client.close()


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
def test_redis_cli(port: int) -> None:
    """redis-cli loads a model from a file and runs it."""
    model = load_model("identity").path.read_bytes()
    script = (
        "AI.TENSORSET a FLOAT 1 2 VALUES 1 2.5\n"
        "AI.MODELEXECUTE m INPUTS 1 a OUTPUTS 1 b\n"
        "AI.TENSORGET b VALUES\n"
        "AI.TENSORGET none\n"
    )
    cli = ["redis-cli", "-p", str(port)]

    def run(*words: str, stdin: bytes) -> list[str]:
        done = subprocess.run(
            [*cli, *words], input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False
        )
        return done.stdout.decode().splitlines()

    assert run("-x", "AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", stdin=model) == ["OK"]
    replies = [line for line in run(stdin=script.encode()) if line]
    error = "ERR tensor key is empty or in a different shard"
    assert replies == ["OK", "OK", "1", "2.5", error]


def test_others_are_served_while_a_model_runs() -> None:
    """A long execution blocks its own client only."""
    with EmbeddedServer(unix=True, options=("--intra-op", "1")) as server:
        path = server.url.removeprefix("redisai+unix://")
        with Wire(path) as busy, Wire(path) as other:
            blob = load_model("mobilenet_v1_100_224").path.read_bytes()
            busy.ask("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", blob)
            busy.ask("AI.TENSORSET", "in", "FLOAT", 100, 224, 224, 3)
            busy.send("AI.MODELEXECUTE", "m", "INPUTS", 1, "in", "OUTPUTS", 1, "out")
            busy.send("AI.TENSORGET", "out", "META")
            # Enough round trips for the worker to be inside onnxruntime during some of them.
            pings = [other.ask("PING") for _ in range(20)]
            waiting = busy.is_silent()

            assert pings == [b"+PONG\r\n"] * 20
            assert waiting
            assert busy.line() == b"+OK"
            assert busy.until_echo().endswith(b"*2\r\n:100\r\n:1001\r\n")


def test_slow_reader_does_not_stop_others(port: int) -> None:
    """A client that sends much and reads nothing is held back, and gets every reply at last."""
    rounds, blob = 100, image().tobytes()
    with redis.Redis(port=port) as other, redis.Redis(port=port) as client:
        client.execute_command("AI.TENSORSET", "t", "FLOAT", 1, 224, 224, 3, "BLOB", blob)
        connection = client.connection_pool.get_connection()
        for _ in range(rounds):
            connection.send_command("AI.TENSORGET", "t", "BLOB")
        assert other.ping()
        for _ in range(rounds):
            assert len(connection.read_response()) == len(blob)
        client.connection_pool.release(connection)


def is_gone(pid: int) -> bool:
    """Wait until a process that is not ours has ended."""
    try:
        psutil.Process(pid).wait(TIMEOUT_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_server_ends_with_its_client() -> None:
    """SIGKILL of the process that started the server ends the server too."""
    program = (
        "import time\n"
        "from fastbench.servers.embedded import EmbeddedServer\n"
        "server = EmbeddedServer()\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert client.stdout is not None
    pid = int(client.stdout.readline())
    assert psutil.pid_exists(pid)
    client.send_signal(signal.SIGKILL)
    client.wait(TIMEOUT_S)
    client.stdout.close()

    assert is_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(number: signal.Signals) -> None:
    """SIGTERM and SIGINT end the server with exit code 0, also while a model runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fastbench", "serve", "--port", "0", "--announce"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert line.startswith("fastbench serve: ready on 127.0.0.1:")
    with redis.Redis(port=int(line.rpartition(":")[2])) as client:
        call = client.execute_command
        blob = load_model("mobilenet_v1_100_224").path.read_bytes()
        call("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", blob)
        call("AI.TENSORSET", "in", "FLOAT", 100, 224, 224, 3)
        connection = client.connection_pool.get_connection()
        connection.send_command("AI.MODELEXECUTE", "m", "INPUTS", 1, "in", "OUTPUTS", 1, "out")
        process.send_signal(number)

        assert process.wait(TIMEOUT_S) == 0
        assert process.stdout.read() == b""
        connection.disconnect()
    process.stdout.close()


def serve(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `fastbench serve` that is to fail."""
    return subprocess.run(
        [sys.executable, "-m", "fastbench", "serve", *options],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_refuses_the_network_without_password() -> None:
    """It does not listen where other machines reach it unless a password is set."""
    for host in ("0.0.0.0", "::", ""):
        done = serve("--host", host, "--port", "0")

        assert done.returncode == 2
        assert "--requirepass" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_address_in_use(server: EmbeddedServer) -> None:
    """A port or socket that is taken is named in one line."""
    done = serve("--port", str(urlsplit(server.url).port))

    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1:" in done.stderr
    with EmbeddedServer(unix=True) as other:
        path = other.url.removeprefix("redisai+unix://")
        done = serve("--unix", path)
        assert "another server is listening there" in done.stderr
        with Wire(path) as wire:
            assert wire.ask("PING") == b"+PONG\r\n"


def test_password_from_file_and_environment(tmp_path: Path) -> None:
    """The password comes from a file or the environment, never from the command line."""
    file = tmp_path / "password"
    file.write_text("opensesame\n")
    with EmbeddedServer(options=("--requirepass", str(file))) as server:
        port = urlsplit(server.url).port or 0
        assert "opensesame" not in " ".join(psutil.Process(server.pid).cmdline())
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        with redis.Redis(port=port, password="opensesame") as client:
            assert client.ping()
    assert "first line is empty" in serve("--requirepass", os.devnull).stderr
    assert "cannot be read" in serve("--requirepass", str(tmp_path / "none")).stderr


def test_watches_pipes_only() -> None:
    """A stdin that cannot be waited for is refused in one line, before anything is served."""
    done = subprocess.run(
        [sys.executable, "-m", "fastbench", "serve", "--port", "0", "--watch-stdin"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == (
        "fastbench: --watch-stdin: stdin must be a pipe whose end can be waited for\n"
    )


def test_failed_start_tells_why() -> None:
    """The server's own words are in the error, and nothing is left behind."""
    server = EmbeddedServer(options=("--intra-op", "-1"))
    with pytest.raises(ServerError, match=r"ended with exit code 2.*intra-op"):
        server.start()

    with pytest.raises(ServerError, match="not running"):
        _ = server.pid
    server.stop()


def test_stop_removes_the_socket() -> None:
    """After the end neither the process nor its folder is there."""
    with EmbeddedServer(unix=True) as server:
        pid, path = server.pid, server.url.removeprefix("redisai+unix://")
        assert Path(path).exists()

    assert not psutil.pid_exists(pid)
    assert not Path(path).parent.exists()
