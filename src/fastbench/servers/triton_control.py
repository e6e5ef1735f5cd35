"""What Triton can be told besides inferring, over HTTP and over gRPC.

To open shared memory, and to load and unload models of its repository. Sources: Triton's extensions
system_shared_memory and model_repository of the Open Inference Protocol, and its
grpc_service.proto.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from fastbench.errors import FastbenchError, ServerError
from fastbench.servers.grpc_server import LONG_REPLY
from fastbench.servers.http_messages import JSON
from fastbench.servers.http_server import CONNECT_TIMEOUT_S, is_ok, refusal
from fastbench.servers.oip_grpc import SERVICE, region_request
from fastbench.servers.protobuf import by_field, chunk, content, text_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbench.servers.grpc_server import GrpcServer
    from fastbench.servers.http_replies import Answer
    from fastbench.servers.http_server import HttpServer
    from fastbench.servers.shared_memory import Region


LOADING_S = 600.0  # until a model is loaded, large ones from far away
READY, LOADING = "READY", "LOADING"
UNLOADED = "unloaded"  # why one that was unloaded is UNAVAILABLE
UNTOLD = "?"  # the state of a model of which a server tells no more than the name


class Indexed(msgspec.Struct, frozen=True):
    """A version of a model in a repository; without a version it was never loaded."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


class _Names(msgspec.Struct):
    """The reply to ``GET /v2/models``, as KServe gives it."""

    models: list[str]


class HttpControl:
    """A server over HTTP. ``fields``: of each request. ``extensions``: that it announces."""

    def __init__(
        self, server: HttpServer, fields: Mapping[str, str], extensions: tuple[str, ...] = ()
    ) -> None:
        self._server, self._fields = server, dict(fields) | {"Content-Type": JSON}
        self.address, self.url = server.address, server.target.url
        self.extensions = extensions

    def register(self, region: Region) -> None:
        """Let it open a region. Raises :class:`FastbenchError` where it does not."""
        about = {"key": region.key, "offset": 0, "byte_size": region.size}
        self._post(f"/v2/systemsharedmemory/region/{region.name}/register", about)

    def unregister(self, region: Region) -> None:
        """Let it forget a region. Raises :class:`FastbenchError` where it does not."""
        self._post(f"/v2/systemsharedmemory/region/{region.name}/unregister", {})

    def load(self, model: str) -> None:
        """Let it load a model anew. Raises :class:`FastbenchError` where it does not."""
        self._post(f"/v2/repository/models/{model}/load", {}, LOADING_S)

    def unload(self, model: str) -> None:
        """Let it forget a model. Raises :class:`FastbenchError` where it does not."""
        self._post(f"/v2/repository/models/{model}/unload", {})

    def index(self) -> list[Indexed]:
        """Return what is in its repository. Raises :class:`FastbenchError` without answer."""
        path = "/v2/repository/index"
        return self._server.read(path, self._post(path, {}), list[Indexed])

    def listed(self) -> list[Indexed] | None:
        """Return what is in its repository, else their names; None where it tells neither."""
        with contextlib.suppress(FastbenchError):
            return self.index()
        with contextlib.suppress(FastbenchError):
            names = self._server.told("/v2/models", self._fields, _Names).models
            return [Indexed(name, state=UNTOLD) for name in names]
        return None

    def _post(
        self, path: str, about: Mapping[str, object], timeout_s: float = CONNECT_TIMEOUT_S
    ) -> Answer:
        answer = self._server.post(path, self._fields, msgspec.json.encode(about), timeout_s)
        if not is_ok(answer):
            msg = f"{self.url}: POST {path} was refused: {refusal(answer)}"
            raise ServerError(msg)
        return answer


class GrpcControl:
    """A server over gRPC. ``extensions``: that it announces."""

    def __init__(self, server: GrpcServer, extensions: tuple[str, ...] = ()) -> None:
        self._server = server
        self.address, self.url = server.address, server.target.url
        self.extensions = extensions

    def register(self, region: Region) -> None:
        """Let it open a region. Raises :class:`FastbenchError` where it does not."""
        self._server.call(f"{SERVICE}SystemSharedMemoryRegister", region_request(region))

    def unregister(self, region: Region) -> None:
        """Let it forget a region. Raises :class:`FastbenchError` where it does not."""
        self._server.call(f"{SERVICE}SystemSharedMemoryUnregister", chunk(1, region.name))

    def load(self, model: str) -> None:
        """Let it load a model anew. Raises :class:`FastbenchError` where it does not."""
        self._server.call(f"{SERVICE}RepositoryModelLoad", chunk(2, unquote(model)), LOADING_S)

    def unload(self, model: str) -> None:
        """Let it forget a model. Raises :class:`FastbenchError` where it does not."""
        self._server.call(f"{SERVICE}RepositoryModelUnload", chunk(2, unquote(model)))

    def index(self) -> list[Indexed]:
        """Return what is in its repository. Raises :class:`FastbenchError` without answer."""
        reply = self._server.call(f"{SERVICE}RepositoryIndex", b"", room=LONG_REPLY)
        return [_indexed(content(model)) for model in by_field(reply).get(1, [])]

    def listed(self) -> list[Indexed] | None:
        """Return what is in its repository; None where it does not tell."""
        with contextlib.suppress(FastbenchError):
            return self.index()
        return None


def _indexed(message: bytes) -> Indexed:
    """Read a RepositoryIndexResponse.ModelIndex; MLServer's state is ``State.READY``."""
    name, version, state, reason = (text_in(by_field(message), field) for field in (1, 2, 3, 4))
    return Indexed(name, version, state.removeprefix("State."), reason)
