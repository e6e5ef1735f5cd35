"""The two command lines that the README translates, run as they stand there."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis
from support.cli import fastbench

from fastbench.models import load_model
from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastbench.servers.embedded import EmbeddedServer

#: Requests on each connection of the second example; the README's 10,000 take minutes here.
PER_CLIENT = 40
CLIENTS = 4 * 50
#: For 100,000 inferences, each executed by a server in Python.
LONG_S = 900
SCRIPT = """
def f(tensors: List[Tensor], keys: List[str], args: List[str]):
    return tensors[0] + 1
"""
DOCUMENTS = ("README.md", "docs/command.md")

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def shown(path: Path, program: str) -> list[list[str]]:
    """Return the words of each command line of a document that starts a program."""
    code = re.findall(r"(?:^    .*\n)+", path.read_text(), flags=re.MULTILINE)
    lines = "".join(code).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.split()[:1] == [program]]


def examples(path: Path) -> list[list[str]]:
    """Return both translations, the program's name left out."""
    commands = [words[1:] for words in shown(path, "fastbench") if words[1] == "command"]
    return [words for words in commands if "AI.MODELEXECUTE" in " ".join(words)]


@pytest.fixture
def client(ai_server: EmbeddedServer) -> Iterator[redis.Redis]:
    """Return a client of a server with a model ``m``, a tensor ``a`` and fresh counters."""
    model = load_model("identity").path.read_bytes()
    with redis.Redis(port=urlsplit(ai_server.url).port) as client:
        client.flushall()
        client.execute_command("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", model)
        client.execute_command("AI.TENSORSET", "a", "FLOAT", 1, 2, "VALUES", 1, 2)
        client.config_resetstat()
        yield client


def run(words: list[str], client: redis.Redis, *options: object) -> str:
    """Run an example on this server; return what it printed."""
    port = client.connection_pool.connection_kwargs["port"]
    name, *rest = [word.replace("127.0.0.1:6379", f"127.0.0.1:{port}") for word in words]
    done = fastbench(name, *options, *rest, timeout_s=LONG_S)
    assert done.code == 0, done.err
    return done.out


def second(words: list[str], client: redis.Redis, out: Path) -> Result:
    """Run the second example with fewer requests; return what its JSON file holds."""
    changes = {"10000": str(PER_CLIENT), "results": str(out)}
    run([changes.get(word, word) for word in words], client)
    return from_json((out / "result.json").read_bytes())


def calls(client: redis.Redis, name: str) -> int:
    """Return how many requests for a command the server has counted."""
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats[f"cmdstat_ai.{name}"]["calls"])


def values(client: redis.Redis, key: str) -> list[float]:
    """Return the numbers of a tensor."""
    return [float(value) for value in client.execute_command("AI.TENSORGET", key, "VALUES")]


def test_documents_agree(root: Path) -> None:
    """README and docs/command.md show the same lines, those of the other tools too."""
    for find in (examples, lambda path: shown(path, "redis-benchmark")):
        here, there = (find(root / name) for name in DOCUMENTS)
        assert here
        assert here == there
    here, there = (shown(root / name, "memtier_benchmark") for name in DOCUMENTS)
    assert here
    assert here == there


def test_translations_send_the_same(root: Path) -> None:
    """Each translation has the numbers and the commands of the line before it."""
    readme = root / DOCUMENTS[0]
    (first,), (other,) = shown(readme, "redis-benchmark"), shown(readme, "memtier_benchmark")
    ours, theirs = examples(readme)

    command = first.index("AI.MODELEXECUTE")
    assert " ".join([*first[1:command], "--", *first[command:]]) in " ".join(ours)
    names = {"--clients": "--clients-per-thread", "--requests": "--requests-per-client"}
    assert [names.get(word, word) for word in other[1:-2]] == theirs[4:-2]


@pytest.mark.timeout(LONG_S)
def test_redis_benchmark_example(root: Path, client: redis.Redis) -> None:
    """All 100,000 requests reach the server and succeed, on 50 connections."""
    result = from_json(run(examples(root / "README.md")[0], client, "--format", "json").encode())
    (repetition,) = result.repetitions

    assert (result.config["threads"], result.config["connections"]) == (2, 50)
    assert (repetition.counts.ok, repetition.counts.sent) == (100_000, 100_000)
    assert repetition.response_ms.count == 100_000
    assert calls(client, "modelexecute") == 100_000
    assert values(client, "b") == [1, 2]


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_memtier_example(root: Path, client: redis.Redis, tmp_path: Path) -> None:
    """Every connection sends its requests, half to the model and half to the script."""
    client.execute_command(
        *("AI.SCRIPTSTORE", "s", "CPU", "ENTRY_POINTS", 1, "f", "SOURCE", SCRIPT)
    )
    result = second(examples(root / "README.md")[1], client, tmp_path / "results")
    (repetition,) = result.repetitions

    assert (result.config["threads"], result.config["connections"]) == (4, CLIENTS)
    assert repetition.counts.ok == repetition.counts.sent == CLIENTS * PER_CLIENT
    assert calls(client, "modelexecute") == CLIENTS * PER_CLIENT // 2
    assert calls(client, "scriptexecute") == CLIENTS * PER_CLIENT // 2
    assert (values(client, "b"), values(client, "c")) == ([1, 2], [2, 3])


def test_memtier_example_without_the_script(
    root: Path, client: redis.Redis, tmp_path: Path
) -> None:
    """Where the script is missing its half are errors, counted apart and in no latency."""
    result = second(examples(root / "README.md")[1], client, tmp_path / "results")
    (repetition,) = result.repetitions
    half = CLIENTS * PER_CLIENT // 2

    assert (repetition.counts.ok, repetition.counts.errors) == (half, half)
    assert repetition.response_ms.count == half
    (word,) = repetition.counts.errors_by_class
    assert word == "ERR"
    assert "script key is empty" in repetition.counts.errors_by_class[word].first_text
    assert calls(client, "modelexecute") == calls(client, "scriptexecute") == half
