"""Workloads over HTTP: rows of a dataset, posted to a model that is already there."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench import verification
from fastbench.bodies import body_of, is_json
from fastbench.config import secret_of
from fastbench.errors import ServerError, UsageError
from fastbench.job import Job
from fastbench.models.loading import load_model
from fastbench.monitor.watched import Watched
from fastbench.password import hide_too, password
from fastbench.plan import PROTOCOL_HTTP, Data, Fetched, Payload, Stream, Text
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections, endpoints
from fastbench.servers.data import file_data
from fastbench.servers.fit import check_fit, check_inputs
from fastbench.servers.http_messages import Sent, fields_of, json_body, post
from fastbench.servers.http_replies import NOTHING, answer_in
from fastbench.servers.http_server import HttpServer
from fastbench.servers.rest import Rest
from fastbench.servers.tfserving import TfServing
from fastbench.servers.torchserve import TorchServe
from fastbench.servers.triton import Triton
from fastbench.targets import parse_target
from fastbench.workloads.inference import changed, describe, identity, oracle_of
from fastbench.workloads.json_bodies import json_bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.measured import Capture
    from fastbench.models.base import TensorSpec
    from fastbench.models.onnx_session import Oracle
    from fastbench.results import Verification
    from fastbench.servers.dialect import Dialect, Served
    from fastbench.servers.http_messages import Body
    from fastbench.servers.http_replies import Answer
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

    ``served``: by each of ``servers``. ``data``: what the engine takes rows from.
    """

    dialect: Dialect
    servers: Sequence[HttpServer]
    served: Sequence[Served]
    material: Material
    form: str
    body: Body
    data: Data
    fields: Mapping[str, str]

    @property
    def resource(self) -> str:
        """Where it is posted to."""
        return self.dialect.resource(self.servers[0].target)

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The servers, as the monitor takes them: HTTP does not tell the process."""
        return tuple(
            Watched(url=s.target.url, address=s.address, ask=told.ask, models=(told.key,))
            for s, told in zip(self.servers, self.served, strict=True)
        )

    def tensor(self, answer: Answer) -> NDArray[np.float32]:
        """Return the first output in an answer; empty where there is none."""
        return self.dialect.tensor(answer, self.served[0])


@contextlib.contextmanager
def open_posting(config: RunConfig, material: Material) -> Iterator[Job]:
    """Ask the servers what they serve, render what is to be JSON, and send the first inference.

    Nothing is loaded into the servers. With ``config.verify`` the first answer, and later sampled
    ones, are compared with what onnxruntime answers for ``config.model``. The second input of
    ``material`` is what a chain gets.
    """
    with _posting(config, material) as posting:
        answers = [_ask(server, config, posting) for server in posting.servers]
        oracle, found = _check(config, posting, answers)
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
        hide_too(secret_of(header))
    dialect, form = DIALECTS[target.kind], body_of(config.target, config.body)
    servers = [HttpServer(e, config.tls) for e in endpoints(target, config.tls)]
    asking = fields_of(servers[0].target, None, config.headers, password())
    served = [_meet(dialect, server, asking, config, material) for server in servers]
    sent = _sent(config, material, served[0])
    with _bodies(form, dialect, material, sent, served[0]) as (data, body):
        fields = fields_of(servers[0].target, body, config.headers, password())
        yield Posting(dialect, servers, served, material, form, body, data, fields)


def _meet(
    dialect: Dialect,
    server: HttpServer,
    fields: Mapping[str, str],
    config: RunConfig,
    material: Material,
) -> Served:
    """Ask one server what it serves, and whether that takes the rows."""
    served = dialect.meet(server, fields)
    takes = _arranged(served.takes, material.names)
    check_inputs(served.model, takes, material.inputs, config.batch, material.about.path)
    if served.against_raw and config.body is None:
        raise ServerError(served.against_raw)
    return dataclasses.replace(served, takes=takes)


def _arranged(takes: Sequence[TensorSpec], names: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model in the order of ``names``, where they are called so."""
    by_name = {spec.name: spec for spec in takes}
    return tuple(by_name[name] for name in names) if set(by_name) == set(names) else tuple(takes)


def _sent(config: RunConfig, material: Material, served: Served) -> list[Sent]:
    """Return how each input is sent: rows of the dataset, then what the chain got."""
    names = [s.name for s in served.takes] or config.inputs or material.names
    if len(names) != len(material.inputs):
        msg = f"--input {' '.join(names)}: an inference has {len(material.inputs)} inputs"
        raise UsageError(msg)
    return [
        Sent(
            name=name,
            shape=(config.batch, *rows.row_shape),
            dtype=rows.dtype,
            part=Fetched(i - 1) if i else Payload(config.batch),
            length=config.batch * rows.row_bytes,
        )
        for i, (name, rows) in enumerate(zip(names, material.inputs, strict=True))
    ]


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


def _ask(server: HttpServer, config: RunConfig, posting: Posting) -> Answer:
    """Send the first inference, the bytes that the engine sends first."""
    body = first_body(posting.body, posting.data, posting.material)
    return server.infer(posting.resource, posting.fields, body, config.timeout_s)


def first_body(body: Body, data: Data, material: Material) -> bytes:
    """Return the body of the first inference."""
    fd = os.dup(data.path) if isinstance(data.path, int) else os.open(data.path, os.O_RDONLY)
    try:
        found = b""
        for part in body.parts:
            if isinstance(part, Text):
                found += part.data
            elif isinstance(part, Payload):
                found += os.pread(fd, part.rows * data.row_bytes, data.offset)
            elif isinstance(part, Fetched):
                found += material.inputs[part.step + 1].array()[0].tobytes()
        return found
    finally:
        os.close(fd)


def _check(
    config: RunConfig, posting: Posting, answers: Sequence[Answer]
) -> tuple[Oracle | None, float | None]:
    """Compare the first answers with the model's, where answers are to be verified."""
    if not config.verify:
        return None, None
    inputs = posting.material.inputs
    model = load_model(config.model or posting.material.model, config.backend)
    check_fit(model, inputs, config.batch, posting.material.about.path)
    oracle = oracle_of(config, model)
    rows = [i.array()[: config.batch] for i in inputs]
    found = [verification.check_first(model, oracle, rows, posting.tensor(a)) for a in answers]
    return oracle, max(f for f in found if f is not None)


def _verifier(
    config: RunConfig, posting: Posting, oracle: Oracle | None
) -> Callable[[list[Capture]], Verification] | None:
    if oracle is None:
        return None

    expected = verification.Expected(oracle, posting.material.inputs, config.batch)
    each = config.batch if is_json(posting.form) else 1  # there a row of data is a whole body

    def tensor_of(data: bytes) -> NDArray[np.float32]:
        answer = answer_in(data)
        return NOTHING if answer is None else posting.tensor(answer)

    def verify(captures: list[Capture]) -> Verification:
        kept = [dataclasses.replace(c, row=c.row * each) for c in captures]
        return verification.verify(kept, config.verify, expected, tensor_of)

    return verify


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
