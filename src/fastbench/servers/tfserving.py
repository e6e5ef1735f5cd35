"""``tfserving+http://``: TensorFlow Serving's REST API, and servers that speak it, such as KServe.

Source: TensorFlow Serving's documentation of its RESTful API: model status, model metadata and
predict, in row (``instances``) and in column format (``inputs``).
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import msgspec

from fastbench.models.base import TensorSpec
from fastbench.servers.dialect import Served, model_path
from fastbench.servers.http_messages import INSTANCES, JsonForm, plain_body
from fastbench.servers.http_replies import json_tensor
from fastbench.servers.http_server import is_ok
from fastbench.servers.tfserving_model import (
    NOT_TOLD,
    SIGNATURE,
    Version,
    available,
    check_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.servers.http_messages import Body, Sent
    from fastbench.servers.http_replies import Answer
    from fastbench.servers.http_server import HttpServer
    from fastbench.targets import Target

COLUMNS = JsonForm('{"inputs":', "}")
#: TensorFlow's name of a type → NumPy's.
NUMPY_TYPES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_BOOL": "bool",
    **{f"DT_INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"DT_UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


class _Error(msgspec.Struct):
    error_code: str = ""
    error_message: str = ""


class _Version(msgspec.Struct):
    version: str
    state: str
    status: _Error = msgspec.field(default_factory=_Error)


class _Status(msgspec.Struct):
    """The reply to ``GET /v1/models/MODEL``; KServe has ``ready`` in it."""

    model_version_status: list[_Version] = []
    ready: bool | str = False


class _Size(msgspec.Struct):
    size: str  # a 64-bit number is a string in the JSON of protocol buffers


class _Shape(msgspec.Struct):
    dim: list[_Size] = []
    unknown_rank: bool = False


class _Tensor(msgspec.Struct):
    dtype: str = ""
    tensor_shape: _Shape = msgspec.field(default_factory=_Shape)


class _Signature(msgspec.Struct):
    inputs: dict[str, _Tensor] = {}
    outputs: dict[str, _Tensor] = {}


class _Signatures(msgspec.Struct):
    signature_def: dict[str, _Signature] = {}


class _Metadata(msgspec.Struct):
    signature_def: _Signatures = msgspec.field(default_factory=_Signatures)


class _Described(msgspec.Struct):
    """The reply to ``GET /v1/models/MODEL/metadata``."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class TfServing:
    """TensorFlow Serving over its REST API."""

    kind = "tfserving"

    def resource(self, target: Target) -> str:
        """Return the path that predicts."""
        return f"{_path(target)}:predict"

    def meet(self, server: HttpServer, fields: Mapping[str, str]) -> Served:
        """Ask for the state of the model and for the signature that predicts."""
        path, wanted = _path(server.target), server.target.signature
        found = _available(server, server.told(path, fields, _Status))
        signature = _signature(server, f"{path}/metadata", fields)
        return Served(
            model=server.target.model,
            takes=_specs(signature.inputs),
            gives=_specs(signature.outputs),
            details=({"model_versions": found} if found else {})
            | {"signature": (wanted or SIGNATURE) if signature.inputs else NOT_TOLD},
            signature=wanted,
        )

    def body(self, _form: str, sent: Sequence[Sent], _served: Served) -> Body:
        """Return bare bytes, which no form of this API is: the configuration allows JSON only."""
        return plain_body(sent)

    def json_form(self, form: str, _sent: Sent, served: Served) -> JsonForm:
        """Return ``{"instances": rows}``, or in columns ``{"inputs": rows}``."""
        plain = COLUMNS if form == "json-columns" else INSTANCES
        if not served.signature:
            return plain
        named = json.dumps({"signature_name": served.signature}).removesuffix("}")
        return dataclasses.replace(plain, before=f"{named},{plain.before.removeprefix('{')}")

    def tensor(self, answer: Answer, _served: Served) -> NDArray[np.float32]:
        """Return the numbers under ``predictions`` or ``outputs``."""
        return json_tensor(answer.body)


def _path(target: Target) -> str:
    return f"/v1/models/{model_path(target, '/versions/')}"


def _available(server: HttpServer, status: _Status) -> str:
    """Return the versions that are available; empty where there are none by number."""
    if not status.model_version_status and status.ready in {True, "True", "true"}:
        return ""
    versions = [
        Version(v.version, v.state, v.status.error_message) for v in status.model_version_status
    ]
    return available(server.target.url, versions)


def _signature(server: HttpServer, path: str, fields: Mapping[str, str]) -> _Signature:
    """Return the signature that predicts; an empty one where the server has no metadata.

    Raises :class:`ServerError` where the model has other signatures only.
    """
    answer = server.get(path, fields)
    if not is_ok(answer):
        return _Signature()
    found = server.read(path, answer, _Described).metadata.signature_def.signature_def
    wanted = server.target.signature
    check_signature(server.target.url, wanted, found)
    return found.get(wanted or SIGNATURE, _Signature())


def _specs(tensors: Mapping[str, _Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, NUMPY_TYPES.get(t.dtype, t.dtype) or None, _shape(t.tensor_shape))
        for name, t in tensors.items()
    )


def _shape(shape: _Shape) -> tuple[int | None, ...] | None:
    if shape.unknown_rank or not shape.dim:
        return None
    sizes = [d.size for d in shape.dim]
    return tuple(int(size) if size.isdecimal() else None for size in sizes)
