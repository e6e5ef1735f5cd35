"""Workloads over gRPC: rows of a dataset, sent by calls to a model that is already there."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.bodies import body_of
from fastbench.config import secrets_of
from fastbench.job import Job
from fastbench.monitor.watched import Watched
from fastbench.password import hide_too
from fastbench.plan import FORM_VARINT, PROTOCOL_GRPC, Stream
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections, endpoints
from fastbench.servers.data import file_data
from fastbench.servers.fit import check_batch, check_inputs
from fastbench.servers.grpc_messages import message_in
from fastbench.servers.grpc_server import LONG_REPLY, GrpcServer
from fastbench.servers.http_replies import NOTHING
from fastbench.servers.oip_grpc import carried, output_of, placed_body
from fastbench.servers.shared_memory import offset_field
from fastbench.servers.tfserving_grpc import TfServingGrpc
from fastbench.servers.torchserve_grpc import TorchServeGrpc
from fastbench.servers.triton_control import GrpcControl
from fastbench.servers.triton_grpc import TritonGrpc, model_of
from fastbench.targets import parse_target
from fastbench.workloads.inference import changed, describe, identity
from fastbench.workloads.served import (
    arranged,
    check_answers,
    first_body,
    placing,
    sent_as,
    verifier,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.measured import Capture
    from fastbench.plan import Message
    from fastbench.servers.dialect import GrpcDialect, Served
    from fastbench.servers.http_messages import Body, Sent
    from fastbench.servers.shared_outputs import Outputs
    from fastbench.workloads.inference import Material

#: By kind of target: adding a server is a file and a line.
DIALECTS: dict[str, GrpcDialect] = {
    "triton+grpc": TritonGrpc(),
    "tfserving+grpc": TfServingGrpc(),
    "torchserve+grpc": TorchServeGrpc(),
}
_REPLY_ROOM = 4096  # a kept reply may be longer than the first by what stands around its numbers


@dataclass(frozen=True, slots=True)
class Calling:
    """What is called on which servers; ``served``: by each of ``servers``.

    ``outputs``: in shared memory; None = nothing is.
    """

    dialect: GrpcDialect
    servers: Sequence[GrpcServer]
    served: Sequence[Served]
    form: str
    body: Body
    outputs: Outputs | None = None

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The servers, as the monitor takes them: gRPC does not tell the process."""
        return tuple(
            Watched(url=s.target.url, address=s.address, ask=told.ask, models=told.keys)
            for s, told in zip(self.servers, self.served, strict=True)
        )

    @property
    def message(self) -> Message:
        """The call of one inference."""
        return self.servers[0].unary(self.dialect.method, self.body.parts, self.body.length)

    def tensor(self, message: bytes | None, row: int) -> NDArray[np.float32]:
        """Return the first output in the reply to an inference that begins with a row.

        Empty where there is none.
        """
        if message is None:
            return NOTHING
        if self.outputs is None:
            return self.dialect.tensor(message, self.served[0])
        return output_of(message, self.outputs.first, self.outputs.of_row(row))


@contextlib.contextmanager
def open_calls(config: RunConfig, material: Material) -> Iterator[Job]:
    """Ask the servers what they serve, and send the first inference.

    Nothing is loaded into the servers. With ``config.verify`` the first answer, and later sampled
    ones, are compared with what onnxruntime answers for ``config.model``. The second input of
    ``material`` is what a chain gets.
    """
    with _calling(config, material) as calling:
        yield _job(config, material, calling)


def _job(config: RunConfig, material: Material, calling: Calling) -> Job:
    """Send the first inference, and return what is to be repeated."""
    servers = calling.servers
    data = file_data(material.inputs[0])
    first = first_body(calling.body, data, material)
    asked = [_ask(server, config, calling, first) for server in servers]
    answers = [answer for answer, _ in asked]
    oracle, found = check_answers(config, material, [tensor for _, tensor in asked])
    before = identity(material)

    def found_in(capture: Capture) -> NDArray[np.float32]:
        return calling.tensor(message_in(capture.data), capture.row)

    return Job(
        stream=Stream(
            addresses=tuple(server.address for server in servers),
            connections=config.total_connections,
            pipeline=config.pipeline,
            messages=(calling.message,),
            data=(data,),
            tls=servers[0].tls,
            protocol=PROTOCOL_GRPC,
            reply_bytes=2 * len(answers[0]) + _REPLY_ROOM,
        ),
        target=_describe(config, calling, len(answers[0]), found),
        dataset=describe(material.about, material.inputs[0]),
        servers=calling.watched,
        verify=verifier(config, material, oracle, found_in),
        problem=lambda: changed(material, before),
    )


def _ask(
    server: GrpcServer, config: RunConfig, calling: Calling, first: bytes
) -> tuple[bytes, NDArray[np.float32]]:
    """Send the first inference, the bytes that the engine sends first; return what it answers."""
    if calling.outputs:
        calling.outputs.blank()
    answer = server.call(calling.dialect.method, first, config.timeout_s, LONG_REPLY)
    if calling.outputs:
        calling.outputs.check(server.target.url, carried(answer))
    return answer, calling.tensor(answer, 0)


@contextlib.contextmanager
def _calling(config: RunConfig, material: Material) -> Iterator[Calling]:
    target = parse_target(config.target)
    check_connections(target, config.total_connections)
    dialect, form = DIALECTS[target.kind], body_of(config.target, config.body)
    for header in config.headers:
        hide_too(*secrets_of(header))
    servers = [GrpcServer(e, config.tls, config.headers) for e in endpoints(target, config.tls)]
    served = [_meet(dialect, server, config, material) for server in servers]
    sent = sent_as(config, material, served[0])
    controls = [GrpcControl(s, told.extensions) for s, told in zip(servers, served, strict=True)]
    with contextlib.ExitStack() as stack:
        outputs = None
        if config.shm:
            outputs = stack.enter_context(placing(config, material, sent[0], served[0], controls))
            body = _placed(config, material, sent[0], served[0], outputs)
        else:
            body = dialect.body(form, target, sent, served[0])
        yield Calling(dialect, servers, served, form, body, outputs)


def _placed(
    config: RunConfig, material: Material, sent: Sent, served: Served, outputs: Outputs
) -> Body:
    """Return the message that names the place of rows in shared memory, and those of outputs."""
    region = outputs.region
    place = offset_field(material.inputs[0], config.batch, FORM_VARINT, region)
    model = model_of(served.key)
    return placed_body(*model, sent, place, region.name, outputs.wanted(FORM_VARINT))


def _meet(
    dialect: GrpcDialect, server: GrpcServer, config: RunConfig, material: Material
) -> Served:
    """Ask one server what it serves, and whether that takes the rows."""
    served = dialect.meet(server)
    check_batch(served.model, served.max_batch, config.batch)
    takes = arranged(served.takes, material.names)
    check_inputs(served.model, takes, material.inputs, config.batch, material.about.path)
    return dataclasses.replace(served, takes=takes)


def _describe(
    config: RunConfig, calling: Calling, reply_bytes: int, found: float | None
) -> TargetInfo:
    served = calling.served[0]
    details = {
        "body": calling.form,
        "message_bytes": str(calling.body.length),
        "reply_message_bytes": str(reply_bytes),
        **served.details,
    }
    if calling.outputs:
        details |= calling.outputs.details(verified=bool(config.verify))
    agreed = calling.servers[0].agreed
    details |= {"tls": agreed} if agreed else {}
    if len(calling.servers) > 1:
        details["endpoints"] = "; ".join(server.target.url for server in calling.servers)
    return TargetInfo(
        url=config.target,
        kind=calling.dialect.kind,
        server=served.server,
        protocol="gRPC",
        model=served.model,
        backend=served.backend,
        check_max_abs_difference=found,
        details=details,
    )
