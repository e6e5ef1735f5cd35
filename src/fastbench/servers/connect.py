"""From a target to a server that answers, started first where it is the embedded one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastbench.servers.embedded import EmbeddedServer
from fastbench.servers.redisai import RedisAI
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.config import TlsConfig
    from fastbench.targets import Target


@contextlib.contextmanager
def started(target: Target) -> Iterator[Target]:
    """Start the embedded server where that is the target; it lives as long as the block."""
    if target.kind != "embedded":
        yield target
        return
    with EmbeddedServer(unix=target.path == "unix") as embedded:
        yield parse_target(embedded.url)


@contextlib.contextmanager
def connect(target: Target, tls: TlsConfig | None = None) -> Iterator[RedisAI]:
    """Connect to a RedisAI target; ``tls``: how, where it is over TLS."""
    with started(target) as reachable, RedisAI(reachable, tls) as server:
        yield server
