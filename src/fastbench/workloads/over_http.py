"""Workloads over HTTP: rows of a dataset, posted to a model that is already there."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.bodies import body_of, is_json
from fastbench.config import secrets_of
from fastbench.errors import ServerError
from fastbench.job import Job
from fastbench.monitor.watched import Watched
from fastbench.password import hide_too, password
from fastbench.plan import FORM_BLANKS, PROTOCOL_HTTP, Data, Stream
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections, endpoints
from fastbench.servers.data import file_data
from fastbench.servers.fit import check_batch, check_inputs
from fastbench.servers.http_messages import Sent, fields_of, json_body, post
from fastbench.servers.http_replies import NOTHING, answer_in
from fastbench.servers.http_server import HttpServer
from fastbench.servers.oip_messages import carried, placed_body, tensor_of
from fastbench.servers.rest import Rest
from fastbench.servers.shared_memory import offset_field
from fastbench.servers.tfserving import TfServing
from fastbench.servers.torchserve import TorchServe
from fastbench.servers.triton import Triton
from fastbench.servers.triton_control import HttpControl
from fastbench.targets import parse_target
from fastbench.workloads.inference import changed, describe, identity
from fastbench.workloads.json_bodies import json_bodies
from fastbench.workloads.served import (
    arranged,
    check_answers,
    first_body,
    placing,
    sent_as,
    verifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.measured import Capture
    from fastbench.models.onnx_session import Oracle
    from fastbench.results import Verification
    from fastbench.servers.dialect import Dialect, Served
    from fastbench.servers.http_messages import Body
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
_REPLY_ROOM = 4096  # a kept reply may be longer than the first by its head, and JSON by digits


@dataclass(frozen=True, slots=True)
class Posting:
    """What is posted to which servers: all that one kind of server, and one workload, decide.

    ``served``: by each of ``servers``. ``data``: what the engine takes rows from. ``outputs``: in
    shared memory; None = nothing is.
    """

    dialect: Dialect
    servers: Sequence[HttpServer]
    served: Sequence[Served]
    material: Material
    form: str
    body: Body
    data: Data
    fields: Mapping[str, str]
    outputs: Outputs | None = None

    @property
    def resource(self) -> str:
        """Where it is posted to."""
        return self.dialect.resource(self.servers[0].target)

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The servers, as the monitor takes them: HTTP does not tell the process."""
        return tuple(
            Watched(url=s.target.url, address=s.address, ask=told.ask, models=told.keys)
            for s, told in zip(self.servers, self.served, strict=True)
        )

    def tensor(self, answer: Answer, row: int) -> NDArray[np.float32]:
        """Return the first output in the answer to an inference that begins with a row.

        Empty where there is none.
        """
        if self.outputs is None:
            return self.dialect.tensor(answer, self.served[0])
        return tensor_of(answer, self.outputs.first, self.outputs.of_row(row))


@contextlib.contextmanager
def open_posting(config: RunConfig, material: Material) -> Iterator[Job]:
    """Ask the servers what they serve, render what is to be JSON, and send the first inference.

    Nothing is loaded into the servers. With ``config.verify`` the first answer, and later sampled
    ones, are compared with what onnxruntime answers for ``config.model``. The second input of
    ``material`` is what a chain gets.
    """
    with _posting(config, material) as posting:
        asked = [_ask(server, config, posting) for server in posting.servers]
        answers = [answer for answer, _ in asked]
        oracle, found = check_answers(config, material, [tensor for _, tensor in asked])
        before = identity(material)
        servers = posting.servers
        yield Job(
            stream=Stream(
                addresses=tuple(server.address for server in servers),
                connections=config.total_connections,
                pipeline=config.pipeline,
                messages=(post(posting.resource, posting.fields, posting.body),),
                data=(posting.data,),
                tls=servers[0].tls,
                protocol=PROTOCOL_HTTP,
                reply_bytes=2 * len(answers[0].body) + _REPLY_ROOM,
            ),
            target=_describe(config, posting, answers[0], found),
            dataset=describe(material.about, material.inputs[0]),
            servers=posting.watched,
            verify=_verifier(config, posting, oracle),
            problem=lambda: changed(material, before),
        )


@contextlib.contextmanager
def _posting(config: RunConfig, material: Material) -> Iterator[Posting]:
    target = parse_target(config.target)
    check_connections(target, config.total_connections)
    for header in config.headers:
        hide_too(*secrets_of(header))
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
        fields = fields_of(servers[0].target, body, config.headers, password())
        yield Posting(dialect, servers, served, material, form, body, data, fields, outputs)


def _meet(
    dialect: Dialect,
    server: HttpServer,
    fields: Mapping[str, str],
    config: RunConfig,
    material: Material,
) -> Served:
    """Ask one server what it serves, and whether that takes the rows."""
    served = dialect.meet(server, fields)
    check_batch(served.model, served.max_batch, config.batch)
    takes = arranged(served.takes, material.names)
    check_inputs(served.model, takes, material.inputs, config.batch, material.about.path)
    if served.against_raw and config.body is None:
        raise ServerError(served.against_raw)
    return dataclasses.replace(served, takes=takes)


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


def _ask(
    server: HttpServer, config: RunConfig, posting: Posting
) -> tuple[Answer, NDArray[np.float32]]:
    """Send the first inference, the bytes that the engine sends first; return what it answers."""
    body = first_body(posting.body, posting.data, posting.material)
    if posting.outputs:
        posting.outputs.blank()
    answer = server.infer(posting.resource, posting.fields, body, config.timeout_s)
    if posting.outputs:
        posting.outputs.check(server.target.url, carried(answer))
    return answer, posting.tensor(answer, 0)


def _verifier(
    config: RunConfig, posting: Posting, oracle: Oracle | None
) -> Callable[[list[Capture]], Verification] | None:
    def found_in(capture: Capture) -> NDArray[np.float32]:
        answer = answer_in(capture.data)
        return NOTHING if answer is None else posting.tensor(answer, capture.row)

    each = config.batch if is_json(posting.form) else 1  # there a row of data is a whole body
    return verifier(config, posting.material, oracle, found_in, each)


def _describe(
    config: RunConfig, posting: Posting, answer: Answer, found: float | None
) -> TargetInfo:
    servers, served = posting.servers, posting.served[0]
    details = {
        "body": posting.form,
        "body_bytes": str(posting.body.length),
        "reply_type": answer.content_type,
        "reply_body_bytes": str(len(answer.body)),
        **served.details,
    }
    if posting.outputs:
        details |= posting.outputs.details(verified=bool(config.verify))
    details |= {"tls": servers[0].agreed} if servers[0].agreed else {}
    if len(servers) > 1:
        details["endpoints"] = "; ".join(server.target.url for server in servers)
    return TargetInfo(
        url=config.target,
        kind=posting.dialect.kind,
        server=served.server or answer.server,
        protocol="HTTP/1.1",
        model=served.model,
        backend=served.backend,
        check_max_abs_difference=found,
        details=details,
    )
