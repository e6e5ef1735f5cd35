"""Workloads over gRPC: rows of a dataset, sent by calls to a model that is already there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.bodies import body_of
from fastbench.plan import FORM_VARINT, PROTOCOL_GRPC
from fastbench.servers.connect import endpoints
from fastbench.servers.data import file_data
from fastbench.servers.grpc_messages import message_in
from fastbench.servers.grpc_server import LONG_REPLY, GrpcServer
from fastbench.servers.http_replies import NOTHING
from fastbench.servers.oip_grpc import carried, output_of, placed_body
from fastbench.servers.shared_memory import offset_field
from fastbench.servers.tfserving_grpc import TfServingGrpc
from fastbench.servers.torchserve_grpc import TorchServeGrpc
from fastbench.servers.triton_control import GrpcControl
from fastbench.servers.triton_grpc import TritonGrpc, model_of
from fastbench.workloads.sending import Reply, Sending, checked_target, fitting, job_of
from fastbench.workloads.served import placing, sent_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.job import Job
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling(Sending):
    """What is called."""

    PROTOCOL = (PROTOCOL_GRPC, "gRPC")

    dialect: GrpcDialect
    servers: Sequence[GrpcServer]

    @property
    def message(self) -> Message:
        """One call."""
        return self.servers[0].unary(self.dialect.method, self.body.parts, self.body.length)

    def asked(self, first: bytes, timeout_s: float) -> list[Reply]:
        """Call the first inference at each server."""
        return [self._ask(server, first, timeout_s) for server in self.servers]

    def found_in(self, capture: Capture) -> NDArray[np.float32]:
        """Return the first output in a kept reply; empty where there is none."""
        message = message_in(capture.data)
        return NOTHING if message is None else self._tensor(message, capture.row)

    def _ask(self, server: GrpcServer, first: bytes, timeout_s: float) -> Reply:
        if self.outputs:
            self.outputs.blank()
        answer = server.call(self.dialect.method, first, timeout_s, LONG_REPLY)
        if self.outputs:
            self.outputs.check(server.target.url, carried(answer))
        lengths = {"message_bytes": self.body.length, "reply_message_bytes": len(answer)}
        details = {name: str(length) for name, length in lengths.items()}
        return Reply(len(answer), self._tensor(answer, 0), details)

    def _tensor(self, message: bytes, row: int) -> NDArray[np.float32]:
        """Return the first output in the reply to an inference that begins with a row."""
        if self.outputs is None:
            return self.dialect.tensor(message, self.served[0])
        return output_of(message, self.outputs.first, self.outputs.of_row(row))


@contextlib.contextmanager
def open_calls(config: RunConfig, material: Material) -> Iterator[Job]:
    """Ask the servers what they serve, and send the first inference.

    Nothing is loaded into the servers. The second input of ``material`` is what a chain gets.
    """
    target = checked_target(config)
    dialect, form = DIALECTS[target.kind], body_of(config.target, config.body)
    servers = [GrpcServer(e, config.tls, config.headers) for e in endpoints(target, config.tls)]
    served = [fitting(config, material, dialect.meet(server)) for server in servers]
    sent = sent_as(config, material, served[0])
    controls = [GrpcControl(s, told.extensions) for s, told in zip(servers, served, strict=True)]
    with contextlib.ExitStack() as stack:
        outputs = None
        if config.shm:
            outputs = stack.enter_context(placing(config, material, sent[0], served[0], controls))
            body = _placed(config, material, sent[0], served[0], outputs)
        else:
            body = dialect.body(form, target, sent, served[0])
        calling = Calling(
            kind=dialect.kind,
            servers=servers,
            served=served,
            material=material,
            form=form,
            body=body,
            data=file_data(material.inputs[0]),
            outputs=outputs,
            dialect=dialect,
        )
        yield job_of(config, calling)


def _placed(
    config: RunConfig, material: Material, sent: Sent, served: Served, outputs: Outputs
) -> Body:
    """Return the message that names the place of rows in shared memory, and those of outputs."""
    region = outputs.region
    place = offset_field(material.inputs[0], config.batch, FORM_VARINT, region)
    model = model_of(served.key)
    return placed_body(*model, sent, place, region.name, outputs.wanted(FORM_VARINT))
