"""TensorFlow Serving over gRPC: its requests, and what its replies say.

Sources: model.proto, predict.proto, get_model_status.proto and get_model_metadata.proto of
TensorFlow Serving; tensor.proto, tensor_shape.proto, types.proto and meta_graph.proto of
TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.models.base import TensorSpec
from fastbench.servers.message_parts import Parts
from fastbench.servers.outputs import output_in
from fastbench.servers.protobuf import (
    by_field,
    chunk,
    chunk_head,
    content,
    integer,
    integers,
    map_in,
    number_in,
    text_in,
)
from fastbench.servers.tfserving_model import AVAILABLE, Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastbench.servers.http_messages import Body, Sent

PREDICTIONS = "/tensorflow.serving.PredictionService/"
MODELS = "/tensorflow.serving.ModelService/"
PREDICT = f"{PREDICTIONS}Predict"
SIGNATURES = "signature_def"
#: DataType → NumPy's name.
NUMPY_TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    9: "int64",
    10: "bool",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
DATATYPES = {name: datatype for datatype, name in NUMPY_TYPES.items()}
_CONTENT = 4
#: NumPy's name of a type → the field of TensorProto that has its values one by one.
_VALUES = {
    "float32": 5,
    "float64": 6,
    **dict.fromkeys(("int32", "int16", "int8", "uint16", "uint8"), 7),
    "int64": 10,
    "bool": 11,
    "float16": 13,
    "uint32": 16,
    "uint64": 17,
}
_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: AVAILABLE, 40: "UNLOADING", 50: "END"}


def status_request(model: str, version: str) -> bytes:
    """Return a GetModelStatusRequest; an empty version: for all of them."""
    return chunk(1, _spec(model, version))


def metadata_request(model: str, version: str) -> bytes:
    """Return a GetModelMetadataRequest for the signatures."""
    return chunk(1, _spec(model, version)) + chunk(2, SIGNATURES)


def predict_body(model: str, version: str, signature: str, sent: Sequence[Sent]) -> Body:
    """Return a PredictRequest for all outputs, each input's bytes in its tensor_content.

    An empty version or signature: the server's usual one.
    """
    body = Parts(chunk(1, _spec(model, version, signature)))
    for each in sent:
        sizes = b"".join(chunk(2, integer(1, size)) for size in each.shape)
        tensor = integer(1, DATATYPES[each.dtype]) + chunk(2, sizes)
        tensor += chunk_head(_CONTENT, each.length)
        entry = chunk(1, each.name) + chunk_head(2, len(tensor) + each.length) + tensor
        body.bytes_of(each, chunk_head(2, len(entry) + each.length) + entry)
    return body.body()


def versions(reply: bytes) -> list[Version]:
    """Read a GetModelStatusResponse."""
    found = []
    for message in by_field(reply).get(1, []):
        about = by_field(content(message))
        status = by_field(content(about.get(3, [b""])[-1]))
        state = number_in(about, 2)
        found.append(
            Version(str(number_in(about, 1)), _STATES.get(state, str(state)), text_in(status, 2))
        )
    return found


def signatures(reply: bytes) -> dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]]:
    """Read a GetModelMetadataResponse: inputs and outputs of each signature."""
    metadata = dict(map_in(by_field(reply), 2))
    packed = by_field(metadata.get(SIGNATURES, b""))  # a google.protobuf.Any
    found = by_field(content(packed.get(2, [b""])[-1]))
    return {
        name: (_specs(by_field(message), 1), _specs(by_field(message), 2))
        for name, message in map_in(found, 1)
    }


def output_of(message: bytes, name: str) -> NDArray[np.float32]:
    """Return the output ``name`` of a PredictResponse, or else the first one of numbers.

    Empty where there is none.
    """
    return output_in(message, _outputs, name)


def _spec(model: str, version: str, signature: str = "") -> bytes:
    """Return a ModelSpec; its version is a message around an integer, 0 left out."""
    number = integer(1, int(version)) if int(version or 0) else b""
    chosen = chunk(2, number) if version else b""
    return chunk(1, model) + chosen + (chunk(3, signature) if signature else b"")


def _specs(found: dict[int, list[int | bytes]], field: int) -> tuple[TensorSpec, ...]:
    """Read a map from names to TensorInfo; a type that is not known is called by its number."""
    specs = []
    for name, message in map_in(found, field):
        about = by_field(message)
        datatype = number_in(about, 2)
        dtype = NUMPY_TYPES.get(datatype, f"DataType {datatype}") if datatype else None
        specs.append(TensorSpec(name, dtype, _shape(about)))
    return tuple(specs)


def _shape(about: Mapping[int, list[int | bytes]]) -> tuple[int | None, ...] | None:
    """Return the sizes in a TensorInfo; None where it has none, or they are not known."""
    shape = by_field(content(about.get(3, [b""])[-1]))
    sizes = [number_in(by_field(content(dim)), 1) for dim in shape.get(2, [])]
    if number_in(shape, 3) or not sizes:
        return None
    return tuple(None if size < 0 else size for size in sizes)


def _outputs(message: bytes) -> dict[str, NDArray[Any]]:
    """Return the outputs that are numbers."""
    outputs = {}
    for name, tensor in map_in(by_field(message), 1):
        found = by_field(tensor)
        dtype = NUMPY_TYPES.get(number_in(found, 1))
        if dtype is not None:
            outputs[name] = _numbers(found, dtype)
    return outputs


def _numbers(found: dict[int, list[int | bytes]], dtype: str) -> NDArray[Any]:
    """Return what a TensorProto holds, as bytes or one by one."""
    if raw := content(found.get(_CONTENT, [b""])[-1]):
        return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))
    values = found.get(_VALUES[dtype], [])
    if dtype in {"float32", "float64"}:
        return np.frombuffer(b"".join(map(content, values)), np.dtype(dtype).newbyteorder("<"))
    one_by_one = np.asarray([n for value in values for n in integers(value)], np.int64)
    if dtype == "float16":  # as its bits
        return one_by_one.astype(np.uint16).view(np.float16)
    return one_by_one.astype(dtype)
