"""gRPC servers for tests, by grpcio: a function answers the bytes of each call."""

from __future__ import annotations

import contextlib
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc

from fastbench.plan import PROTOCOL_GRPC, Stream, Text
from fastbench.servers.grpc_messages import unary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbench.plan import Address, Data, Part

    #: Given the method's path, the request and the call's context: the reply.
    Answer = Callable[[str, bytes, grpc.ServicerContext], bytes]

ECHO = "/test.Service/Echo"


class _Handler(grpc.GenericRpcHandler):
    """Answers every method."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return what answers one call; it is given the bytes as they are."""
        path = details.method
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(path, request, context)
        )


@contextlib.contextmanager
def serving(
    answer: Answer,
    port: int = 0,
    workers: int = 8,
    secure: grpc.ServerCredentials | None = None,
    **options: Any,
) -> Iterator[Address]:
    """Serve until the block ends, which cuts off what is under way; yields host and port.

    ``secure``: over TLS.
    ``options``: of grpcio, without their ``grpc.``; long messages are taken unless they say else.
    """
    options = {"max_receive_message_length": -1, "so_reuseport": 0} | options
    pool = futures.ThreadPoolExecutor(workers)
    server = grpc.server(
        pool, (_Handler(answer),), options=[(f"grpc.{k}", v) for k, v in options.items()]
    )
    place = f"127.0.0.1:{port}"
    port = server.add_secure_port(place, secure) if secure else server.add_insecure_port(place)
    server.start()
    try:
        yield "127.0.0.1", port
    finally:
        server.stop(None).wait()
        pool.shutdown(wait=True, cancel_futures=True)


class Seen:
    """Answers with what it is sent, and remembers it."""

    def __init__(self) -> None:
        self.bodies: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def __call__(self, _path: str, request: bytes, _context: grpc.ServicerContext) -> bytes:
        """Answer one call."""
        with self._lock:
            self.bodies[request] = self.bodies.get(request, 0) + 1
        return request


def calls(
    address: Address,
    parts: tuple[Part, ...] = (Text(b"ping"),),
    length: int = 4,
    *,
    connections: int = 1,
    pipeline: int = 1,
    data: Data | None = None,
    **more: Any,
) -> Stream:
    """Return the stream that calls one method."""
    return Stream(
        addresses=(address,),
        connections=connections,
        pipeline=pipeline,
        messages=(unary(ECHO, parts, length, "localhost"),),
        data=() if data is None else (data,),
        protocol=PROTOCOL_GRPC,
        **more,
    )
