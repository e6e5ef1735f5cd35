"""Any commands, as redis-benchmark and memtier_benchmark send them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import numpy as np

from fastbench.config import CommandConfig
from fastbench.datasets.base import open_dataset
from fastbench.job import Job
from fastbench.plan import Data, Stream
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections, describe_all, endpoints, started
from fastbench.servers.redis_server import RedisServer
from fastbench.servers.resp import command, message
from fastbench.targets import parse_target
from fastbench.workloads.placeholders import Vocabulary, compile_command
from fastbench.workloads.vision import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.config import RunConfig
    from fastbench.datasets.base import Dataset
    from fastbench.plan import Message

#: Rows of generated data: enough that not all connections send the same bytes.
GENERATED_ROWS = 4


@contextlib.contextmanager
def open_job(config: RunConfig) -> Iterator[Job]:
    """Compile the commands, generate their data and connect."""
    wanted = config.command or CommandConfig()
    wanted_target = parse_target(config.target)
    check_connections(wanted_target, config.total_connections)
    dataset = open_dataset(config.dataset) if config.dataset else None
    words = Vocabulary(
        key_prefix=wanted.key_prefix,
        key_low=wanted.key_minimum,
        key_high=wanted.key_maximum,
        data=wanted.data_size,
        row_bytes=dataset.row_bytes if dataset else 0,
    )
    messages = tuple(compile_command(arguments, words) for arguments in wanted.commands)
    with contextlib.ExitStack() as stack:
        generated = [stack.enter_context(_generate(n, config.seed)) for n in words.sizes]
        target = stack.enter_context(started(wanted_target))
        servers = [
            stack.enter_context(RedisServer(e, config.tls)) for e in endpoints(target, config.tls)
        ]
        server = servers[0]
        info = TargetInfo(
            url=target.url,
            kind="redis",
            server=server.name,
            protocol=f"RESP{wanted.resp}",
            details=server.details,
        )
        yield Job(
            stream=Stream(
                addresses=tuple(s.address for s in servers),
                connections=config.total_connections,
                pipeline=config.pipeline,
                messages=messages,
                pattern=_pattern(wanted.ratios, len(messages)),
                opening=(*server.opening(wanted.resp), *_select(wanted)),
                data=(*_file(dataset), *generated),
                keys=tuple(words.keys),
                redisai=any(c[0].upper().startswith("AI.") for c in wanted.commands),
                tls=server.tls,
            ),
            target=describe_all(info, target, servers),
            dataset=describe(dataset) if dataset else None,
            server_pid=server.local_pid,
            metrics=None if server.is_null_server else server.metrics,
        )


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


def _file(dataset: Dataset | None) -> tuple[Data, ...]:
    if dataset is None:
        return ()
    return (Data(str(dataset.data_path), dataset.data_offset, dataset.row_bytes, dataset.rows),)


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
