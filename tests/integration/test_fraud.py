"""The fraud workload and its reference data, in real processes and against real servers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import redis
from support.cli import fastbench
from support.fakeserver import FakeServer, Reply, Request
from support.redisserver import port_of, programs, running

from fastbench.datasets.fraud import FraudConfig, FraudDataset, build_fraud
from fastbench.errors import ServerError, UsageError
from fastbench.servers import references
from fastbench.servers.embedded import EmbeddedServer
from fastbench.servers.references import BLOBS, TENSORS, load_references

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 2_345  # two blocks and a part of one


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> FraudDataset:
    """Make a dataset that no test changes."""
    return build_fraud(FraudConfig(out=tmp_path_factory.mktemp("fraud") / "set", sample=ROWS))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """Start a real Redis for one test."""
    found = programs()
    if not found:
        pytest.skip("neither redis-server nor valkey-server is installed")
    with running(found[0], tmp_path) as client:
        yield client


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Return redis-py on the embedded server."""
    return redis.Redis.from_url(server.url.replace("redisai://", "redis://"))


class TestReferences:
    """Reference data in a server: every byte under its own key, and none twice."""

    def test_blobs_in_redis(self, dataset: FraudDataset, server: redis.Redis) -> None:
        """By the command line: every row can be read back, then nothing is sent again."""
        url = f"redis://127.0.0.1:{port_of(server)}"
        arguments = ("data", "load-reference", url, "--dataset", dataset.path, "--blobs")
        done = fastbench(*arguments)

        assert (done.code, "2,345 rows sent" in done.out) == (0, True), done
        assert f"{ROWS} of {ROWS} rows" in done.err
        values = np.load(dataset.references.data_path)
        assert server.dbsize() == ROWS
        found = server.mget([f"referenceBLOB:{{{row}}}" for row in range(ROWS)])
        assert found == [values[row].tobytes() for row in range(ROWS)]
        sets = int(server.info("commandstats")["cmdstat_set"]["calls"])
        assert sets == ROWS

        again = fastbench(*arguments)
        assert again.code == 0
        assert "0 rows sent in 0.0 s, 2,345 were there" in again.out
        assert int(server.info("commandstats")["cmdstat_set"]["calls"]) == sets

    def test_goes_on_where_rows_are_missing(
        self, dataset: FraudDataset, server: redis.Redis
    ) -> None:
        """Only blocks with a missing key, or with other bytes at their ends, are sent again."""
        url = f"redis://127.0.0.1:{port_of(server)}"
        load_references(url, dataset.references, (BLOBS,))
        server.delete("referenceBLOB:{1500}")
        second = load_references(url, dataset.references, (BLOBS,))
        server.set("referenceBLOB:{2344}", b"other")
        third = load_references(url, dataset.references, (BLOBS,))
        server.delete("referenceBLOB:{0}")
        server.rpush("referenceBLOB:{0}", "not a string")
        fourth = load_references(url, dataset.references, (BLOBS,))

        assert [(d.sent, d.found) for d in (second, third, fourth)] == [
            (1000, 1345),
            (345, 2000),
            (1000, 1345),
        ]
        values = np.load(dataset.references.data_path)
        found = server.mget([f"referenceBLOB:{{{row}}}" for row in range(ROWS)])
        assert found == [values[row].tobytes() for row in range(ROWS)]

    def test_tensors_in_the_embedded_server(
        self, dataset: FraudDataset, ai_server: EmbeddedServer
    ) -> None:
        """Both forms at once; tensors have the shape 1 x 256 and the right bytes."""
        load_references(ai_server.url, dataset.references, (TENSORS, BLOBS))
        values = np.load(dataset.references.data_path)
        with client_of(ai_server) as client:
            for row in range(ROWS):
                reply = client.execute_command("AI.TENSORGET", f"referenceTensor:{{{row}}}")
                fields = dict(zip(reply[::2], reply[1::2], strict=True))
                assert fields[b"dtype"] == b"FLOAT"
                assert fields[b"shape"] == [1, 256]
                assert fields[b"blob"] == values[row].tobytes()
            found = client.pipeline(transaction=False)
            for row in range(ROWS):
                found.get(f"referenceBLOB:{{{row}}}")
            assert found.execute() == [values[row].tobytes() for row in range(ROWS)]

    def test_several_servers(self, dataset: FraudDataset, ai_server: EmbeddedServer) -> None:
        """Each server of a target gets all rows, for connections take them in turn."""
        with EmbeddedServer() as other:
            url = f"{ai_server.url},{other.url.removeprefix('redisai://')}"
            with client_of(ai_server) as client:
                client.flushall()
            done = load_references(url, dataset.references, (BLOBS,))
            with client_of(other) as client:
                assert client.dbsize() == ROWS

        assert (done.sent, done.found) == (2 * ROWS, 0)

    def test_an_error_ends_it(self, dataset: FraudDataset) -> None:
        """One refused row is a failure with the server's words, and exit code 1."""

        def script(request: Request) -> Reply:
            if request.words[0] == b"SET" and request.words[1] == b"referenceBLOB:{1200}":
                return Reply(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
            if request.words[0] == b"INFO":
                return Reply(b"$0\r\n\r\n")
            return Reply(b":0\r\n" if request.words[0] == b"EXISTS" else b"+OK\r\n")

        with FakeServer(script) as server:
            url = f"redis://127.0.0.1:{server.address[1]}"
            done = fastbench("data", "load-reference", url, "--dataset", dataset.path, "--blobs")

        assert done.code == 1
        last = done.err.splitlines()[-1]
        assert "OOM command not allowed" in last
        assert "not all loaded" in last

    def test_wrong_targets(self, dataset: FraudDataset, server: redis.Redis) -> None:
        """Tensors need the module, and a server that is there after this command."""
        with pytest.raises(ServerError, match="without the RedisAI module"):
            load_references(f"redis://127.0.0.1:{port_of(server)}", dataset.references, (TENSORS,))
        with pytest.raises(UsageError, match="fastbench serve"):
            load_references("embedded:", dataset.references, (TENSORS,))


def run(tmp_path: Path, *arguments: object) -> dict[str, Any]:
    """Run the workload briefly and return the result; every sampled answer must be right."""
    out = tmp_path / "out"
    options = ("--duration", "0.5", "--warmup", "0.1", "--repetitions", "1", "--verify", "40")
    done = fastbench(
        *("run", *arguments, "--workload", "fraud", *options, "--calibrate", "never"),
        *("--out", out, "--quiet"),
    )
    assert done.code == 0, done.err
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    (repetition,) = result["repetitions"]
    counts, checked = repetition["counts"], repetition["verification"]
    assert counts["ok"] == counts["sent"] > 0
    assert (checked["mismatches"], checked["checked"] > 0) == (0, True)
    return result


@pytest.mark.parametrize("form", ["dag", "pipeline"])
@pytest.mark.parametrize("dialect", ["modern", "legacy"])
@pytest.mark.parametrize("reference", ["--reference", "--no-reference"])
def test_forms(
    tmp_path: Path,
    dataset: FraudDataset,
    ai_server: EmbeddedServer,
    form: str,
    dialect: str,
    reference: str,
) -> None:
    """Every form and dialect is answered rightly with transaction i and reference i."""
    arguments = ("--form", form, "--dialect", dialect, reference, "--dataset", dataset.path)
    load = ("--threads", 2, "--connections", 4, "--pipeline", 3)
    result = run(tmp_path, ai_server.url, *arguments, *load)

    with_reference = reference == "--reference"
    assert result["target"]["model"] == ("fraud" if with_reference else "fraud_noreference")
    assert ("references" in result["target"]["details"]) == with_reference
    assert result["target"]["check_max_abs_difference"] < 1e-3
    assert (result["dataset"]["rows"], result["dataset"]["shape"]) == (ROWS, [30])
    assert result["dataset"]["synthetic"]


def test_wrong_reference_is_found(tmp_path: Path, dataset: FraudDataset) -> None:
    """Verification is of the very pairs: a server with other reference data answers wrongly."""
    out = tmp_path / "out"
    load = ("--requests", ROWS, "--verify", 50, "--repetitions", 1, "--warmup", 0)
    with EmbeddedServer() as server:  # its own: what is spoilt here is looked for in vain there
        load_references(server.url, dataset.references, (TENSORS,))
        spoil(server, np.load(dataset.references.data_path))
        done = fastbench(
            *("run", server.url, "--workload", "fraud", "--dataset", dataset.path, *load),
            *("--form", "dag", "--calibrate", "never", "--out", out, "--quiet"),
        )

    (repetition,) = json.loads((out / "result.json").read_text())["repetitions"]
    assert done.code == 1
    assert repetition["verification"]["mismatches"] > 30


@pytest.mark.parametrize("form", ["dag", "pipeline"])
def test_references_come_from_elsewhere(
    tmp_path: Path, dataset: FraudDataset, server: redis.Redis, form: str
) -> None:
    """Each inference uses what it fetched: the model server's own reference data are wrong."""
    url = f"redis://127.0.0.1:{port_of(server)}"
    with EmbeddedServer() as ai:
        load_references(ai.url, dataset.references, (TENSORS,))
        spoil(ai, np.load(dataset.references.data_path))
        arguments = ("--form", form, "--dataset", dataset.path, "--reference-from", url)
        load = ("--threads", 2, "--connections", 4, "--pipeline", 3)
        result = run(tmp_path, ai.url, *arguments, *load)

    (repetition,) = result["repetitions"]
    assert [s["target"] for s in repetition["steps"]] == [url, ai.url]
    assert all(0 < s["share"] < 1 for s in repetition["steps"])
    assert [s["url"] for s in repetition["servers"]] == [ai.url, url]
    assert all(s["process"] and not s["metrics"]["unavailable"] for s in repetition["servers"])
    assert result["target"]["details"]["fetched_from"] == url
    assert f"{ROWS:,} rows sent" in result["target"]["details"]["references"]


def spoil(server: EmbeddedServer, values: np.ndarray) -> None:
    """Exchange the reference data of all rows but those that loading looks at."""
    looked_at = {0, references.BLOCK_ROWS - 1}
    with client_of(server) as client:
        for row in range(ROWS - 1):
            if row % references.BLOCK_ROWS not in looked_at:
                blob = values[-1 - row].tobytes()
                key = f"referenceTensor:{{{row}}}"
                client.execute_command("AI.TENSORSET", key, "FLOAT", 1, 256, "BLOB", blob)


def test_default_sample(tmp_path: Path) -> None:
    """Without a dataset or a target it makes its own, loads what it needs, and says so."""
    result = run(tmp_path, "--form", "dag")

    assert result["dataset"]["rows"] == 10_000
    assert "10,000 rows sent" in result["target"]["details"]["references"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workload", "fraud", "--form", "execute"), "--form execute"),
        (("--workload", "fraud", "--batch", 2), "--no-reference"),
        (("--no-reference",), "--workload fraud"),
        (("--reference-from", "redis://h"), "--workload fraud"),
        (
            ("--workload", "fraud", "--no-reference", "--reference-from", "redis://h"),
            "--reference-from both given",
        ),
        (
            ("--workload", "fraud", "--models", 2, "--reference-from", "redis://h"),
            "a chain ends in one model",
        ),
        (("--workload", "fraud", "--model", "identity"), "takes 1 inputs (input)"),
        (("--workload", "fraud", "--no-reference", "--model", "fraud"), "transaction, reference"),
    ],
)
def test_what_does_not_fit(arguments: tuple[object, ...], words: str) -> None:
    """Forms, batches and models that cannot be are refused in one line."""
    done = fastbench("run", *arguments, "--quiet")

    assert done.code in {1, 2}
    assert words in done.line


def test_check_takes_both_inputs(dataset: FraudDataset, ai_server: EmbeddedServer) -> None:
    """``model load`` and ``model check`` compare models with several inputs too."""
    loaded = fastbench("model", "load", ai_server.url, "fraud")
    checked = fastbench("model", "check", ai_server.url, "fraud", "--dataset", dataset.path)

    for done in (loaded, checked):
        assert done.code == 0, done.err
        assert "agrees with onnxruntime" in done.out
