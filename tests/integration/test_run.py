"""`fastbench run` from end to end: every form of an inference, its counts, files and answers."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import re
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

import onnx
import pytest
import redis
from support.cli import fastbench, running

import fastbench as api
from fastbench.models.tiny import mean_rgb
from fastbench.results import Result, from_json, to_json
from fastbench.servers.embedded import EmbeddedServer
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHORT = ("--duration", 0.3, "--warmup", 0.1, "--repetitions", 1)
FILES = {"result.json", "latency.hlog", "latency.hgrm", "timeseries.csv", "report.html"}
#: What executes the model once, in each form and dialect.
EXECUTING = {
    ("pipeline", "modern"): "ai.modelexecute",
    ("pipeline", "legacy"): "ai.modelrun",
    ("dag", "modern"): "ai.dagexecute",
    ("dag", "legacy"): "ai.dagrun",
    ("dag-ro", "modern"): "ai.dagexecute_ro",
    ("dag-ro", "legacy"): "ai.dagrun_ro",
    ("execute", "modern"): "ai.modelexecute",
    ("execute", "legacy"): "ai.modelrun",
}


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Return a client of the server."""
    target = parse_target(server.url)
    if target.path:
        return redis.Redis(unix_socket_path=target.path)
    return redis.Redis(host=target.host, port=target.port)


def calls(server: EmbeddedServer, command: str) -> int:
    """Return how often the server has run a command."""
    with client_of(server) as client:
        stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


def counted(server: EmbeddedServer, sample: Path, model: Path, **values: Any) -> Result:
    """Run exactly as many inferences as asked for, without warm-up, once."""
    config = api.RunConfig(
        target=server.url,
        dataset=sample,
        model=str(model),
        warmup_s=0.0,
        repetitions=1,
        **values,
    )
    return api.run(config)


@contextlib.contextmanager
def corrupting(server: EmbeddedServer, sound: int) -> Iterator[str]:
    """Stand between client and server; after ``sound`` answers one bit of each is wrong."""
    target = parse_target(server.url)

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((target.host, target.port)) as upstream:
                pair = (self.request, upstream)
                forth = threading.Thread(target=_copy, args=(*pair, lambda data: data))
                forth.start()
                _copy(upstream, self.request, corrupted)
                forth.join()

    answers = itertools.count()

    def corrupted(data: bytes) -> bytes:
        at = data.rfind(b"$12\r\n")  # three float32, little-endian
        if at < 0 or len(data) < at + 17 or next(answers) < sound:
            return data
        return data[: at + 8] + bytes([data[at + 8] ^ 0x40]) + data[at + 9 :]

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield "redisai://{}:{}".format(*proxy.server_address)
        finally:
            proxy.shutdown()
            thread.join()


def _copy(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 20):
            sink.sendall(change(data))
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("form", "dialect"), EXECUTING)
def test_every_form(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, form: str, dialect: str, batch: int
) -> None:
    """30 inferences were asked for: the client says 30 and the server has executed 30."""
    command = EXECUTING[form, dialect]
    before = calls(ai_server, command)

    result = counted(
        ai_server,
        sample,
        tiny_model,
        form=form,
        dialect=dialect,
        batch=batch,
        requests=30,
        verify=0 if form == "execute" else 5,
    )

    checks = 1 if command == "ai.modelexecute" else 0  # the first answer, after loading
    (repetition,) = result.repetitions
    counts = repetition.counts
    assert (counts.intended, counts.sent, counts.ok) == (30, 30, 30)
    assert calls(ai_server, command) - before - checks == 30
    assert repetition.response_ms.count == 30
    assert repetition.samples_per_s == pytest.approx(batch * repetition.inferences_per_s)
    assert result.status == "complete"
    if form != "execute":
        assert repetition.verification is not None
        assert (repetition.verification.checked, repetition.verification.mismatches) == (5, 0)


def test_threads_connections_pipeline(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path
) -> None:
    """2 threads x 4 connections x 4 in flight: counts are exact, answers right, rows all used."""
    result = counted(
        ai_server,
        sample,
        tiny_model,
        threads=2,
        connections=4,
        pipeline=4,
        requests=203,
        verify=40,
    )

    (repetition,) = result.repetitions
    assert repetition.counts.ok == repetition.counts.intended == 203
    assert len(repetition.client.threads) == 2
    assert sum(i.ok for i in repetition.timeseries) == 203
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (40, 0)
    assert repetition.client.bytes_sent > 203 * 224 * 224 * 3 * 4


def test_models_under_several_keys(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path
) -> None:
    """Each of 12 keys, with one digit or two, gets its even share of the inferences, exactly."""
    done = fastbench(
        *("run", ai_server.url, "--dataset", sample, "--model", tiny_model, "--models", 12),
        *("--connections", 3, "--requests", 120, "--warmup", 0, "--repetitions", 1),
        *("--verify", 10, "--calibrate", "never", "--format", "json"),
    )
    report = fastbench(
        *("run", ai_server.url, "--dataset", sample, "--model", tiny_model, "--models", 2),
        *("--form", "dag", *SHORT, "--calibrate", "never"),
    )

    target = parse_target(ai_server.url)
    with redis.Redis(host=target.host, port=target.port) as client:
        told = [client.execute_command("AI.INFO", f"fastbench:tiny:{i}") for i in range(2, 12)]
    calls = {dict(zip(t[::2], t[1::2], strict=True))[b"calls"] for t in told}
    result = from_json(done.out.encode())
    (repetition,) = result.repetitions
    assert calls == {1 + 10}  # the first answer, after loading, and its share
    assert repetition.counts.ok == 120
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
    assert "12 keys, fastbench:tiny:0 to fastbench:tiny:11" in result.target.details["models"]
    assert report.code == 0, report.err
    assert "tiny under 2 keys in turn" in report.out


def test_unix_socket(sample: Path, tiny_model: Path) -> None:
    """The same over a unix socket, from the command line."""
    with EmbeddedServer(unix=True) as server:
        done = fastbench(
            *("run", server.url, "--dataset", sample, "--model", tiny_model, *SHORT, "--quiet")
        )

    assert done.code == 0
    assert server.url in done.out
    assert "inferences/s" in done.out
    assert done.err == ""


def test_embedded_on_a_unix_socket(sample: Path, tiny_model: Path) -> None:
    """``embedded:unix`` starts the server on a socket of its own."""
    result = api.run(
        api.RunConfig(
            target="embedded:unix",
            dataset=sample,
            model=str(tiny_model),
            requests=10,
            warmup_s=0.0,
            repetitions=1,
        )
    )

    assert result.repetitions[0].counts.ok == 10
    assert "embedded" in result.target.server


def test_out_and_report(sample: Path, tiny_model: Path, tmp_path: Path) -> None:
    """The folder holds all files; ``fastbench report`` shows the same report from it alone."""
    out = tmp_path / "a" / "b"
    done = fastbench(
        *("run", "--dataset", sample, "--model", tiny_model, "--out", out),
        *("--duration", 0.3, "--warmup", 0, "--repetitions", 2),
    )

    assert done.code == 0
    assert {path.name for path in out.iterdir()} == FILES
    assert fastbench("report", out).out == done.out
    assert fastbench("report", out / "result.json").out == done.out
    with (out / "timeseries.csv").open() as file:
        ok = sum(int(row["ok"]) for row in csv.DictReader(file))
    result = from_json((out / "result.json").read_bytes())
    assert ok == sum(r.counts.ok for r in result.repetitions) > 0
    assert (
        fastbench("report", out, "--format", "json").out.encode()
        == (out / "result.json").read_bytes()
    )


def test_json(sample: Path, tiny_model: Path) -> None:
    """As JSON standard output is the result and nothing else; progress goes elsewhere."""
    done = fastbench("run", "--dataset", sample, "--model", tiny_model, *SHORT, "--format", "json")

    result = from_json(done.out.encode())
    plain = json.loads(done.out)
    assert done.code == 0
    assert "rep 1/1" in done.err
    assert result.status == "complete"
    assert {"schema_version", "config", "platform", "target", "repetitions"} <= set(plain)
    (repetition,) = plain["repetitions"]
    counts = repetition["counts"]
    assert {"intended", "sent", "ok", "errors", "timeouts", "lost", "unfinished"} <= set(counts)
    assert {"inferences_per_s", "response_ms", "service_ms", "timeseries"} <= set(repetition)
    assert {"min", "mean", "p50", "p95", "p99", "p999", "max"} <= set(
        plain["summary"]["response_ms"]
    )
    assert plain["config"]["dataset"] == str(sample)


def test_python_interface(
    ai_server: EmbeddedServer,
    sample: Path,
    tiny_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """``fastbench.run`` returns what it writes, and prints nothing."""
    result = counted(ai_server, sample, tiny_model, requests=25, out=tmp_path / "out")

    assert isinstance(result, Result)
    assert result.summary is not None
    assert result.summary.inferences_per_s > 0
    assert result.dataset is not None
    assert (result.dataset.rows, result.dataset.shape) == (8, [224, 224, 3])
    assert result.target.check_max_abs_difference is not None
    assert (tmp_path / "out" / "result.json").read_bytes() == to_json(result)
    assert capfd.readouterr() == ("", "")


def test_warm_up_is_not_recorded(ai_server: EmbeddedServer, sample: Path, tiny_model: Path) -> None:
    """The server executes more than what is recorded: warm-up is load that no figure contains."""
    before = calls(ai_server, "ai.modelexecute")
    config = api.RunConfig(
        target=ai_server.url,
        dataset=sample,
        model=str(tiny_model),
        warmup_s=0.2,
        requests=20,
        repetitions=1,
    )

    (repetition,) = api.run(config).repetitions

    assert repetition.counts.intended == 20
    assert calls(ai_server, "ai.modelexecute") - before > 21


def test_oversubscribed(sample: Path, tiny_model: Path) -> None:
    """More threads than CPUs work, and the report says that they wait for each other."""
    done = fastbench(
        *("run", "--dataset", sample, "--model", tiny_model, *SHORT, "--quiet"),
        *("--threads", 16, "--pipeline", 4, "--cpus", min(os.sched_getaffinity(0))),
    )

    assert done.code == 0
    assert "16 connections x pipeline 4 = 64 in flight" in done.out
    assert "threads share" in re.sub(r"\s+", " ", done.out)


def test_corrupted_answers_are_found(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path
) -> None:
    """One wrong bit in an answer on its way is found, and makes the exit code 1."""
    with corrupting(ai_server, sound=20) as target:
        done = fastbench(
            *(
                "run",
                target,
                "--dataset",
                sample,
                "--model",
                tiny_model,
                "--format",
                "json",
                "--quiet",
            ),
            *("--requests", 60, "--repetitions", 1, "--warmup", 0, "--verify", 60),
        )

    (repetition,) = from_json(done.out.encode()).repetitions
    assert repetition.verification is not None
    assert repetition.verification.checked == repetition.counts.ok == 60
    assert repetition.verification.mismatches > 20
    assert done.code == 1


@pytest.mark.parametrize("end", [{"requests": 500}, {"duration_s": 0.5}])
@pytest.mark.parametrize("threads", [1, 2])
def test_all_replies_are_verified(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, threads: int, end: dict[str, Any]
) -> None:
    """With ``all`` every success is compared: none is left out, by number as by time."""
    result = counted(
        ai_server, sample, tiny_model, verify="all", threads=threads, pipeline=4, **end
    )

    (repetition,) = result.repetitions
    found = repetition.verification
    assert found is not None
    assert found.requested is None
    assert found.checked == repetition.counts.ok > 0
    assert (found.mismatches, found.unchecked) == (0, 0)


def test_every_wrong_reply_is_counted(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path
) -> None:
    """Of 300 replies 250 are wrong: ``all`` finds exactly these, names rows, and exits with 1."""
    with corrupting(ai_server, sound=52) as target:  # two answers are read before it measures
        options = ("--dataset", sample, "--model", tiny_model, "--quiet", "--verify", "all")
        done = fastbench(
            *("run", target, *options, "--requests", 300, "--repetitions", 1, "--warmup", 0),
            *("--calibrate", "never", "--format", "json"),
        )

    (repetition,) = from_json(done.out.encode()).repetitions
    assert repetition.verification is not None
    assert repetition.verification.checked == 300
    assert 245 <= repetition.verification.mismatches <= 255
    assert set(repetition.verification.mismatched_rows) == set(range(8))
    assert done.code == 1


def test_swapped_model_is_found(
    ai_server: EmbeddedServer, sample: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Somebody replaces the model while it is measured: the answers are wrong and that is found."""
    other = mean_rgb()
    other.graph.node[0].op_type = "ReduceMax"
    onnx.checker.check_model(other)
    out = tmp_path / "out"
    before = calls(ai_server, "ai.modelexecute")
    with running(
        *("run", ai_server.url, "--dataset", sample, "--model", tiny_model, "--out", out),
        *("--requests", 5000, "--repetitions", 1, "--warmup", 0, "--verify", 60),
    ) as run:
        run.wait_until(lambda: calls(ai_server, "ai.modelexecute") > before + 20)
        with client_of(ai_server) as client:
            client.execute_command(
                *("AI.MODELSTORE", "fastbench:tiny", "ONNX", "CPU"),
                *("BLOB", other.SerializeToString()),
            )
        done = run.end()

    (repetition,) = from_json((out / "result.json").read_bytes()).repetitions
    assert repetition.verification is not None
    assert repetition.verification.checked == 60
    assert 0 < repetition.verification.mismatches < 60
    assert done.code == 1
    assert "wrong" in done.out
