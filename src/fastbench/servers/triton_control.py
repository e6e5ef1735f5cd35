"""What Triton can be told besides inferring, over HTTP and over gRPC: to open shared memory.

Sources: Triton's extension system_shared_memory of the Open Inference Protocol, and its
grpc_service.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fastbench.errors import ServerError
from fastbench.servers.http_messages import JSON
from fastbench.servers.http_server import is_ok, refusal
from fastbench.servers.oip_grpc import SERVICE, region_request
from fastbench.servers.protobuf import chunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbench.servers.grpc_server import GrpcServer
    from fastbench.servers.http_server import HttpServer
    from fastbench.servers.shared_memory import Region


class HttpControl:
    """A server over HTTP. ``fields``: of each request. ``extensions``: that it announces."""

    def __init__(
        self, server: HttpServer, fields: Mapping[str, str], extensions: tuple[str, ...]
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

    def _post(self, path: str, about: Mapping[str, object]) -> bytes:
        answer = self._server.post(path, self._fields, msgspec.json.encode(about))
        if not is_ok(answer):
            msg = f"{self.url}: POST {path} was refused: {refusal(answer)}"
            raise ServerError(msg)
        return answer.body


class GrpcControl:
    """A server over gRPC. ``extensions``: that it announces."""

    def __init__(self, server: GrpcServer, extensions: tuple[str, ...]) -> None:
        self._server = server
        self.address, self.url = server.address, server.target.url
        self.extensions = extensions

    def register(self, region: Region) -> None:
        """Let it open a region. Raises :class:`FastbenchError` where it does not."""
        self._server.call(f"{SERVICE}SystemSharedMemoryRegister", region_request(region))

    def unregister(self, region: Region) -> None:
        """Let it forget a region. Raises :class:`FastbenchError` where it does not."""
        self._server.call(f"{SERVICE}SystemSharedMemoryUnregister", chunk(1, region.name))
