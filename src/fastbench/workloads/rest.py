"""Vision over plain HTTP: rows of a dataset, posted to whatever answers there."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING

from fastbench import verification
from fastbench.config import secret_of
from fastbench.datasets.base import open_dataset
from fastbench.datasets.sample import default_sample
from fastbench.errors import UsageError
from fastbench.job import Job
from fastbench.models.loading import load_model
from fastbench.monitor.watched import Watched
from fastbench.password import hide_too, password
from fastbench.plan import PROTOCOL_HTTP, Data, Payload, Stream, Text
from fastbench.results import TargetInfo
from fastbench.servers.connect import check_connections, endpoints
from fastbench.servers.http_messages import fields_of, multipart_body, plain_body, post
from fastbench.servers.http_replies import tensor_of
from fastbench.servers.redisai import check_fit
from fastbench.servers.redisai_messages import IMAGE_KEYS
from fastbench.servers.rest import RestServer
from fastbench.targets import parse_target
from fastbench.workloads.inference import Material, changed, describe, identity, oracle_of
from fastbench.workloads.json_bodies import json_bodies
from fastbench.workloads.vision import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastbench.config import RunConfig
    from fastbench.datasets.base import Dataset
    from fastbench.measured import Capture
    from fastbench.models.onnx_session import Oracle
    from fastbench.results import Verification
    from fastbench.servers.http_messages import Body
    from fastbench.servers.http_replies import Answer

PART_NAME = "image"  # of the one file in a multipart body
_REPLY_ROOM = 4096  # a kept reply may be longer than the first by its head, and JSON by digits


@contextlib.contextmanager
def open_job(config: RunConfig) -> Iterator[Job]:
    """Open the dataset, render it where that is asked for, and send the first inference.

    Nothing is loaded into the server. With ``config.verify`` the first answer, and later sampled
    ones, are compared with what onnxruntime answers for ``config.model``.
    """
    target = parse_target(config.target)
    dataset = open_dataset(config.dataset) if config.dataset else default_sample()
    if config.batch > dataset.rows:
        msg = f"--batch {config.batch}: the dataset {dataset.path} has only {dataset.rows} rows"
        raise UsageError(msg)
    check_connections(target, config.total_connections)
    for header in config.headers:
        hide_too(secret_of(header))
    with contextlib.ExitStack() as stack:
        servers = [RestServer(e, config.tls) for e in endpoints(target, config.tls)]
        data, body = stack.enter_context(_bodies(config, dataset))
        fields = fields_of(servers[0].target, body, config.headers, password())
        answers = [_ask(server, config, fields, body, data) for server in servers]
        oracle, found = _check(config, dataset, answers)
        material = Material(about=dataset, inputs=(dataset,), model=MODEL, keys=IMAGE_KEYS)
        before = identity(material)
        yield Job(
            stream=Stream(
                addresses=tuple(server.address for server in servers),
                connections=config.total_connections,
                pipeline=config.pipeline,
                messages=(post(target.resource, fields, body),),
                data=(data,),
                tls=servers[0].tls,
                protocol=PROTOCOL_HTTP,
                reply_bytes=2 * len(answers[0].body) + _REPLY_ROOM,
            ),
            target=_describe(config, servers, answers[0], body, found),
            dataset=describe(dataset, dataset),
            servers=tuple(Watched(url=s.target.url, address=s.address) for s in servers),
            verify=_verifier(config, dataset, oracle),
            problem=lambda: changed(material, before),
        )


@contextlib.contextmanager
def _bodies(config: RunConfig, dataset: Dataset) -> Iterator[tuple[Data, Body]]:
    """Yield what is sent and the body around it."""
    if config.body == "json":
        with json_bodies(dataset, config.batch) as data:
            yield data, plain_body(data.row_bytes, content_type="application/json")
        return
    data = Data(str(dataset.data_path), dataset.data_offset, dataset.row_bytes, dataset.rows)
    if config.body == "multipart":
        yield data, multipart_body(PART_NAME, dataset.row_bytes, config.batch)
    else:
        yield data, plain_body(dataset.row_bytes, config.batch)


def _ask(
    server: RestServer, config: RunConfig, fields: Mapping[str, str], body: Body, data: Data
) -> Answer:
    """Send the first inference, the bytes that the engine sends first."""
    return server.ask(fields, first_body(body, data), config.timeout_s)


def first_body(body: Body, data: Data) -> bytes:
    """Return the body of the first inference."""
    fd = os.dup(data.path) if isinstance(data.path, int) else os.open(data.path, os.O_RDONLY)
    try:
        return b"".join(
            part.data
            if isinstance(part, Text)
            else os.pread(fd, part.rows * data.row_bytes, data.offset)
            for part in body.parts
            if isinstance(part, Text | Payload)
        )
    finally:
        os.close(fd)


def _check(
    config: RunConfig, dataset: Dataset, answers: Sequence[Answer]
) -> tuple[Oracle | None, float | None]:
    """Compare the first answers with the model's, where answers are to be verified."""
    if not config.verify:
        return None, None
    model = load_model(config.model or MODEL, config.backend, config.inputs, config.outputs)
    check_fit(model, (dataset,), config.batch, dataset.path)
    oracle = oracle_of(config, model)
    batch = dataset.array()[: config.batch]
    found = [verification.check_first(model, oracle, [batch], a.tensor) for a in answers]
    return oracle, max(f for f in found if f is not None)


def _verifier(
    config: RunConfig, dataset: Dataset, oracle: Oracle | None
) -> Callable[[list[Capture]], Verification] | None:
    if oracle is None:
        return None

    expected = verification.Expected(oracle, (dataset,), config.batch)
    each = config.batch if config.body == "json" else 1  # there a row of data is a whole body

    def verify(captures: list[Capture]) -> Verification:
        kept = [dataclasses.replace(c, row=c.row * each) for c in captures]
        return verification.verify(kept, config.verify, expected, tensor_of)

    return verify


def _describe(
    config: RunConfig,
    servers: Sequence[RestServer],
    answer: Answer,
    body: Body,
    found: float | None,
) -> TargetInfo:
    details = {
        "body": config.body,
        "body_bytes": str(body.length),
        "reply_type": answer.content_type,
        "reply_body_bytes": str(len(answer.body)),
    }
    details |= {"tls": servers[0].agreed} if servers[0].agreed else {}
    if len(servers) > 1:
        details["endpoints"] = "; ".join(server.target.url for server in servers)
    return TargetInfo(
        url=config.target,
        kind="rest",
        server=answer.server,
        protocol="HTTP/1.1",
        check_max_abs_difference=found,
        details=details,
    )
