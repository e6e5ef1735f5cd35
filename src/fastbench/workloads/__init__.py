"""Workloads: dataset + model + what one inference sends, made ready as jobs."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from fastbench.errors import FastbenchError
from fastbench.schedules import target_rate
from fastbench.servers.connect import started
from fastbench.targets import GRPC_KINDS, HTTP_KINDS, parse_target
from fastbench.workloads import command, fraud, vision

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from fastbench.config import RunConfig
    from fastbench.job import Job
    from fastbench.streams import Part

#: By ``RunConfig.workload``: what makes a job of a configuration.
OPEN: dict[str, Callable[[RunConfig], AbstractContextManager[Job]]] = {
    "vision": vision.open_job,
    "fraud": fraud.open_job,
    "command": command.open_job,
}

#: The same by kind of target, where that is no server of Redis' protocol.
OPEN_HTTP: dict[str, Callable[[RunConfig], AbstractContextManager[Job]]] = {
    "vision": vision.open_http_job,
    "fraud": fraud.open_http_job,
}
OPEN_GRPC: dict[str, Callable[[RunConfig], AbstractContextManager[Job]]] = {
    "vision": vision.open_grpc_job,
    "fraud": fraud.open_grpc_job,
}
OPEN_BY_KIND = dict.fromkeys(HTTP_KINDS, OPEN_HTTP) | dict.fromkeys(GRPC_KINDS, OPEN_GRPC)


@contextlib.contextmanager
def open_jobs(parts: Sequence[Part], spare: Collection[int] = ()) -> Iterator[list[Job]]:
    """Make each stream of a run ready; streams with the embedded server share one.

    ``spare``: CPUs for the embedded server; empty = all.
    Raises :class:`FastbenchError` naming the stream that cannot be made ready.
    """
    with contextlib.ExitStack() as stack:
        urls = list(dict.fromkeys(part.config.target for part in parts))
        reached = {url: stack.enter_context(started(parse_target(url), spare)).url for url in urls}
        yield [_open(part, reached[part.config.target], stack) for part in parts]


def _open(part: Part, url: str, stack: contextlib.ExitStack) -> Job:
    config = dataclasses.replace(part.config, target=url)
    try:
        job = stack.enter_context(_opener(config)(config))
    except FastbenchError as error:
        if not part.name:
            raise
        msg = f"stream {part.name!r}: {error}"
        raise type(error)(msg) from error
    rate = target_rate(config)
    return dataclasses.replace(job, name=part.name, batch=config.batch, target_per_s=rate)


def _opener(config: RunConfig) -> Callable[[RunConfig], AbstractContextManager[Job]]:
    return OPEN_BY_KIND.get(parse_target(config.target).kind, OPEN)[config.workload]
