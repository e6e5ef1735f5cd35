"""The steps of a chain that come before its one command: ``--fetch 'URL COMMAND'``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastbench.config import CommandConfig
from fastbench.plan import Step
from fastbench.servers.connect import check_connections, endpoints, started
from fastbench.servers.redis_server import RedisServer
from fastbench.targets import parse_target
from fastbench.workloads.placeholders import compile_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.config import RunConfig
    from fastbench.plan import Message
    from fastbench.targets import Target
    from fastbench.workloads.placeholders import Vocabulary

NAME = "fetch"


def compile_fetches(wanted: CommandConfig, words: Vocabulary) -> list[Message]:
    """Return the message of each fetch; ``words`` then knows what later commands may send."""
    words.chained = bool(wanted.fetches)
    compiled = []
    for _, *arguments in wanted.fetches:
        compiled.append(compile_command(arguments, words))
        words.fetched += 1
    return compiled


@contextlib.contextmanager
def open_fetches(
    config: RunConfig, messages: Sequence[Message]
) -> Iterator[tuple[tuple[Step, ...], list[RedisServer]]]:
    """Connect to the servers of each fetch; yield the steps, and all servers.

    Raises as :class:`fastbench.servers.redis_server.RedisServer`.
    """
    wanted = config.command
    with contextlib.ExitStack() as stack:
        steps: list[Step] = []
        holders: list[RedisServer] = []
        for url, *_ in wanted.fetches if wanted else ():
            servers = reach(config, stack.enter_context(started(parse_target(url))), stack)
            steps.append(_step(config, servers, messages[len(steps)], len(steps) + 1))
            holders += servers
        yield tuple(steps), holders


def _step(config: RunConfig, servers: Sequence[RedisServer], message: Message, number: int) -> Step:
    wanted = config.command or CommandConfig()
    name = NAME if len(wanted.fetches) == 1 else f"{NAME} {number}"
    return step_to(servers, config, message, name, wanted.fetch_bytes, wanted.resp)


def reach(config: RunConfig, target: Target, stack: contextlib.ExitStack) -> list[RedisServer]:
    """Connect to each server of ``target`` until ``stack`` ends."""
    check_connections(target, config.total_connections)
    tls = config.tls if target.tls else None
    return [stack.enter_context(RedisServer(e, tls)) for e in endpoints(target, tls)]


def step_to(
    servers: Sequence[RedisServer],
    config: RunConfig,
    message: Message,
    name: str = NAME,
    fetch_bytes: int = 0,
    resp: int = 2,
) -> Step:
    """Return the step that sends ``message`` to ``servers``, under the load of ``config``."""
    return Step(
        name=name,
        target=",".join(server.target.url for server in servers),
        addresses=tuple(server.address for server in servers),
        connections=config.total_connections,
        pipeline=config.pipeline,
        message=message,
        fetch_bytes=fetch_bytes,
        opening=servers[0].opening(resp),
        tls=servers[0].tls,
    )
