"""What the server holds: keys, queues, counters; and what one connection has said of itself."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fastbench.serve.modelstore import MODEL_CHUNK_BYTES
from fastbench.serve.queues import DeviceQueue, Model
from fastbench.serve.resp import CommandError, Request
from fastbench.serve.scripts import Script
from fastbench.serve.tensors import Tensor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from fastbench.serve.queues import Job
    from fastbench.serve.tensors import Array

DATABASES = 16

Value: TypeAlias = bytes | Tensor | Model | Script
Keys: TypeAlias = dict[bytes, Value]
Kind = TypeVar("Kind", Tensor, Model, Script)

ABSENT: dict[type[Value], str] = {
    Tensor: "ERR tensor key is empty or in a different shard",
    Model: "ERR model key is empty",
    Script: "ERR script key is empty",
}

_session_ids = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the server executes: fixed at its start.

    ``intra_op``: threads of one ONNX run, 0 = one per core. ``password``: None = open to all.
    """

    threads_per_queue: int = 1
    intra_op: int = 0
    password: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Session:
    """One connection, as its commands see it. ``queued``: the commands after MULTI."""

    authenticated: bool
    identity: int = field(default_factory=lambda: next(_session_ids))
    name: bytes = b""
    keys: Keys = field(default_factory=dict)
    resp3: bool = False
    queued: list[Request] | None = None
    refused: bool = False  # a command after MULTI was wrong: EXEC must not run the others
    closing: bool = False


@dataclass(slots=True)
class CommandStats:
    """Calls of one command; ``usec`` includes the time in a queue and in a worker."""

    calls: int = 0
    usec: int = 0
    failed: int = 0


class State:
    """Everything that connections share. Network loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        self.settings = settings
        self.databases: list[Keys] = [{} for _ in range(DATABASES)]
        self.queues: dict[str, DeviceQueue] = {}
        self.command_stats: dict[str, CommandStats] = {}
        self.model_chunk_bytes = MODEL_CHUNK_BYTES
        self.backends_path = b""
        self.started = time.monotonic()
        self.connections = 0
        self._loop = loop

    def new_session(self) -> Session:
        """Return the state of a new connection, on database 0."""
        return Session(authenticated=self.settings.password is None, keys=self.databases[0])

    def submit(self, model: Model, inputs: Sequence[Array], deadline: float) -> Job:
        """Queue an execution on the model's device."""
        name = model.device.name
        if name not in self.queues:
            self.queues[name] = DeviceQueue(self._loop, name, self.settings.threads_per_queue)
        return self.queues[name].submit(model, inputs, deadline)

    def stop(self) -> bool:
        """Stop all queues; False when a worker is still busy."""
        stopped = [queue.stop() for queue in self.queues.values()]  # all of them, in any case
        return all(stopped)


def wrong_type() -> CommandError:
    """Return the error for a key that holds something else."""
    return CommandError("WRONGTYPE Operation against a key holding the wrong kind of value")


def find(keys: Keys, key: bytes, kind: type[Kind]) -> Kind:
    """Return what is under a key, or raise the error reply where it is not of this kind."""
    value = keys.get(key)
    if value is None:
        raise CommandError(ABSENT[kind])
    if not isinstance(value, kind):
        raise wrong_type()
    return value


def check_replaceable(keys: Keys, key: bytes, kind: type[Tensor | Model | Script]) -> None:
    """Refuse to overwrite a value of another type."""
    if not isinstance(keys.get(key), kind | None):
        raise wrong_type()
