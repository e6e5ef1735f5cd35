"""``triton+grpc://``: Triton, and other servers of the Open Inference Protocol v2 over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastbench.errors import ProtocolError, ServerError
from fastbench.servers.dialect import Served, model_path
from fastbench.servers.oip_grpc import (
    INFER,
    SERVICE,
    counters,
    infer_body,
    is_ready,
    model_about,
    model_request,
    output_of,
    server_about,
    typed_body,
)
from fastbench.servers.readiness import why_model_not_ready, why_server_not_ready
from fastbench.servers.triton_config import EXTENSION as CONFIGURATION
from fastbench.servers.triton_config import from_protobuf, in_words
from fastbench.servers.triton_control import GrpcControl
from fastbench.servers.triton_metrics import summed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.monitor.metrics import Reading
    from fastbench.servers.grpc_server import GrpcServer
    from fastbench.servers.http_messages import Body, Sent
    from fastbench.servers.triton_config import ModelConfig
    from fastbench.targets import Target

STATISTICS = "statistics"
TIMEOUT_S = 2.0


class TritonGrpc:
    """A server of the Open Inference Protocol v2."""

    kind = "triton"
    method = INFER

    def meet(self, server: GrpcServer) -> Served:
        """Ask whether server and model are ready, and what they are.

        Raises :class:`FastbenchError` where an inference cannot succeed.
        """
        key = model_path(server.target, "/")
        request = model_request(*model_of(key))
        _check_server(server)
        about = server_about(server.call(f"{SERVICE}ServerMetadata", b""))
        _check_model(server, request)
        model = model_about(server.call(f"{SERVICE}ModelMetadata", request))
        config = _config(server, request) if CONFIGURATION in about.extensions else None
        lists = {"extensions": about.extensions, "model_versions": model.versions}
        details = {name: ", ".join(values) for name, values in lists.items() if values}
        return Served(
            server=f"{about.name} {about.version}".strip(),
            model=model.name,
            backend=model.platform,
            takes=model.inputs,
            gives=model.outputs,
            extensions=about.extensions,
            max_batch=config.max_batch_size if config else 0,
            details=details | (in_words(config) if config else {}),
            key=key,
            ask=(lambda keys: Statistics(server, keys)) if STATISTICS in about.extensions else None,
        )

    def body(self, form: str, target: Target, sent: Sequence[Sent], served: Served) -> Body:
        """Return the request for all outputs that the model names, its contents raw or typed."""
        make = typed_body if form == "typed" else infer_body
        return make(*model_of(model_path(target, "/")), sent, [s.name for s in served.gives])

    def tensor(self, message: bytes, served: Served) -> NDArray[np.float32]:
        """Return the first output that the model names."""
        return output_of(message, served.gives[0].name if served.gives else "")


class Statistics:
    """A source of metrics: what ModelStatistics counts, with the names that it has over HTTP.

    ``keys``: of the models, each ``MODEL`` or ``MODEL/VERSION``. All models and versions are added
    up, each once.
    """

    def __init__(self, server: GrpcServer, keys: Sequence[str]) -> None:
        self._server = server
        self._requests = [model_request(*model_of(key)) for key in keys]

    def read(self) -> Reading:
        """Ask once, over a connection of its own. Raises :class:`FastbenchError` without answer."""
        versions: dict[tuple[str, str], dict[str, int]] = {}
        for request in self._requests:
            reply = self._server.call(f"{SERVICE}ModelStatistics", request, TIMEOUT_S)
            versions |= counters(reply)
        return summed(versions)

    def close(self) -> None:
        """Do nothing: there is no connection between two questions."""


def model_of(path: str) -> tuple[str, str]:
    """Return name and version of a model from ``MODEL[/VERSION]`` as in the URL.

    An empty version: the server chooses.
    """
    name, _, version = path.partition("/")
    return unquote(name), unquote(version)


def _config(server: GrpcServer, request: bytes) -> ModelConfig | None:
    """Return the model's configuration; None where it is not told."""
    try:
        return from_protobuf(server.call(f"{SERVICE}ModelConfig", request))
    except (ServerError, ProtocolError):
        return None


def _check_server(server: GrpcServer) -> None:
    if not is_ready(server.call(f"{SERVICE}ServerReady", b"")):
        listed = GrpcControl(server).listed()
        raise ServerError(why_server_not_ready(server.target, "ServerReady says so", listed))


def _check_model(server: GrpcServer, request: bytes) -> None:
    said = "ModelReady says so"
    try:
        if is_ready(server.call(f"{SERVICE}ModelReady", request)):
            return
    except ServerError as error:
        said = _words(error, server)
    refused = ""
    try:
        server.call(f"{SERVICE}ModelMetadata", request)
    except ServerError as error:
        refused = _words(error, server)
    listed = GrpcControl(server).listed()
    raise ServerError(why_model_not_ready(server.target, said, refused, listed))


def _words(error: ServerError, server: GrpcServer) -> str:
    """Return what the server said, without its URL."""
    return str(error).removeprefix(f"{server.target.url}: ")
