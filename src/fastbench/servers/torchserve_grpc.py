"""``torchserve+grpc://``: TorchServe's Predictions over gRPC.

Source: inference.proto of TorchServe. Readiness is asked of the management API over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastbench.errors import ProtocolError
from fastbench.servers.http_replies import NOTHING, bare_tensor
from fastbench.servers.message_parts import Parts
from fastbench.servers.protobuf import by_field, chunk, chunk_head, content
from fastbench.servers.torchserve import PART, ask_management

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.servers.dialect import Served
    from fastbench.servers.grpc_server import GrpcServer
    from fastbench.servers.http_messages import Body, Sent
    from fastbench.targets import Target

PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
_INPUT, _PREDICTION = 3, 1  # of PredictionsRequest, of PredictionResponse


class TorchServeGrpc:
    """TorchServe over gRPC."""

    kind = "torchserve"
    method = PREDICTIONS

    def meet(self, server: GrpcServer) -> Served:
        """Ask the management API whether a worker is ready."""
        return ask_management(server.target, {})

    def body(self, form: str, target: Target, sent: Sequence[Sent], _served: Served) -> Body:
        """Return the request: all bytes as the input ``data``, or each input by its name."""
        body = Parts(chunk(1, unquote(target.model)))
        body.text(chunk(2, unquote(target.version)) if target.version else b"")
        if form == "multipart" and len(sent) > 1:
            for each in sent:
                body.bytes_of(each, _entry(each.name, each.length))
            return body.body()
        before = _entry(PART, sum(s.length for s in sent))
        for each in sent:
            body.bytes_of(each, before)
            before = b""
        return body.body()

    def tensor(self, message: bytes, _served: Served) -> NDArray[np.float32]:
        """Return the numbers of JSON, or else the prediction as float32."""
        try:
            return bare_tensor(content(by_field(message).get(_PREDICTION, [b""])[-1]))
        except ProtocolError:
            return NOTHING


def _entry(name: str, length: int) -> bytes:
    """Return what stands before ``length`` bytes of an input."""
    before = chunk(1, name) + chunk_head(2, length)
    return chunk_head(_INPUT, len(before) + length) + before
