"""``tfserving+grpc://``: TensorFlow Serving's PredictionService, and servers that speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastbench.errors import ServerError
from fastbench.servers.dialect import Served
from fastbench.servers.tfserving_messages import (
    MODELS,
    PREDICT,
    PREDICTIONS,
    metadata_request,
    output_of,
    predict_body,
    signatures,
    status_request,
    versions,
)
from fastbench.servers.tfserving_model import NOT_TOLD, SIGNATURE, available, check_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.models.base import TensorSpec
    from fastbench.servers.grpc_server import GrpcServer
    from fastbench.servers.http_messages import Body, Sent
    from fastbench.targets import Target

    Specs = tuple[TensorSpec, ...]


class TfServingGrpc:
    """TensorFlow Serving over gRPC."""

    kind = "tfserving"
    method = PREDICT

    def meet(self, server: GrpcServer) -> Served:
        """Ask for the state of the model and for the signature that predicts."""
        target = server.target
        model, wanted = unquote(target.model), target.signature
        told = server.call(f"{MODELS}GetModelStatus", status_request(model, target.version))
        found = available(target.url, versions(told))
        takes, gives = _signature(server, model)
        signature = (wanted or SIGNATURE) if takes else NOT_TOLD
        return Served(
            model=model,
            takes=takes,
            gives=gives,
            details={"model_versions": found, "signature": signature},
            signature=wanted,
        )

    def body(self, _form: str, target: Target, sent: Sequence[Sent], served: Served) -> Body:
        """Return the request, its tensors as bytes."""
        return predict_body(unquote(target.model), target.version, served.signature, sent)

    def tensor(self, message: bytes, served: Served) -> NDArray[np.float32]:
        """Return the first output that the signature names."""
        return output_of(message, served.gives[0].name if served.gives else "")


def _signature(server: GrpcServer, model: str) -> tuple[Specs, Specs]:
    """Return inputs and outputs of the signature that predicts; none where it is not told.

    Raises :class:`ServerError` where the model has other signatures only.
    """
    target = server.target
    try:
        reply = server.call(
            f"{PREDICTIONS}GetModelMetadata", metadata_request(model, target.version)
        )
    except ServerError:
        return (), ()
    found = signatures(reply)
    check_signature(target.url, target.signature, found)
    return found.get(target.signature or SIGNATURE, ((), ()))
