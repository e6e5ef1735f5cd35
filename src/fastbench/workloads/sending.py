"""What workloads do alike over every protocol to a model that is already in a server.

The servers are met, the first inference is sent and checked, and the engine is told to go on. How
an inference looks, and how its answer is read, each protocol says in a :class:`Sending` of its own.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from fastbench.config import secrets_of
from fastbench.job import Job
from fastbench.monitor.watched import Watched
from fastbench.password import hide_too
from fastbench.plan import Stream
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections
from fastbench.servers.fit import check_batch, check_inputs
from fastbench.targets import parse_target
from fastbench.workloads.inference import changed, describe, identity
from fastbench.workloads.served import Compared, arranged, check_answers, first_body, verifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.measured import Capture
    from fastbench.plan import Data, Message, Tls
    from fastbench.servers.dialect import Served
    from fastbench.servers.http_messages import Body
    from fastbench.servers.shared_outputs import Outputs
    from fastbench.targets import Target
    from fastbench.workloads.inference import Material

_REPLY_ROOM = 4096  # a kept reply may be longer than the first by its head, and JSON by digits


class Server(Protocol):
    """A server that answers, as it was reached."""

    target: Target
    address: tuple[str, int]

    @property
    def tls(self) -> Tls | None:
        """How the engine is to speak TLS; None = not at all."""
        ...

    @property
    def agreed(self) -> str:
        """Version and cipher of TLS; empty without it."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered to the first inference.

    ``length``: of the body or message, in bytes. ``tensor``: its first output; empty where there is
    none. ``details``: more, for the result. ``server``: its name, where its own account lacks it.
    """

    length: int
    tensor: NDArray[np.float32]
    details: Mapping[str, str]
    server: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending(ABC):
    """What is sent to which servers: all that a kind of server, and a workload, decide.

    ``kind``: its name in results. ``served``: by each of ``servers``. ``data``: what the engine
    takes rows from, ``body`` what stands around them. ``outputs``: in shared memory; None =
    nothing is.
    """

    #: The engine's number of the protocol, and its name in results.
    PROTOCOL: ClassVar[tuple[int, str]]

    kind: str
    servers: Sequence[Server]
    served: Sequence[Served]
    material: Material
    form: str
    body: Body
    data: Data
    outputs: Outputs | None = None

    @property
    @abstractmethod
    def message(self) -> Message:
        """One inference."""

    @abstractmethod
    def asked(self, first: bytes, timeout_s: float) -> list[Reply]:
        """Send the first inference, its body or message as it is, to each server."""

    @abstractmethod
    def found_in(self, capture: Capture) -> NDArray[np.float32]:
        """Return the first output in a kept reply; empty where there is none."""

    def rows_of_one(self, _batch: int) -> int:
        """Return how many rows of the dataset are in one row of ``data``."""
        return 1

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The servers, as the monitor takes them: none of these protocols tells the process."""
        return tuple(
            Watched(url=s.target.url, address=s.address, ask=told.ask, models=told.keys)
            for s, told in zip(self.servers, self.served, strict=True)
        )


def checked_target(config: RunConfig) -> Target:
    """Return the target, with enough connections to it; secrets in headers are hidden from now on.

    Raises :class:`UsageError` where a server of it would get no connection.
    """
    target = parse_target(config.target)
    check_connections(target, config.total_connections)
    for header in config.headers:
        hide_too(*secrets_of(header))
    return target


def fitting(config: RunConfig, material: Material, served: Served) -> Served:
    """Return what a server serves, its inputs in the order of the rows.

    Raises :class:`FastbenchError` where they do not take the rows.
    """
    check_batch(served.model, served.max_batch, config.batch)
    takes = arranged(served.takes, material.names)
    check_inputs(served.model, takes, material.inputs, config.batch, material.about.path)
    return dataclasses.replace(served, takes=takes)


def job_of(config: RunConfig, sending: Sending) -> Job:
    """Send the first inference, and return what is to be repeated.

    With ``config.verify`` the first answer, and later sampled ones, are compared with what
    onnxruntime answers for ``config.model``. Raises :class:`FastbenchError` where there is no
    answer, or a wrong one.
    """
    material = sending.material
    first = first_body(sending.body, sending.data, material)
    replies = sending.asked(first, config.timeout_s)
    found = check_answers(config, material, [reply.tensor for reply in replies])
    before, each = identity(material), sending.rows_of_one(config.batch)
    return Job(
        stream=_stream(config, sending, replies[0]),
        target=_described(config, sending, replies[0], found),
        dataset=describe(material.about, material.inputs[0]),
        servers=sending.watched,
        verify=verifier(config, material, found.oracle, sending.found_in, each),
        problem=lambda: changed(material, before),
    )


def _stream(config: RunConfig, sending: Sending, reply: Reply) -> Stream:
    return Stream(
        addresses=tuple(server.address for server in sending.servers),
        connections=config.total_connections,
        pipeline=config.pipeline,
        messages=(sending.message,),
        data=(sending.data,),
        tls=sending.servers[0].tls,
        protocol=sending.PROTOCOL[0],
        reply_bytes=2 * reply.length + _REPLY_ROOM,
    )


def _described(config: RunConfig, sending: Sending, reply: Reply, found: Compared) -> TargetInfo:
    served = sending.served[0]
    return TargetInfo(
        url=config.target,
        kind=sending.kind,
        server=served.server or reply.server,
        protocol=sending.PROTOCOL[1],
        model=served.model,
        backend=served.backend,
        random_weights=found.random_weights(config.target),
        check_max_abs_difference=found.difference,
        details={
            "body": sending.form,
            **reply.details,
            **served.details,
            **found.details,
            **_ways(config, sending),
        },
    )


def _ways(config: RunConfig, sending: Sending) -> dict[str, str]:
    """Return how inferences get there and back, for the result."""
    servers = sending.servers
    details: dict[str, str] = {}
    if sending.outputs:
        details |= sending.outputs.details(verified=bool(config.verify))
    if servers[0].agreed:
        details["tls"] = servers[0].agreed
    if len(servers) > 1:
        details["endpoints"] = "; ".join(server.target.url for server in servers)
    return details
