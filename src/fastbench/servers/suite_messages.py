"""What one inference of the ONNX suite looks like on a RedisAI wire: one AI.MODELEXECUTE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.plan import FIELD_CONNECTION, Expect, Field, Stream
from fastbench.servers.model_keys import numbered, numbers_of
from fastbench.servers.resp import command, message

if TYPE_CHECKING:
    from fastbench.servers.redis_server import RedisServer
    from fastbench.servers.resp import Argument

_WIDTH = 6


@dataclass(frozen=True, slots=True)
class Stored:
    """A model under the keys ``PREFIX:0`` … and its inputs under theirs."""

    prefix: str
    keys: int
    inputs: tuple[str, ...]
    outputs: int


def output_keys(stored: Stored, connection: int) -> list[str]:
    """Return the keys that a connection has its outputs written to."""
    return [f"{stored.prefix}:out{i}:{connection:0{_WIDTH}}" for i in range(stored.outputs)]


def stream_of(server: RedisServer, stored: Stored, connections: int) -> Stream:
    """Return what the engine sends: the keys of the model in turn, one inference at a time."""
    own = Field(FIELD_CONNECTION, _WIDTH)
    gives: list[Argument] = [(f"{stored.prefix}:out{i}:", own) for i in range(stored.outputs)]
    takes: list[Argument] = ["INPUTS", len(stored.inputs), *stored.inputs]
    head: list[Argument] = ["AI.MODELEXECUTE", numbered(stored.prefix)]
    parts = command(*head, *takes, "OUTPUTS", stored.outputs, *gives)
    return Stream(
        addresses=(server.address,),
        connections=connections,
        pipeline=1,
        messages=(message([parts], replies=1, expect=(Expect(b"+"),)),),
        opening=server.opening(),
        keys=(numbers_of(stored.keys),),
        tls=server.tls,
        redisai=True,
    )
