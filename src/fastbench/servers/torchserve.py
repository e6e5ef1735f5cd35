"""``torchserve://``: TorchServe's inference and management APIs over HTTP.

Source: TorchServe's documentation of both. ``/ping`` says healthy before any worker has loaded its
model, so that readiness is asked of the management API, which listens on a port of its own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from fastbench.errors import ConnectError, ProtocolError, ServerError
from fastbench.servers.dialect import Served, model_path
from fastbench.servers.http_messages import INSTANCES, multipart_body, plain_body
from fastbench.servers.http_replies import bare_tensor
from fastbench.servers.http_server import HttpServer, is_ok, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.servers.http_messages import Body, JsonForm, Sent
    from fastbench.servers.http_replies import Answer
    from fastbench.targets import Target

READY = "READY"
PART = "data"  # what handlers look for
NOT_FOUND = 404


class _Worker(msgspec.Struct):
    status: str = ""


class _Model(msgspec.Struct, rename="camel"):
    """One version in the reply to ``GET /models/MODEL`` of the management API."""

    model_version: str = ""
    runtime: str = ""
    batch_size: int | None = None
    max_batch_delay: int | None = None
    workers: list[_Worker] = []


class TorchServe:
    """TorchServe, or its ancestor Multi Model Server."""

    kind = "torchserve"

    def resource(self, target: Target) -> str:
        """Return the path that predicts."""
        return f"/predictions/{model_path(target, '/')}"

    def meet(self, server: HttpServer, fields: Mapping[str, str]) -> Served:
        """Ask the management API whether a worker is ready."""
        return ask_management(server.target, fields)

    def body(self, form: str, sent: Sequence[Sent], _served: Served) -> Body:
        """Return the bytes of the inputs, bare or as the files of a form: one alone is ``data``."""
        if form == "multipart":
            alone = len(sent) == 1
            return multipart_body([dataclasses.replace(s, name=PART) if alone else s for s in sent])
        return plain_body(sent)

    def json_form(self, _form: str, _sent: Sent, _served: Served) -> JsonForm:
        """Return ``{"instances": rows}``."""
        return INSTANCES

    def tensor(self, answer: Answer, _served: Served) -> NDArray[np.float32]:
        """Return the numbers of JSON, whatever its type is called, or else the body as float32."""
        return bare_tensor(answer.body)


def ask_management(target: Target, fields: Mapping[str, str]) -> Served:
    """Ask the management API whether a worker is ready; ``fields``: of the request.

    Raises :class:`ServerError` where it knows no such model, or no worker is.
    """
    path = f"/models/{model_path(target, '/')}"
    try:
        management = HttpServer(dataclasses.replace(target, port=target.management))
        answer = management.get(path, fields)
    except (ConnectError, ProtocolError):
        return _unchecked(target, "does not answer")
    if answer.status == NOT_FOUND:
        msg = (
            f"{target.url}: the management API on port {target.management} knows no such "
            f"model: {refusal(answer)}; another port is given as ?management=PORT"
        )
        raise ServerError(msg)
    if not is_ok(answer):
        return _unchecked(target, f"answered {refusal(answer)}")
    return _served(target, management.read(path, answer, list[_Model]))


def _unchecked(target: Target, why: str) -> Served:
    """Return what is known where the management API tells nothing of the model."""
    told = f"not checked: the management API on port {target.management} {why}"
    return Served(model=target.model, details={"readiness": told})


def _served(target: Target, models: Sequence[_Model]) -> Served:
    states = [worker.status for model in models for worker in model.workers]
    ready = states.count(READY)
    if not ready:
        found = f"they are {', '.join(states)}" if states else "there are none"
        msg = f"{target.url}: no worker of the model is {READY}, {found}; wait, or see its log"
        raise ServerError(msg)
    details = {"readiness": f"{ready} of {len(states)} workers {READY}"}
    for model in models[:1]:
        told = {
            "model_versions": model.model_version,
            "runtime": model.runtime,
            "server_batch": model.batch_size,
            "server_batch_delay_ms": model.max_batch_delay,
        }
        details |= {name: str(value) for name, value in told.items() if value not in {None, ""}}
    return Served(model=target.model, details=details)
