"""Any commands, as redis-benchmark and memtier_benchmark send them."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from typing import TYPE_CHECKING

import numpy as np

from fastbench.config import CommandConfig
from fastbench.datasets.base import open_dataset
from fastbench.datasets.fraud import FIELDS, open_fraud
from fastbench.datasets.manifest import kind_of
from fastbench.errors import UsageError
from fastbench.job import Job
from fastbench.plan import Data, Stream
from fastbench.results import TargetInfo
from fastbench.servers.cluster import connect_nodes, first_key, read_cluster
from fastbench.servers.connect import check_connections, describe_all, endpoints, started
from fastbench.servers.data import file_data
from fastbench.servers.redis_server import RedisServer
from fastbench.servers.resp import command, message
from fastbench.targets import parse_target
from fastbench.workloads.fetches import compile_fetches, open_fetches
from fastbench.workloads.inference import describe
from fastbench.workloads.placeholders import Vocabulary, compile_command, fields_named, sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fastbench.config import RunConfig
    from fastbench.datasets.base import Dataset
    from fastbench.datasets.fraud import FraudDataset
    from fastbench.datasets.rows import Rows
    from fastbench.plan import Cluster, Message, Step

#: Rows of generated data: enough that not all connections send the same bytes.
GENERATED_ROWS = 4


@contextlib.contextmanager
def open_job(config: RunConfig) -> Iterator[Job]:
    """Compile the commands, generate their data and connect."""
    wanted = config.command or CommandConfig()
    wanted_target = parse_target(config.target)
    check_connections(wanted_target, config.total_connections)
    dataset = _open(config.dataset, wanted) if config.dataset else None
    sent = _sent(dataset.fields, wanted) if dataset else {}
    fields = sent | dataset.fields if dataset else {}
    words = Vocabulary(
        key_prefix=wanted.key_prefix,
        key_low=wanted.key_minimum,
        key_high=wanted.key_maximum,
        data=wanted.data_size,
        rows={name: rows.row_bytes for name, rows in fields.items()},
    )
    fetches = compile_fetches(wanted, words)
    compiled = tuple(compile_command(arguments, words) for arguments in wanted.commands)
    with contextlib.ExitStack() as stack:
        generated = [stack.enter_context(_generate(n, config.seed)) for n in words.sizes]
        target = stack.enter_context(started(wanted_target))
        servers = [
            stack.enter_context(RedisServer(e, config.tls)) for e in endpoints(target, config.tls)
        ]
        server = servers[0]
        before, holders = stack.enter_context(open_fetches(config, fetches))
        reached, cluster = _where(servers, config, stack)
        messages = _routed(server, wanted, words) if cluster else compiled
        info = TargetInfo(
            url=target.url,
            kind="redis",
            server=server.name,
            protocol=f"RESP{wanted.resp}",
            details=server.details | _named(cluster) | _fetched_from(before),
        )
        yield Job(
            stream=Stream(
                addresses=tuple(s.address for s in reached),
                cluster=cluster,
                before=before,
                connections=config.total_connections,
                pipeline=config.pipeline,
                messages=messages,
                pattern=_pattern(wanted.ratios, len(messages)),
                opening=(*server.opening(wanted.resp), *_select(wanted)),
                data=(*map(file_data, fields.values()), *generated),
                keys=tuple(words.keys),
                redisai=any(c[0].upper().startswith("AI.") for c in wanted.commands),
                tls=server.tls,
            ),
            target=describe_all(info, target, servers),
            dataset=describe(dataset, *sent.values()) if dataset else None,
            servers=tuple(s.watched() for s in (*reached, *holders)),
        )


def _open(folder: Path, wanted: CommandConfig) -> Dataset | FraudDataset:
    """Open a dataset of either kind; where there is none the commands tell which was meant."""
    absent = not folder.exists()
    fraud = bool({*FIELDS} & {*_fields(wanted)}) if absent else kind_of(folder) == "fraud"
    return open_fraud(folder) if fraud else open_dataset(folder)


def _fields(wanted: CommandConfig) -> list[str]:
    """Return the fields of a dataset that commands name, of any kind of dataset."""
    fetches = [arguments for _, *arguments in wanted.fetches]
    return fields_named((*fetches, *wanted.commands))


def _sent(fields: Mapping[str, Rows], wanted: CommandConfig) -> dict[str, Rows]:
    """Return the fields that commands name; the first is what the engine takes rows of in turn.

    Where none is named it is the dataset's first.
    """
    named = [name for name in _fields(wanted) if name in fields]
    return {name: fields[name] for name in named or [*fields][:1]}


def _where(
    servers: Sequence[RedisServer], config: RunConfig, stack: contextlib.ExitStack
) -> tuple[Sequence[RedisServer], Cluster | None]:
    """Return what connections take in turn: the servers, or the nodes of their cluster."""
    if not (config.command and config.command.cluster):
        return servers, None
    if len(servers) > 1:
        msg = f"--cluster and {len(servers)} servers: name one node, it says where the others are"
        raise UsageError(msg)
    addresses, cluster = read_cluster(servers[0])
    _check_share(config, len(addresses))
    nodes = connect_nodes(servers[0], addresses, config.tls)
    return stack.enter_context(nodes), cluster


def _check_share(config: RunConfig, nodes: int) -> None:
    if config.total_connections // config.threads < nodes:
        msg = (
            f"--connections {config.total_connections}: each of {config.threads} threads needs one "
            f"to each of the cluster's {nodes} nodes, use --connections {nodes * config.threads} "
            "or more"
        )
        raise UsageError(msg)


def _routed(server: RedisServer, wanted: CommandConfig, words: Vocabulary) -> tuple[Message, ...]:
    """Compile the commands anew, now that the server can say where their keys are."""
    places = [first_key(server, sample(arguments, words)) for arguments in wanted.commands]
    words.keys.clear()
    return tuple(map(compile_command, wanted.commands, itertools.repeat(words), places))


def _named(cluster: Cluster | None) -> dict[str, str]:
    return {"cluster_nodes": " ".join(cluster.names)} if cluster else {}


def _fetched_from(before: Sequence[Step]) -> dict[str, str]:
    return {"fetched_from": " ".join(step.target for step in before)} if before else {}


def _pattern(ratios: tuple[int, ...], commands: int) -> tuple[int, ...]:
    """Each command as often as its ratio says, spread evenly: 3 and 1 → 0 0 1 0."""
    counts = ratios or (1,) * commands
    places = [
        ((k + 0.5) / count, index) for index, count in enumerate(counts) for k in range(count)
    ]
    return tuple(index for _, index in sorted(places))


def _select(wanted: CommandConfig) -> tuple[Message, ...]:
    if wanted.db == 0:
        return ()
    return (message([command("SELECT", wanted.db)], replies=1),)


@contextlib.contextmanager
def _generate(size: int, seed: int) -> Iterator[Data]:
    """Rows of random bytes in an anonymous file, so that they too are sent without a copy."""
    fd = os.memfd_create("fastbench-data", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rows = np.random.default_rng(seed)
        for _ in range(GENERATED_ROWS):
            _write_all(fd, rows.bytes(size))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        yield Data(fd, 0, size, GENERATED_ROWS)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
