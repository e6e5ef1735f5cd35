"""Workloads over gRPC: rows of a dataset, sent by calls to a model that is already there."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from fastbench.job import Job
from fastbench.monitor.watched import Watched
from fastbench.plan import FORM_VARINT, PROTOCOL_GRPC, Stream
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections, endpoints
from fastbench.servers.data import file_data
from fastbench.servers.fit import check_inputs
from fastbench.servers.grpc_messages import unary
from fastbench.servers.grpc_server import LONG_REPLY, GrpcServer
from fastbench.servers.oip_grpc import INFER, infer_body, output_of, placed_body, tensor_of
from fastbench.servers.shared_memory import offset_field, shared, varint_width
from fastbench.servers.triton_control import GrpcControl
from fastbench.servers.triton_grpc import meet, model_of
from fastbench.targets import parse_target
from fastbench.workloads.inference import changed, describe, identity
from fastbench.workloads.served import (
    arranged,
    check_answers,
    first_body,
    placed_details,
    sent_as,
    verifier,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.config import RunConfig
    from fastbench.servers.dialect import Served
    from fastbench.servers.http_messages import Body
    from fastbench.workloads.inference import Material

_REPLY_ROOM = 4096  # a kept reply may be longer than the first by what stands around its numbers


@contextlib.contextmanager
def open_calls(config: RunConfig, material: Material) -> Iterator[Job]:
    """Ask the servers what they serve, and send the first inference.

    Nothing is loaded into the servers. With ``config.verify`` the first answer, and later sampled
    ones, are compared with what onnxruntime answers for ``config.model``. The second input of
    ``material`` is what a chain gets.
    """
    target = parse_target(config.target)
    check_connections(target, config.total_connections)
    servers = [GrpcServer(endpoint) for endpoint in endpoints(target, config.tls)]
    served = [_meet(server, config, material) for server in servers]
    with _body(config, material, servers, served) as body:
        yield _job(config, material, servers, served, body)


@contextlib.contextmanager
def _body(
    config: RunConfig,
    material: Material,
    servers: Sequence[GrpcServer],
    served: Sequence[Served],
) -> Iterator[Body]:
    """Yield the message of an inference; where rows lie in shared memory, while they do."""
    sent, model = sent_as(config, material, served[0]), model_of(served[0].key)
    outputs = [spec.name for spec in served[0].gives]
    if not config.shm:
        yield infer_body(*model, sent, outputs)
        return
    rows = material.inputs[0]
    with shared(
        rows,
        [GrpcControl(s, told.extensions) for s, told in zip(servers, served, strict=True)],
    ) as region:
        place = offset_field(rows, config.batch, FORM_VARINT, varint_width(rows))
        yield placed_body(*model, sent[0], place, region.name, outputs)


def _job(
    config: RunConfig,
    material: Material,
    servers: Sequence[GrpcServer],
    served: Sequence[Served],
    body: Body,
) -> Job:
    """Send the first inference, and return what is to be repeated."""
    data = file_data(material.inputs[0])
    first = first_body(body, data, material)
    answers = [server.call(INFER, first, config.timeout_s, LONG_REPLY) for server in servers]
    name = served[0].gives[0].name if served[0].gives else ""
    oracle, found = check_answers(config, material, [output_of(a, name) for a in answers])
    before = identity(material)
    return Job(
        stream=Stream(
            addresses=tuple(server.address for server in servers),
            connections=config.total_connections,
            pipeline=config.pipeline,
            messages=(unary(INFER, body.parts, body.length, servers[0].authority),),
            data=(data,),
            protocol=PROTOCOL_GRPC,
            reply_bytes=2 * len(answers[0]) + _REPLY_ROOM,
        ),
        target=_describe(config, material, servers, served[0], body, len(answers[0]), found),
        dataset=describe(material.about, material.inputs[0]),
        servers=_watched(servers, served),
        verify=verifier(config, material, oracle, lambda kept: tensor_of(kept, name)),
        problem=lambda: changed(material, before),
    )


def _watched(servers: Sequence[GrpcServer], served: Sequence[Served]) -> tuple[Watched, ...]:
    """Return the servers as the monitor takes them: gRPC does not tell the process."""
    return tuple(
        Watched(url=s.target.url, address=s.address, ask=told.ask, models=told.keys)
        for s, told in zip(servers, served, strict=True)
    )


def _meet(server: GrpcServer, config: RunConfig, material: Material) -> Served:
    """Ask one server what it serves, and whether that takes the rows."""
    served = meet(server)
    takes = arranged(served.takes, material.names)
    check_inputs(served.model, takes, material.inputs, config.batch, material.about.path)
    return dataclasses.replace(served, takes=takes)


def _describe(
    config: RunConfig,
    material: Material,
    servers: Sequence[GrpcServer],
    served: Served,
    body: Body,
    reply_bytes: int,
    found: float | None,
) -> TargetInfo:
    details = {
        "message_bytes": str(body.length),
        "reply_message_bytes": str(reply_bytes),
        **served.details,
        **placed_details(config, material),
    }
    if len(servers) > 1:
        details["endpoints"] = "; ".join(server.target.url for server in servers)
    return TargetInfo(
        url=config.target,
        kind="triton",
        server=served.server,
        protocol="gRPC",
        model=served.model,
        backend=served.backend,
        check_max_abs_difference=found,
        details=details,
    )
