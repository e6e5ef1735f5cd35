"""Workloads over HTTP: rows of a dataset, posted to a model that is already there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.bodies import body_of, is_json
from fastbench.errors import ServerError
from fastbench.password import password
from fastbench.plan import FORM_BLANKS, PROTOCOL_HTTP
from fastbench.servers.connect import endpoints
from fastbench.servers.data import file_data
from fastbench.servers.http_messages import fields_of, json_body, post
from fastbench.servers.http_replies import NOTHING, answer_in
from fastbench.servers.http_server import HttpServer
from fastbench.servers.oip_messages import carried, placed_body, tensor_of
from fastbench.servers.rest import Rest
from fastbench.servers.shared_memory import offset_field
from fastbench.servers.tfserving import TfServing
from fastbench.servers.torchserve import TorchServe
from fastbench.servers.triton import Triton
from fastbench.servers.triton_control import HttpControl
from fastbench.workloads.json_bodies import json_bodies
from fastbench.workloads.sending import Reply, Sending, checked_target, fitting, job_of
from fastbench.workloads.served import placing, sent_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.job import Job
    from fastbench.measured import Capture
    from fastbench.plan import Data, Message
    from fastbench.servers.dialect import Dialect, Served
    from fastbench.servers.http_messages import Body, Sent
    from fastbench.servers.http_replies import Answer
    from fastbench.servers.shared_outputs import Outputs
    from fastbench.workloads.inference import Material

#: By kind of target: adding a server is a file and a line.
DIALECTS: dict[str, Dialect] = {
    "rest": Rest(),
    "triton+http": Triton(),
    "tfserving+http": TfServing(),
    "torchserve": TorchServe(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting(Sending):
    """What is posted; ``fields``: of the head of each request."""

    PROTOCOL = (PROTOCOL_HTTP, "HTTP/1.1")

    dialect: Dialect
    servers: Sequence[HttpServer]
    fields: Mapping[str, str]

    @property
    def message(self) -> Message:
        """One request."""
        return post(self._resource, self.fields, self.body)

    def rows_of_one(self, batch: int) -> int:
        """Return ``batch`` for JSON: a row of ``data`` is a whole body there."""
        return batch if is_json(self.form) else 1

    def asked(self, first: bytes, timeout_s: float) -> list[Reply]:
        """Post the first inference to each server."""
        return [self._ask(server, first, timeout_s) for server in self.servers]

    def found_in(self, capture: Capture) -> NDArray[np.float32]:
        """Return the first output in a kept reply; empty where there is none."""
        answer = answer_in(capture.data)
        return NOTHING if answer is None else self._tensor(answer, capture.row)

    @property
    def _resource(self) -> str:
        return self.dialect.resource(self.servers[0].target)

    def _ask(self, server: HttpServer, first: bytes, timeout_s: float) -> Reply:
        if self.outputs:
            self.outputs.blank()
        answer = server.infer(self._resource, self.fields, first, timeout_s)
        if self.outputs:
            self.outputs.check(server.target.url, carried(answer))
        details = {
            "body_bytes": str(self.body.length),
            "reply_type": answer.content_type,
            "reply_body_bytes": str(len(answer.body)),
        }
        return Reply(len(answer.body), self._tensor(answer, 0), details, answer.server)

    def _tensor(self, answer: Answer, row: int) -> NDArray[np.float32]:
        """Return the first output in the answer to an inference that begins with a row."""
        if self.outputs is None:
            return self.dialect.tensor(answer, self.served[0])
        return tensor_of(answer, self.outputs.first, self.outputs.of_row(row))


@contextlib.contextmanager
def open_posting(config: RunConfig, material: Material) -> Iterator[Job]:
    """Ask the servers what they serve, render what is to be JSON, and send the first inference.

    Nothing is loaded into the servers. The second input of ``material`` is what a chain gets.
    """
    target = checked_target(config)
    dialect, form = DIALECTS[target.kind], body_of(config.target, config.body)
    servers = [HttpServer(e, config.tls) for e in endpoints(target, config.tls)]
    asking = fields_of(servers[0].target, None, config.headers, password())
    served = [_meet(dialect, server, asking, config, material) for server in servers]
    sent = sent_as(config, material, served[0])
    controls = [
        HttpControl(s, asking, told.extensions) for s, told in zip(servers, served, strict=True)
    ]
    with contextlib.ExitStack() as stack:
        outputs = None
        if config.shm:
            outputs = stack.enter_context(placing(config, material, sent[0], served[0], controls))
            data, body = _placed(config, material, sent[0], outputs)
        else:
            data, body = stack.enter_context(_bodies(form, dialect, material, sent, served[0]))
        posting = Posting(
            kind=dialect.kind,
            servers=servers,
            served=served,
            material=material,
            form=form,
            body=body,
            data=data,
            outputs=outputs,
            dialect=dialect,
            fields=fields_of(servers[0].target, body, config.headers, password()),
        )
        yield job_of(config, posting)


def _meet(
    dialect: Dialect,
    server: HttpServer,
    fields: Mapping[str, str],
    config: RunConfig,
    material: Material,
) -> Served:
    """Ask one server what it serves, and whether that takes the rows."""
    served = fitting(config, material, dialect.meet(server, fields))
    if served.against_raw and config.body is None:
        raise ServerError(served.against_raw)
    return served


@contextlib.contextmanager
def _bodies(
    form: str, dialect: Dialect, material: Material, sent: Sequence[Sent], served: Served
) -> Iterator[tuple[Data, Body]]:
    """Yield what is sent and the body around it."""
    rows, first = material.inputs[0], sent[0]
    if is_json(form):
        with json_bodies(rows, first.shape[0], dialect.json_form(form, first, served)) as data:
            yield data, json_body(data.row_bytes)
    else:
        yield file_data(rows), dialect.body(form, sent, served)


def _placed(
    config: RunConfig, material: Material, sent: Sent, outputs: Outputs
) -> tuple[Data, Body]:
    """Return the rows, and the body that names their place and those of outputs."""
    rows, region = material.inputs[0], outputs.region
    place = offset_field(rows, config.batch, FORM_BLANKS, region)
    return file_data(rows), placed_body(sent, place, region.name, outputs.wanted(FORM_BLANKS))
